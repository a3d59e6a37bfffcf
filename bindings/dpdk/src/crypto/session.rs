//! Key schedules in a crypto device.

use super::device::Open;
use dpdk_sys as sys;
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// The longest digest, in bytes.
pub const DIGEST_MAX: usize = 64;

/// A cipher that needs a MAC beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES in CBC mode: keys of 16, 24 or 32 bytes, IVs of 16, whole blocks of 16.
    AesCbc,
    /// AES in counter mode: keys of 16, 24 or 32 bytes; the IV is the first counter block, 16 bytes, big-endian.
    AesCtr,
    /// Triple DES in CBC mode: keys of 24 bytes, IVs of 8, whole blocks of 8.
    TripleDesCbc,
}

impl Cipher {
    fn raw(self) -> sys::espalier_cipher {
        match self {
            Cipher::AesCbc => sys::espalier_cipher_ESPALIER_CIPHER_AES_CBC,
            Cipher::AesCtr => sys::espalier_cipher_ESPALIER_CIPHER_AES_CTR,
            Cipher::TripleDesCbc => sys::espalier_cipher_ESPALIER_CIPHER_3DES_CBC,
        }
    }

    fn iv_len(self) -> u8 {
        match self {
            Cipher::AesCbc | Cipher::AesCtr => 16,
            Cipher::TripleDesCbc => 8,
        }
    }

    fn block(self) -> usize {
        match self {
            Cipher::AesCbc => 16,
            Cipher::AesCtr => 1,
            Cipher::TripleDesCbc => 8,
        }
    }
}

/// HMAC (RFC 2104) with one of these hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// SHA-1, digests of up to 20 bytes.
    HmacSha1,
    /// SHA-256, digests of up to 32 bytes.
    HmacSha256,
    /// SHA-384, digests of up to 48 bytes.
    HmacSha384,
    /// SHA-512, digests of up to 64 bytes.
    HmacSha512,
}

impl Mac {
    fn raw(self) -> sys::espalier_mac {
        match self {
            Mac::HmacSha1 => sys::espalier_mac_ESPALIER_MAC_SHA1,
            Mac::HmacSha256 => sys::espalier_mac_ESPALIER_MAC_SHA256,
            Mac::HmacSha384 => sys::espalier_mac_ESPALIER_MAC_SHA384,
            Mac::HmacSha512 => sys::espalier_mac_ESPALIER_MAC_SHA512,
        }
    }
}

/// What a session does with its packets, and with which keys. `Debug` shows no key.
#[derive(Clone, Copy)]
pub enum Transform<'k> {
    /// ChaCha20-Poly1305 (RFC 8439): nonces of 12 bytes, digests of 16.
    ChaCha20Poly1305 {
        /// 32 bytes.
        key: &'k [u8],
        /// Bytes of additional data, at most 16.
        aad: u8,
    },
    /// A cipher, or none, and a MAC over what the cipher has made.
    CipherMac {
        /// With its key.
        cipher: Option<(Cipher, &'k [u8])>,
        /// With its key.
        mac: (Mac, &'k [u8]),
        /// Bytes of the MAC that are kept.
        digest: u8,
    },
}

impl fmt::Debug for Transform<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transform::ChaCha20Poly1305 { .. } => f.write_str("ChaCha20-Poly1305"),
            Transform::CipherMac { cipher: None, mac: (mac, _), .. } => write!(f, "{mac:?} alone"),
            Transform::CipherMac { cipher: Some((cipher, key)), mac: (mac, _), .. } => {
                write!(f, "{cipher:?} with a key of {} bits and {mac:?}", key.len() * 8)
            }
        }
    }
}

impl Transform<'_> {
    /// As the shim takes it, for as long as the keys are lent; `None` if a length is beyond every device.
    pub(super) fn raw(&self, way: Way) -> Option<sys::espalier_transform> {
        let protect = u8::from(way == Way::Protect);
        let none = std::ptr::null();
        let len = |key: &[u8]| u16::try_from(key.len()).ok();
        match *self {
            Transform::ChaCha20Poly1305 { aad, .. } if aad > 16 => None,
            Transform::CipherMac { digest, .. } if usize::from(digest) > DIGEST_MAX => None,
            Transform::ChaCha20Poly1305 { key, aad } => Some(sys::espalier_transform {
                cipher: sys::espalier_cipher_ESPALIER_CIPHER_CHACHA20_POLY1305,
                mac: sys::espalier_mac_ESPALIER_MAC_NONE,
                protect,
                iv_len: 12,
                aad_len: aad,
                digest_len: 16,
                cipher_key_len: len(key)?,
                mac_key_len: 0,
                cipher_key: key.as_ptr(),
                mac_key: none,
            }),
            Transform::CipherMac { cipher, mac: (mac, mac_key), digest } => Some(sys::espalier_transform {
                cipher: cipher.map_or(sys::espalier_cipher_ESPALIER_CIPHER_NONE, |(cipher, _)| cipher.raw()),
                mac: mac.raw(),
                protect,
                iv_len: cipher.map_or(0, |(cipher, _)| cipher.iv_len()),
                aad_len: 0,
                digest_len: digest,
                cipher_key_len: len(cipher.map_or(&[], |(_, key)| key))?,
                mac_key_len: len(mac_key)?,
                cipher_key: cipher.map_or(none, |(_, key)| key.as_ptr()),
                mac_key: mac_key.as_ptr(),
            }),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match *self {
            Transform::ChaCha20Poly1305 { .. } => Shape { is_aead: true, block: Some(1), digest: 16 },
            Transform::CipherMac { cipher, digest, .. } => Shape {
                is_aead: false,
                block: cipher.map(|(cipher, _)| cipher.block()),
                digest: usize::from(digest),
            },
        }
    }
}

/// What is done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Encrypt, and make the digest of that.
    Protect,
    /// Verify the digest, and decrypt.
    Open,
}

/// What a job's ranges must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) is_aead: bool,
    /// Bytes that a text is whole multiples of; `None` where there is no cipher.
    pub(super) block: Option<usize>,
    /// Bytes of the digest, at most [`DIGEST_MAX`].
    pub(super) digest: usize,
}

/// A key schedule in a device, which workers share. The device wipes it when it is freed.
pub struct Session {
    raw: NonNull<c_void>,
    pub(super) open: Arc<Open>,
    pub(super) shape: Shape,
    way: Way,
}

// SAFETY: a device reads the session for any number of its queues at once; what a driver changes in it, it keeps for each
// queue apart. It is freed under the device's lock.
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

impl Session {
    /// # Safety
    ///
    /// `raw` is a session of the open device, of this shape and way, and nobody else's.
    pub(super) unsafe fn new(raw: NonNull<c_void>, open: Arc<Open>, shape: Shape, way: Way) -> Session {
        Session { raw, open, shape, way }
    }

    /// What it does.
    pub fn way(&self) -> Way {
        self.way
    }

    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.raw.as_ptr()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.open.bury(self.raw);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, {:?})", self.way, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cryptodev, Eal};

    /// The first round key of AES is the key, so a session that is alive has it, and one that is not must not.
    #[test]
    fn a_dropped_session_leaves_no_key() {
        let arguments =
            ["--no-huge", "-m", "320", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores=0@0"];
        let eal = Eal::start("test", &arguments.map(str::to_owned)).unwrap();
        let (device, _queues) = Cryptodev::open(&eal, "crypto_aesni_mb", 1).unwrap();
        let key: [u8; 16] = std::array::from_fn(|at| 0xA5 ^ (at as u8 * 7));
        let mac = (Mac::HmacSha1, &[7; 20][..]);
        let transform = Transform::CipherMac { cipher: Some((Cipher::AesCbc, &key)), mac, digest: 12 };
        let session = device.session(Way::Protect, &transform).unwrap();
        let memory = session.as_ptr().cast::<u8>();
        let shows_key = || {
            // SAFETY: a session of this driver is larger, and its pool lives as long as the device.
            let bytes = unsafe { std::slice::from_raw_parts(memory, 1024) };
            bytes.windows(key.len()).any(|window| window == key)
        };
        assert!(shows_key());
        drop(session);
        assert!(!shows_key());
    }
}
