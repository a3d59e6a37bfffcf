//! The peers that are Rust crates. None of them takes more than a packet at a time.

use super::case::Op;
use super::contender::{Contender, RawKeys};
use super::traffic::Packet;
use crate::Error;
use crate::clock::{Lap, timed};
use aes_gcm::aead::{AeadInOut, inout::InOutBuf};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use model::KeyLen;

/// `aes-gcm`, `ring` and `aws-lc-rs`.
///
/// # Errors
///
/// [`Error::Peer`], if one does not take the keys.
pub(super) fn contenders(keys: &RawKeys) -> Result<Vec<Box<dyn Contender>>, Error> {
    let aes_gcm: Box<dyn Contender> = match keys.length {
        KeyLen::Aes128 => Box::new(Crate::<Aes128Gcm>::new(keys)?),
        KeyLen::Aes192 => return Err(Error::Peer("ring")),
        KeyLen::Aes256 => Box::new(Crate::<Aes256Gcm>::new(keys)?),
    };
    Ok(vec![
        aes_gcm,
        Box::new(Crate::<ring::aead::LessSafeKey>::new(keys)?),
        Box::new(Crate::<aws_lc_rs::aead::LessSafeKey>::new(keys)?),
    ])
}

/// A crate, by its type for an expanded key.
trait Key: Sized {
    const NAME: &'static str;

    fn expand(length: KeyLen, raw: &[u8]) -> Option<Self>;
    fn seal(&self, packet: &mut Packet<'_>) -> Option<()>;
    fn open(&self, packet: &mut Packet<'_>) -> Option<()>;
}

struct Crate<K> {
    keys: Vec<K>,
}

impl<K: Key> Crate<K> {
    fn new(keys: &RawKeys) -> Result<Crate<K>, Error> {
        let keys: Option<_> = keys.iter().map(|raw| K::expand(keys.length, raw)).collect();
        Ok(Crate { keys: keys.ok_or(Error::Peer(K::NAME))? })
    }
}

impl<K: Key> Contender for Crate<K> {
    fn name(&self) -> String {
        K::NAME.to_owned()
    }

    fn key_bytes(&self) -> usize {
        size_of::<K>()
    }

    fn lap(&self, op: Op, packets: &mut [Packet<'_>]) -> Lap {
        timed(|| {
            let mut failed = 0;
            for packet in packets {
                let done = self.keys.get(packet.key).and_then(|key| match op {
                    Op::Encrypt => key.seal(packet),
                    Op::Decrypt => key.open(packet),
                });
                failed += usize::from(done.is_none());
            }
            failed
        })
    }
}

macro_rules! aes_gcm {
    ($cipher:ty) => {
        impl Key for $cipher {
            const NAME: &'static str = "aes-gcm";

            fn expand(_: KeyLen, raw: &[u8]) -> Option<Self> {
                <$cipher>::new_from_slice(raw).ok()
            }

            #[inline]
            fn seal(&self, packet: &mut Packet<'_>) -> Option<()> {
                let (nonce, aad) = (packet.nonce, packet.aad);
                let (text, tag) = packet.parts()?;
                let made = self.encrypt_inout_detached((&nonce).into(), &aad, InOutBuf::from(text)).ok()?;
                *tag = made.into();
                Some(())
            }

            #[inline]
            fn open(&self, packet: &mut Packet<'_>) -> Option<()> {
                let (nonce, aad) = (packet.nonce, packet.aad);
                let (text, tag) = packet.parts()?;
                let tag = (&*tag).into();
                self.decrypt_inout_detached((&nonce).into(), &aad, InOutBuf::from(text), tag).ok()
            }
        }
    };
}
aes_gcm!(Aes128Gcm);
aes_gcm!(Aes256Gcm);

/// `aws-lc-rs` has the API of `ring`.
macro_rules! ring {
    ($library:ident, $name:literal) => {
        impl Key for $library::aead::LessSafeKey {
            const NAME: &'static str = $name;

            fn expand(length: KeyLen, raw: &[u8]) -> Option<Self> {
                let algorithm = match length {
                    KeyLen::Aes128 => &$library::aead::AES_128_GCM,
                    KeyLen::Aes192 => return None,
                    KeyLen::Aes256 => &$library::aead::AES_256_GCM,
                };
                let key = $library::aead::UnboundKey::new(algorithm, raw).ok()?;
                Some($library::aead::LessSafeKey::new(key))
            }

            #[inline]
            fn seal(&self, packet: &mut Packet<'_>) -> Option<()> {
                let nonce = $library::aead::Nonce::assume_unique_for_key(packet.nonce);
                let aad = $library::aead::Aad::from(packet.aad);
                let (text, tag) = packet.parts()?;
                let made = self.seal_in_place_separate_tag(nonce, aad, text).ok()?;
                tag.copy_from_slice(made.as_ref());
                Some(())
            }

            #[inline]
            fn open(&self, packet: &mut Packet<'_>) -> Option<()> {
                let nonce = $library::aead::Nonce::assume_unique_for_key(packet.nonce);
                let aad = $library::aead::Aad::from(packet.aad);
                self.open_in_place(nonce, aad, packet.sealed()?).ok().map(|_| ())
            }
        }
    };
}
ring!(ring, "ring");
ring!(aws_lc_rs, "aws-lc-rs");
