//! Hostile images of access lists, and hostile changes of them.
//!
//! ```text
//! cargo install --locked cargo-fuzz
//! mkdir -p target/fuzz/acl
//! cargo +nightly fuzz run --fuzz-dir dataplane/acl/fuzz verify target/fuzz/acl dataplane/acl/fuzz/corpus/verify -- \
//!     -max_total_time=1800
//! ```
//!
//! An input begins with a byte that says what the rest is. Even: an image and a change as they are, the first two bytes being
//! the image's length. Odd: [rules](rules) and how to damage what they compile to, so that what is damaged was whole before; what
//! is whole must agree with the linear scan.
//!
//! The seeds are images of the present format; a test of `acl` says when they are of an older one. Then they are written anew:
//!
//! ```text
//! cargo run --manifest-path dataplane/acl/fuzz/Cargo.toml --example seeds
//! ```

pub mod damage;
pub mod rules;
pub mod try_out;

/// Inputs that are compiled first begin with an odd byte.
pub const COMPILED: u8 = 1;

/// Whatever it is.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 2 == COMPILED {
        damage::run(rest);
    } else if let Some((len, rest)) = rest.split_first_chunk() {
        let (image, change) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        let keys = try_out::keys_in(image).chain(try_out::keys_in(change)).collect();
        try_out::together(image.into(), change.into(), &try_out::Keys::new(keys));
    }
}

/// The input for an image and a change of it.
pub fn whole(image: &[u8], change: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(image.len()).ok()?.to_le_bytes();
    Some([&[0][..], &len, image, change].concat())
}
