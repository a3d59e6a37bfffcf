//! An EAL that does not start. One test, as it is about the process.
#![allow(clippy::unwrap_used)]

use dpdk::{Eal, Error};

#[test]
fn a_failed_start_is_told_and_is_the_only_one() {
    let arguments = ["--no-huge", "--no-shconf", "--no-such-argument"].map(str::to_owned);
    match Eal::start("test", &arguments) {
        Err(Error::Eal { arguments, .. }) => assert!(arguments.contains("--no-such-argument")),
        other => panic!("{other:?}"),
    }
    assert_eq!(Eal::running().unwrap_err(), Error::NotStarted);
    assert_eq!(Eal::start("test", &[]).unwrap_err(), Error::AlreadyStarted);
}
