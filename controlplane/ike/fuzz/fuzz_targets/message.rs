//! Arbitrary bytes as a message, and as the chain inside an encrypted payload. What is read in clear is read the same again
//! once it has been written.
#![no_main]

use ike::message::{Body, Header, PayloadType, parse_chain, write_message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, chain)) = bytes.split_first() {
        let _ = parse_chain(PayloadType(*first), chain);
    }
    // The length is mended, so that the fuzzer need not guess it.
    let mut bytes = bytes.to_vec();
    let length = (bytes.len() as u32).to_be_bytes();
    if let Some(field) = bytes.get_mut(24..28) {
        field.copy_from_slice(&length);
    }
    let Ok(header) = Header::parse(&bytes) else { return };
    let Ok(Body::Clear(payloads)) = Body::parse(&header, &bytes) else { return };
    let again = write_message(&header, &payloads);
    let header = Header::parse(&again).expect("what we wrote");
    let Ok(Body::Clear(_)) = Body::parse(&header, &again) else { panic!("what we wrote") };
});
