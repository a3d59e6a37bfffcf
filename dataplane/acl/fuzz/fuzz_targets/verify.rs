//! Bytes that claim to be an image, or a change of one: whatever they are, they are refused, or looked up without a panic and
//! without a read out of bounds (which the address sanitizer sees, as each has an allocation of exactly its size), by all
//! back ends alike. How to run it stands in [the library](acl_fuzz).
#![no_main]

libfuzzer_sys::fuzz_target!(
    // Few rules are compiled sooner than another thread wakes up.
    init: drop(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()),
    |data: &[u8]| acl_fuzz::run(data)
);
