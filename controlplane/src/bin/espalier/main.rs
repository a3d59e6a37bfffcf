//! `espalier`: the operator's command.
fn main() {}
