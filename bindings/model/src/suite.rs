//! ESP suites: the algorithms of one SA, and what each wants of keys, IVs, padding and ICVs.

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
    /// Every one, shortest first.
    pub const ALL: [KeyLen; 3] = [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256];

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

/// Length of the integrity check value of AES-GCM at the end of an ESP packet (RFC 4106, section 6).
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
    /// Every one, shortest first.
    pub const ALL: [IcvLen; 3] = [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16];

    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            IcvLen::Bytes8 => 8,
            IcvLen::Bytes12 => 12,
            IcvLen::Bytes16 => 16,
        }
    }
}

/// A cipher that needs an HMAC beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cipher {
    /// None: packets stay readable (RFC 2410).
    Null,
    /// Triple DES in CBC mode (RFC 2451), with 24 bytes of key.
    TripleDesCbc,
    /// AES in CBC mode (RFC 3602).
    AesCbc(KeyLen),
    /// AES in counter mode (RFC 3686): the key is followed by a 4-byte nonce, which is called the salt here.
    AesCtr(KeyLen),
}

/// HMAC with one of these hashes, its output cut to half, or to 96 bits (RFC 2404, RFC 4868).
///
/// HMAC-MD5-96 is not here: no ESP may have it (RFC 8221, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hmac {
    /// HMAC-SHA1-96: 20 bytes of key, 12 of ICV.
    Sha1,
    /// HMAC-SHA2-256-128: 32 bytes of key, 16 of ICV.
    Sha256,
    /// HMAC-SHA2-384-192: 48 bytes of key, 24 of ICV.
    Sha384,
    /// HMAC-SHA2-512-256: 64 bytes of key, 32 of ICV.
    Sha512,
}

impl Hmac {
    /// Every one, weakest first.
    pub const ALL: [Hmac; 4] = [Hmac::Sha1, Hmac::Sha256, Hmac::Sha384, Hmac::Sha512];

    /// Bytes of its key: as many as its hash has (RFC 4868, section 2.1.1).
    pub const fn key_len(self) -> usize {
        match self {
            Hmac::Sha1 => 20,
            Hmac::Sha256 => 32,
            Hmac::Sha384 => 48,
            Hmac::Sha512 => 64,
        }
    }

    /// Bytes of ICV.
    pub const fn icv_len(self) -> usize {
        match self {
            Hmac::Sha1 => 12,
            Hmac::Sha256 => 16,
            Hmac::Sha384 => 24,
            Hmac::Sha512 => 32,
        }
    }
}

/// The algorithms that protect one ESP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Suite {
    /// AES-GCM (RFC 4106).
    AesGcm {
        /// Of the AES key, without the salt.
        key: KeyLen,
        /// Of the tag on the wire.
        icv: IcvLen,
    },
    /// AES-GCM with an implicit IV (RFC 8750): the sequence number, which is sent anyway. Its ICV has 16 bytes.
    AesGcmIiv {
        /// Of the AES key, without the salt.
        key: KeyLen,
    },
    /// AES-GMAC (RFC 4543): packets stay readable.
    AesGmac {
        /// Of the AES key, without the salt.
        key: KeyLen,
    },
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
    /// ChaCha20-Poly1305 with an implicit IV (RFC 8750).
    ChaCha20Poly1305Iiv,
    /// A cipher, and an HMAC over what it made.
    CipherHmac {
        /// Encrypts.
        cipher: Cipher,
        /// Authenticates.
        hmac: Hmac,
    },
}

/// What a packet's IV is made of. It is never the same twice with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IvRule {
    /// There is none.
    None,
    /// The sequence number itself, which is not sent once more. So no key may serve two SAs, nor one SA that begins anew.
    Sequence,
    /// A counter, which the peer may well foresee: all that a counter mode asks for.
    Counter,
    /// A counter, encrypted, as who foresees the IV of CBC learns what he guessed right (RFC 3602, section 2.1).
    EncryptedCounter,
}

/// Keying material of a suite in bytes, in the order in which it lies (RFC 7296, section 2.17, and each suite's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// The cipher's key.
    pub cipher: usize,
    /// The salt or nonce behind it: 4 or 0.
    pub salt: usize,
    /// The HMAC's key.
    pub integrity: usize,
}

impl KeyShape {
    /// All together.
    pub const fn len(self) -> usize {
        self.cipher + self.salt + self.integrity
    }

    /// Whether there is nothing; no suite is so.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The parts of keying material. `None` if it has another length.
    pub fn split(self, material: &[u8]) -> Option<Keys<'_>> {
        if material.len() != self.len() {
            return None;
        }
        let (cipher, rest) = material.split_at_checked(self.cipher)?;
        let (salt, integrity) = rest.split_at_checked(self.salt)?;
        Some(Keys { cipher, salt: salt.try_into().unwrap_or_default(), integrity })
    }
}

/// The parts of keying material. No `Debug`: it is secret.
#[derive(Clone, Copy)]
pub struct Keys<'k> {
    /// The cipher's key.
    pub cipher: &'k [u8],
    /// The salt or nonce; zero where there is none.
    pub salt: [u8; 4],
    /// The HMAC's key.
    pub integrity: &'k [u8],
}

impl Suite {
    /// AES-GCM with a 128-bit key and the full ICV.
    pub const AES_GCM_128: Suite = Suite::AesGcm { key: KeyLen::Aes128, icv: IcvLen::Bytes16 };
    /// AES-GCM with a 256-bit key and the full ICV.
    pub const AES_GCM_256: Suite = Suite::AesGcm { key: KeyLen::Aes256, icv: IcvLen::Bytes16 };

    /// Every suite that there is.
    pub fn all() -> impl Iterator<Item = Suite> {
        let gcm = KeyLen::ALL.iter().flat_map(|&key| IcvLen::ALL.map(|icv| Suite::AesGcm { key, icv }));
        let gmac = KeyLen::ALL.map(|key| Suite::AesGmac { key });
        let aes = KeyLen::ALL.iter().flat_map(|&key| [Cipher::AesCbc(key), Cipher::AesCtr(key)]);
        let ciphers = [Cipher::Null, Cipher::TripleDesCbc].into_iter().chain(aes);
        let hmac = ciphers.flat_map(|cipher| Hmac::ALL.map(|hmac| Suite::CipherHmac { cipher, hmac }));
        let implicit = KeyLen::ALL.map(|key| Suite::AesGcmIiv { key });
        let chacha = [Suite::ChaCha20Poly1305, Suite::ChaCha20Poly1305Iiv];
        gcm.chain(implicit).chain(gmac).chain(chacha).chain(hmac)
    }

    /// Bytes of IV that each packet carries.
    pub const fn iv_len(self) -> usize {
        match self {
            Suite::AesGcm { .. } | Suite::AesGmac { .. } | Suite::ChaCha20Poly1305 => 8,
            Suite::AesGcmIiv { .. } | Suite::ChaCha20Poly1305Iiv => 0,
            Suite::CipherHmac { cipher, .. } => match cipher {
                Cipher::Null => 0,
                Cipher::TripleDesCbc | Cipher::AesCtr(_) => 8,
                Cipher::AesCbc(_) => 16,
            },
        }
    }

    /// What the IV is made of.
    pub const fn iv_rule(self) -> IvRule {
        match self {
            Suite::CipherHmac { cipher: Cipher::Null, .. } => IvRule::None,
            Suite::CipherHmac { cipher: Cipher::TripleDesCbc | Cipher::AesCbc(_), .. } => {
                IvRule::EncryptedCounter
            }
            Suite::AesGcmIiv { .. } | Suite::ChaCha20Poly1305Iiv => IvRule::Sequence,
            _ => IvRule::Counter,
        }
    }

    /// The text of a packet, trailer and all, is a multiple of so many bytes: the cipher's block, or 4 (RFC 4303,
    /// section 2.4).
    pub const fn alignment(self) -> usize {
        match self {
            Suite::CipherHmac { cipher: Cipher::AesCbc(_), .. } => 16,
            Suite::CipherHmac { cipher: Cipher::TripleDesCbc, .. } => 8,
            _ => 4,
        }
    }

    /// Bytes of ICV that each packet carries.
    pub const fn icv_len(self) -> usize {
        match self {
            Suite::AesGcm { icv, .. } => icv.bytes(),
            Suite::AesGcmIiv { .. }
            | Suite::AesGmac { .. }
            | Suite::ChaCha20Poly1305
            | Suite::ChaCha20Poly1305Iiv => 16,
            Suite::CipherHmac { hmac, .. } => hmac.icv_len(),
        }
    }

    /// Whether whoever sees the packets cannot read them.
    pub const fn encrypts(self) -> bool {
        !matches!(self, Suite::AesGmac { .. } | Suite::CipherHmac { cipher: Cipher::Null, .. })
    }

    /// The parts of its keying material.
    pub const fn key_shape(self) -> KeyShape {
        match self {
            Suite::AesGcm { key, .. } | Suite::AesGcmIiv { key } | Suite::AesGmac { key } => {
                KeyShape { cipher: key.bytes(), salt: 4, integrity: 0 }
            }
            Suite::ChaCha20Poly1305 | Suite::ChaCha20Poly1305Iiv => {
                KeyShape { cipher: 32, salt: 4, integrity: 0 }
            }
            Suite::CipherHmac { cipher, hmac } => {
                let (cipher, salt) = match cipher {
                    Cipher::Null => (0, 0),
                    Cipher::TripleDesCbc => (24, 0),
                    Cipher::AesCbc(key) => (key.bytes(), 0),
                    Cipher::AesCtr(key) => (key.bytes(), 4),
                };
                KeyShape { cipher, salt, integrity: hmac.key_len() }
            }
        }
    }

    /// Bytes of keying material that an SA needs, the salt included.
    pub const fn key_material_len(self) -> usize {
        self.key_shape().len()
    }

    /// Checks the length of keying material for this suite.
    pub fn check_key_material(self, len: usize) -> Result<(), WrongKeyLength> {
        if len == self.key_material_len() { Ok(()) } else { Err(WrongKeyLength { suite: self, len }) }
    }

    /// What is weak about it, a sentence each, for whoever chose it (RFC 8221, sections 5 and 6).
    pub fn weaknesses(self) -> impl Iterator<Item = &'static str> {
        const UNREADABLE: &str = "nothing is encrypted: whoever sees the packets reads them";
        let cipher = match self {
            Suite::AesGcm { icv: IcvLen::Bytes8, .. } => {
                Some("an ICV of 8 bytes is soon guessed (RFC 4106, section 6)")
            }
            Suite::AesGmac { .. } | Suite::CipherHmac { cipher: Cipher::Null, .. } => Some(UNREADABLE),
            Suite::CipherHmac { cipher: Cipher::TripleDesCbc, .. } => {
                Some("3DES has blocks of 64 bits, which repeat after some gigabytes with one key (RFC 8221)")
            }
            _ => None,
        };
        let hmac = match self {
            Suite::CipherHmac { hmac: Hmac::Sha1, .. } => {
                Some("SHA-1 is on its way out (RFC 8221); take SHA-2 if the peer has it")
            }
            _ => None,
        };
        cipher.into_iter().chain(hmac)
    }
}

/// As IOS names the transforms, `esp-aes 256 esp-sha256-hmac`; and after its manner, what it has not.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suite::AesGcm { key, icv: IcvLen::Bytes16 } => write!(f, "esp-gcm {}", key.bits()),
            Suite::AesGcm { key, icv } => write!(f, "esp-gcm {} icv {}", key.bits(), icv.bytes()),
            Suite::AesGcmIiv { key } => write!(f, "esp-gcm {} implicit-iv", key.bits()),
            Suite::AesGmac { key } => write!(f, "esp-gmac {}", key.bits()),
            Suite::ChaCha20Poly1305 => f.write_str("esp-chacha20-poly1305"),
            Suite::ChaCha20Poly1305Iiv => f.write_str("esp-chacha20-poly1305 implicit-iv"),
            Suite::CipherHmac { cipher, hmac } => write!(f, "{cipher} {hmac}"),
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cipher::Null => f.write_str("esp-null"),
            Cipher::TripleDesCbc => f.write_str("esp-3des"),
            Cipher::AesCbc(key) => write!(f, "esp-aes {}", key.bits()),
            Cipher::AesCtr(key) => write!(f, "esp-aes-ctr {}", key.bits()),
        }
    }
}

impl fmt::Display for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hmac::Sha1 => "esp-sha-hmac",
            Hmac::Sha256 => "esp-sha256-hmac",
            Hmac::Sha384 => "esp-sha384-hmac",
            Hmac::Sha512 => "esp-sha512-hmac",
        })
    }
}

/// The keying material has not the length that its suite wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{suite} wants {} bytes of keying material, not {len}", suite.key_material_len())]
pub struct WrongKeyLength {
    /// What it was for.
    pub suite: Suite,
    /// What was given, in bytes.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyMaterial;
    use std::collections::BTreeSet;

    #[test]
    fn every_suite_once_and_each_with_a_name_of_its_own() {
        let names: BTreeSet<String> = Suite::all().map(|suite| suite.to_string()).collect();
        assert_eq!(names.len(), Suite::all().count());
        assert_eq!(names.len(), 3 * 3 + 3 + 3 + 2 + 8 * 4);
        assert!(names.contains("esp-aes 256 esp-sha256-hmac") && names.contains("esp-gcm 192 icv 12"));
    }

    #[test]
    fn keys_have_their_parts() {
        let material: Vec<u8> = (0..100).collect();
        for suite in Suite::all() {
            let shape = suite.key_shape();
            assert!(shape.len() <= KeyMaterial::MAX, "{suite}");
            let keys = shape.split(&material[..shape.len()]).unwrap();
            assert_eq!((keys.cipher.len(), keys.integrity.len()), (shape.cipher, shape.integrity));
            assert!(shape.split(&material[..shape.len() - 1]).is_none());
            if shape.salt != 0 {
                assert_eq!(usize::from(keys.salt[0]), shape.cipher, "{suite}");
            }
            assert!(suite.check_key_material(shape.len()).is_ok());
            let wrong = suite.check_key_material(shape.len() + 1).unwrap_err();
            assert!(wrong.to_string().starts_with(&suite.to_string()));
        }
    }

    #[test]
    fn a_text_is_whole_blocks_and_an_iv_is_there_where_a_rule_is() {
        for suite in Suite::all() {
            let sent = !matches!(suite.iv_rule(), IvRule::None | IvRule::Sequence);
            assert_eq!(sent, suite.iv_len() != 0, "{suite}");
            // The encrypted counter is one block.
            if suite.iv_rule() == IvRule::EncryptedCounter {
                assert_eq!(suite.iv_len(), suite.alignment(), "{suite}");
            }
        }
    }

    #[test]
    fn what_is_weak_is_said_and_nothing_else() {
        let weak = |suite: Suite| suite.weaknesses().count();
        assert_eq!(weak(Suite::AES_GCM_128), 0);
        assert_eq!(weak(Suite::ChaCha20Poly1305), 0);
        let with = |cipher, hmac| Suite::CipherHmac { cipher, hmac };
        assert_eq!(weak(with(Cipher::AesCbc(KeyLen::Aes128), Hmac::Sha256)), 0);
        assert_eq!(weak(with(Cipher::AesCtr(KeyLen::Aes256), Hmac::Sha1)), 1);
        assert_eq!(weak(with(Cipher::TripleDesCbc, Hmac::Sha1)), 2);
        assert_eq!(weak(with(Cipher::Null, Hmac::Sha512)), 1);
    }
}
