//! Raw bindings to the installed libdpdk, generated at build time; only the crate `dpdk` may use them.
//!
//! Functions named `espalier_*` are those of `shim.c`: DPDK's inline functions, which have no symbol of their own.
//! Nothing here is safe, and nothing is decided here: what DPDK asks of a caller is in its own documentation.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_qualifications,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
