//! Algorithms that go together, and which of all of them are weak.

use super::{Encryption, Group, Integrity, Prf};
use model::IcvLen;
use serde::{Serialize, Serializer};

macro_rules! serialize_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
serialize_as_text!(Encryption, Integrity, Prf, Group);

/// What an IKE SA was agreed to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IkeSuite {
    /// Encryption.
    pub encryption: Encryption,
    /// Integrity; `None` where encryption brings its own.
    pub integrity: Option<Integrity>,
    /// Pseudorandom function.
    pub prf: Prf,
    /// Diffie-Hellman group.
    pub group: Group,
}

/// What a pair of child SAs was agreed to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EspSuite {
    /// Encryption.
    pub encryption: Encryption,
    /// Integrity; `None` where encryption brings its own.
    pub integrity: Option<Integrity>,
    /// Diffie-Hellman group of a key exchange of its own (PFS); `None` if its keys come of the IKE SA's alone.
    pub group: Option<Group>,
    /// Extended sequence numbers.
    pub esn: bool,
}

impl EspSuite {
    /// Bytes of keying material of one SA: cipher key, salt, integrity key.
    pub fn key_material_len(&self) -> usize {
        self.encryption.key_len() + self.integrity.map_or(0, Integrity::key_len)
    }
}

/// Algorithms that still work and that nobody should choose.
macro_rules! weak {
    ($($name:ty => $($variant:pat_param)|+,)*) => {$(
        impl $name {
            /// Whether it is only for old peers: to be said wherever it is chosen.
            pub const fn is_weak(self) -> bool {
                matches!(self, $($variant)|+)
            }
        }
    )*};
}
weak! {
    Encryption => Encryption::TripleDes | Encryption::Null | Encryption::AesGcm(_, IcvLen::Bytes8),
    Integrity => Integrity::HmacSha1,
    Prf => Prf::HmacSha1,
    Group => Group::Modp1024 | Group::Modp1536,
}
