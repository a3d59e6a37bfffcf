//! ESP, RFC 4303: encapsulation and decapsulation in tunnel and transport mode, over IPv4 and IPv6, also in UDP (RFC 3948);
//! the replay window, IV and sequence number rules.
//!
//! Pure: it works on bytes and atomics that it is lent. It knows no cipher (it says what is to be sealed or opened, with
//! which nonce and additional data, and whoever owns the keys does it), no key but the salt, no SAD, no buffer and no
//! shared memory.
//!
//! A packet's way out: [`sequence::allocate`] once per burst and SA, [`iv::at`], [`outbound::encapsulate`], then the
//! caller seals, and for some SAs then [`outbound::complete`]. A packet's way in: [`find::find`], [`inbound::prepare`],
//! [`replay::Window::check`], the caller opens, then [`replay::Window::commit`], then [`inbound::finish`]. A packet whose ICV
//! did not verify must go neither to `commit` nor to `finish`.
//!
//! [`reference`](mod@reference) is the slow twin, written straight from the RFCs, that tests hold against all this.
#![forbid(unsafe_code)]

pub mod aad;
mod atomic;
pub mod find;
pub mod inbound;
pub mod iv;
pub mod outbound;
pub mod reference;
pub mod replay;
pub mod resync;
pub mod sequence;
pub mod shape;
pub mod size;
pub mod tfc;
mod transport;
pub mod tunnel;
pub mod udp;

pub use aad::Aad;
pub use shape::Shape;
