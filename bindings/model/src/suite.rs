//! ESP suites: the algorithms of one SA.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Length of an AES key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyLen {
    /// 16 bytes.
    Aes128,
    /// 24 bytes.
    Aes192,
    /// 32 bytes.
    Aes256,
}

impl KeyLen {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            KeyLen::Aes128 => 16,
            KeyLen::Aes192 => 24,
            KeyLen::Aes256 => 32,
        }
    }

    /// In bits.
    pub const fn bits(self) -> usize {
        self.bytes() * 8
    }
}

/// Length of the integrity check value at the end of an ESP packet (RFC 4106, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IcvLen {
    /// 8 bytes.
    Bytes8,
    /// 12 bytes.
    Bytes12,
    /// 16 bytes, the one that everybody should use.
    Bytes16,
}

impl IcvLen {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            IcvLen::Bytes8 => 8,
            IcvLen::Bytes12 => 12,
            IcvLen::Bytes16 => 16,
        }
    }
}

/// The algorithms that protect one ESP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Suite {
    /// AES-GCM, RFC 4106: key material is the AES key and 4 bytes of salt, the IV is 8 bytes.
    AesGcm {
        /// Of the AES key, without the salt.
        key: KeyLen,
        /// Of the tag on the wire.
        icv: IcvLen,
    },
}

impl Suite {
    /// AES-GCM with a 128-bit key and the full ICV.
    pub const AES_GCM_128: Suite = Suite::AesGcm { key: KeyLen::Aes128, icv: IcvLen::Bytes16 };
    /// AES-GCM with a 256-bit key and the full ICV.
    pub const AES_GCM_256: Suite = Suite::AesGcm { key: KeyLen::Aes256, icv: IcvLen::Bytes16 };

    /// Bytes of IV that each packet carries.
    pub const fn iv_len(self) -> usize {
        match self {
            Suite::AesGcm { .. } => 8,
        }
    }

    /// Bytes of ICV that each packet carries.
    pub const fn icv_len(self) -> usize {
        match self {
            Suite::AesGcm { icv, .. } => icv.bytes(),
        }
    }

    /// Bytes of keying material that an SA needs, the salt included.
    pub const fn key_material_len(self) -> usize {
        match self {
            Suite::AesGcm { key, .. } => key.bytes() + 4,
        }
    }

    /// Checks the length of keying material for this suite.
    pub fn check_key_material(self, len: usize) -> Result<(), WrongKeyLength> {
        if len == self.key_material_len() { Ok(()) } else { Err(WrongKeyLength { suite: self, len }) }
    }
}

/// As IOS names the transform: `esp-gcm 128`.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suite::AesGcm { key, icv: IcvLen::Bytes16 } => write!(f, "esp-gcm {}", key.bits()),
            Suite::AesGcm { key, icv } => write!(f, "esp-gcm {} icv {}", key.bits(), icv.bytes()),
        }
    }
}

/// The keying material has not the length that its suite wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{suite} wants {} bytes of keying material ({} hex digits: the AES key, then a 4-byte salt), not {len}",
    suite.key_material_len(),
    suite.key_material_len() * 2
)]
pub struct WrongKeyLength {
    /// What it was for.
    pub suite: Suite,
    /// What was given, in bytes.
    pub len: usize,
}
