//! The algorithms that we can agree on, with their numbers on the wire and the lengths of their keys.

use crate::message::{Transform, TransformType};
use model::{IcvLen, KeyLen};
use std::fmt;

/// Encryption (transform type 1), for IKE or for ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Three keys of DES. Weak.
    TripleDes,
    /// RFC 3602.
    AesCbc(KeyLen),
    /// RFC 3686; ESP only.
    AesCtr(KeyLen),
    /// RFC 4106 for ESP, RFC 5282 for IKE.
    AesGcm(KeyLen, IcvLen),
    /// RFC 8750: the IV is the sequence number; ESP only. Its ICV has 16 bytes.
    AesGcmIiv(KeyLen),
    /// RFC 4543: authentication alone; ESP only.
    AesGmac(KeyLen),
    /// RFC 7634; ESP only.
    ChaCha20Poly1305,
    /// RFC 8750; ESP only.
    ChaCha20Poly1305Iiv,
    /// None; ESP only.
    Null,
}

impl Encryption {
    fn id(self) -> u16 {
        match self {
            Encryption::TripleDes => 3,
            Encryption::Null => 11,
            Encryption::AesCbc(_) => 12,
            Encryption::AesCtr(_) => 13,
            Encryption::AesGcm(_, IcvLen::Bytes8) => 18,
            Encryption::AesGcm(_, IcvLen::Bytes12) => 19,
            Encryption::AesGcm(_, IcvLen::Bytes16) => 20,
            Encryption::AesGmac(_) => 21,
            Encryption::ChaCha20Poly1305 => 28,
            Encryption::AesGcmIiv(_) => 30,
            Encryption::ChaCha20Poly1305Iiv => 31,
        }
    }

    fn aes_key(self) -> Option<KeyLen> {
        match self {
            Encryption::AesCbc(key)
            | Encryption::AesCtr(key)
            | Encryption::AesGcm(key, _)
            | Encryption::AesGcmIiv(key)
            | Encryption::AesGmac(key) => Some(key),
            Encryption::TripleDes
            | Encryption::Null
            | Encryption::ChaCha20Poly1305
            | Encryption::ChaCha20Poly1305Iiv => None,
        }
    }

    /// Whether it brings its own integrity, so that none is negotiated beside it (RFC 7296, section 3.3.3; RFC 5282).
    pub const fn is_aead(self) -> bool {
        matches!(
            self,
            Encryption::AesGcm(..)
                | Encryption::AesGcmIiv(_)
                | Encryption::AesGmac(_)
                | Encryption::ChaCha20Poly1305
                | Encryption::ChaCha20Poly1305Iiv
        )
    }

    /// Whether an IKE SA can use it.
    pub const fn fits_ike(self) -> bool {
        matches!(self, Encryption::TripleDes | Encryption::AesCbc(_) | Encryption::AesGcm(..))
    }

    /// Bytes of keying material: the key, and the salt behind it where there is one.
    pub fn key_len(self) -> usize {
        let salt = if self.is_aead() || matches!(self, Encryption::AesCtr(_)) { 4 } else { 0 };
        let key = match self {
            Encryption::TripleDes => 24,
            Encryption::ChaCha20Poly1305 | Encryption::ChaCha20Poly1305Iiv => 32,
            Encryption::Null => 0,
            _ => self.aes_key().map_or(0, KeyLen::bytes),
        };
        key + salt
    }

    /// Bytes of its own ICV on the wire: 0 if it has none.
    pub(crate) fn icv_len(self) -> usize {
        match self {
            Encryption::AesGcm(_, icv) => icv.bytes(),
            _ if self.is_aead() => 16,
            _ => 0,
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encryption::TripleDes => f.write_str("3des"),
            Encryption::AesCbc(key) => write!(f, "aes-cbc-{}", key.bits()),
            Encryption::AesCtr(key) => write!(f, "aes-ctr-{}", key.bits()),
            Encryption::AesGcm(key, IcvLen::Bytes16) => write!(f, "aes-gcm-{}", key.bits()),
            Encryption::AesGcm(key, icv) => write!(f, "aes-gcm-{}-icv-{}", key.bits(), icv.bytes()),
            Encryption::AesGcmIiv(key) => write!(f, "aes-gcm-{}-implicit-iv", key.bits()),
            Encryption::AesGmac(key) => write!(f, "aes-gmac-{}", key.bits()),
            Encryption::ChaCha20Poly1305 => f.write_str("chacha20-poly1305"),
            Encryption::ChaCha20Poly1305Iiv => f.write_str("chacha20-poly1305-implicit-iv"),
            Encryption::Null => f.write_str("null"),
        }
    }
}

impl From<Encryption> for Transform {
    fn from(encryption: Encryption) -> Transform {
        let key_length = encryption.aes_key().map(|key| key.bits() as u16);
        Transform { key_length, ..Transform::new(TransformType::ENCR, encryption.id()) }
    }
}

impl TryFrom<Transform> for Encryption {
    type Error = ();
    fn try_from(transform: Transform) -> Result<Encryption, ()> {
        let key = match transform.key_length {
            None => None,
            Some(128) => Some(KeyLen::Aes128),
            Some(192) => Some(KeyLen::Aes192),
            Some(256) => Some(KeyLen::Aes256),
            Some(_) => return Err(()),
        };
        let encryption = match (transform.id, key) {
            (3, None) => Encryption::TripleDes,
            (11, None) => Encryption::Null,
            (12, Some(key)) => Encryption::AesCbc(key),
            (13, Some(key)) => Encryption::AesCtr(key),
            (18, Some(key)) => Encryption::AesGcm(key, IcvLen::Bytes8),
            (19, Some(key)) => Encryption::AesGcm(key, IcvLen::Bytes12),
            (20, Some(key)) => Encryption::AesGcm(key, IcvLen::Bytes16),
            (21, Some(key)) => Encryption::AesGmac(key),
            (28, None) => Encryption::ChaCha20Poly1305,
            (30, Some(key)) => Encryption::AesGcmIiv(key),
            (31, None) => Encryption::ChaCha20Poly1305Iiv,
            _ => return Err(()),
        };
        if transform.kind == TransformType::ENCR && !transform.foreign_attribute {
            Ok(encryption)
        } else {
            Err(())
        }
    }
}

/// An enum of algorithms without parameters.
macro_rules! simple {
    ($(#[$about:meta])* $name:ident of $kind:ident {
        $($(#[$doc:meta])* $variant:ident = $id:literal, $text:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Its number on the wire.
            pub const fn id(self) -> u16 {
                match self { $($name::$variant => $id,)* }
            }

            /// By its number; `None` if we do not have it.
            pub const fn from_id(id: u16) -> Option<$name> {
                match id { $($id => Some($name::$variant),)* _ => None }
            }

            /// All that we have.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $text,)* })
            }
        }

        impl From<$name> for Transform {
            fn from(algorithm: $name) -> Transform {
                Transform::new(TransformType::$kind, algorithm.id())
            }
        }

        impl TryFrom<Transform> for $name {
            type Error = ();
            fn try_from(transform: Transform) -> Result<$name, ()> {
                let plain = Transform::new(TransformType::$kind, transform.id) == transform;
                $name::from_id(transform.id).filter(|_| plain).ok_or(())
            }
        }
    };
}

simple! {
    /// Integrity (transform type 3), beside an encryption that has none of its own.
    Integrity of INTEG {
        /// RFC 2404. Weak.
        HmacSha1 = 2, "hmac-sha1-96";
        /// RFC 4868.
        HmacSha256 = 12, "hmac-sha256-128";
        /// RFC 4868.
        HmacSha384 = 13, "hmac-sha384-192";
        /// RFC 4868.
        HmacSha512 = 14, "hmac-sha512-256";
    }
}

impl Integrity {
    /// Bytes of key, which are also the bytes of the whole HMAC.
    pub const fn key_len(self) -> usize {
        match self {
            Integrity::HmacSha1 => 20,
            Integrity::HmacSha256 => 32,
            Integrity::HmacSha384 => 48,
            Integrity::HmacSha512 => 64,
        }
    }

    /// Bytes of the HMAC that go on the wire.
    pub const fn icv_len(self) -> usize {
        match self {
            Integrity::HmacSha1 => 12,
            _ => self.key_len() / 2,
        }
    }
}

simple! {
    /// Pseudorandom function (transform type 2).
    Prf of PRF {
        /// RFC 2104. Weak.
        HmacSha1 = 2, "prf-hmac-sha1";
        /// RFC 4868.
        HmacSha256 = 5, "prf-hmac-sha256";
        /// RFC 4868.
        HmacSha384 = 6, "prf-hmac-sha384";
        /// RFC 4868.
        HmacSha512 = 7, "prf-hmac-sha512";
    }
}

simple! {
    /// Diffie-Hellman group (transform type 4).
    Group of DH {
        /// MODP, 1024 bits. Weak.
        Modp1024 = 2, "group2";
        /// MODP, 1536 bits. Weak.
        Modp1536 = 5, "group5";
        /// MODP, 2048 bits.
        Modp2048 = 14, "group14";
        /// MODP, 3072 bits.
        Modp3072 = 15, "group15";
        /// MODP, 4096 bits.
        Modp4096 = 16, "group16";
        /// NIST P-256 (RFC 5903).
        P256 = 19, "group19";
        /// NIST P-384 (RFC 5903).
        P384 = 20, "group20";
        /// NIST P-521 (RFC 5903).
        P521 = 21, "group21";
        /// Curve25519 (RFC 8031).
        X25519 = 31, "group31";
    }
}
