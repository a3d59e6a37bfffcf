//! What does the work: chosen once, by what the processor has or by name.

use crate::batch::{Aad, Job, open_by, seal_by};
use crate::gmac::{authenticate_by, verify_by};
#[cfg(target_arch = "x86_64")]
use crate::simd::Width;
use crate::{Key, NONCE_LEN, TAG_LEN, reference};
use model::{IcvLen, KeyLen};
use std::fmt;
use std::sync::OnceLock;

/// An implementation of AES-GCM that runs on this processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackEnd(pub(crate) Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The library `aes-gcm`.
    Portable,
    /// Our kernel.
    #[cfg(target_arch = "x86_64")]
    Simd(Width),
}

/// No back end of that name runs here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AES-GCM back end '{name}' runs on this processor; there are: {}", names())]
pub struct NoSuchBackEnd {
    /// What was asked for.
    pub name: String,
}

/// What [`BackEnd::chosen`] gives.
static CHOSEN: OnceLock<BackEnd> = OnceLock::new();

impl BackEnd {
    /// Those that run on this processor, the fastest first.
    pub fn available() -> Vec<BackEnd> {
        #[cfg(target_arch = "x86_64")]
        let simd = [Width::four(), Width::two(), Width::one()].into_iter().flatten().map(Kind::Simd);
        #[cfg(not(target_arch = "x86_64"))]
        let simd = std::iter::empty();
        simd.chain([Kind::Portable]).map(BackEnd).collect()
    }

    /// The one in use: the fastest that is [sound](BackEnd::is_sound), unless [`BackEnd::choose`] came before.
    #[inline]
    pub fn chosen() -> BackEnd {
        *CHOSEN.get_or_init(|| {
            let sound = BackEnd::available().into_iter().find(|each| each.is_sound());
            sound.unwrap_or(BackEnd(Kind::Portable))
        })
    }

    /// Whether it does packets of all sorts of lengths as the slow twin does: a look before traffic depends on it, as a
    /// processor may be one that nobody has tried it on. Takes some milliseconds.
    pub fn is_sound(self) -> bool {
        [KeyLen::Aes128, KeyLen::Aes256].into_iter().all(|length| {
            let key: [u8; 32] = std::array::from_fn(|place| place as u8);
            let key = &key[..length.bytes()];
            let Ok(slow) = reference::Key::new(key, length) else { return false };
            let Ok(fast) = Key::new_for(self, key, length) else { return false };
            (0..=700).step_by(7).all(|len| self.agrees(&fast, &slow, len))
        })
    }

    fn agrees(self, fast: &Key, slow: &reference::Key, len: usize) -> bool {
        const AROUND: usize = 3;
        let nonce = [len as u8; NONCE_LEN];
        let aad = Aad::from([7; 8]);
        let clear: Vec<u8> = (0..AROUND + len + TAG_LEN + AROUND).map(|place| place as u8).collect();
        let text = AROUND..AROUND + len;
        let mut expected = clear.clone();
        let tag = slow.seal(&nonce, aad.as_slice(), &mut [&mut expected[text.clone()]]);
        expected[text.end..text.end + TAG_LEN].copy_from_slice(&tag);

        let mut packet = clear.clone();
        let icv = IcvLen::Bytes16;
        let mut job = [Job { key: fast, nonce, aad, packet: &mut packet, text: text.clone(), icv }];
        let sealed = seal_by(self, &mut job) == 0 && *job[0].packet == *expected;
        let opened = open_by(self, &mut job) == 0 && job[0].packet[..text.end] == clear[..text.end];
        let tag = slow.authenticate(&nonce, &[aad.as_slice(), &clear[text.clone()]].concat());
        let authenticated =
            authenticate_by(self, &mut job) == 0 && job[0].packet[text.end..][..TAG_LEN] == tag;
        let verified = verify_by(self, &mut job) == 0;
        job[0].packet[text.end] ^= 1;
        let refused = verify_by(self, &mut job) == 1 && open_by(self, &mut job) == 1;
        sealed && opened && authenticated && verified && refused
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`NoSuchBackEnd`].
    pub fn named(name: &str) -> Result<BackEnd, NoSuchBackEnd> {
        let named = BackEnd::available().into_iter().find(|each| each.name() == name);
        named.ok_or_else(|| NoSuchBackEnd { name: name.to_owned() })
    }

    /// Has this one used from now on. To be called before anything else, as keys are made for a back end; later it has no
    /// effect. Returns what is in use.
    pub fn choose(self) -> BackEnd {
        *CHOSEN.get_or_init(|| self)
    }

    /// Its name: `vaes-512`, `vaes-256`, `aes-ni` or `portable`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Simd(width) => width.name(),
        }
    }
}

impl fmt::Debug for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn names() -> String {
    BackEnd::available().iter().map(|each| each.name()).collect::<Vec<_>>().join(", ")
}
