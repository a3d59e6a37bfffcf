//! `espalier-controlplane`: the daemon.
fn main() {}
