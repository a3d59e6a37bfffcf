//! Debian's libipsec-mb, by its direct API: a call per packet to what its manager found best for this processor. The one
//! place of the bench where C is called.

use super::case::Op;
use super::contender::{BURST, Contender, RawKeys};
use super::traffic::Packet;
use crate::Error;
use crate::clock::{Lap, timed};
use gcm::TAG_LEN;
use model::KeyLen;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ffi::CStr;
use std::ptr;
use std::rc::Rc;

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    dead_code,
    clippy::all
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/ipsec_mb.rs"));
}
use bindings::{IMB_MGR, gcm_context_data, gcm_key_data};

/// `aes_gcm_enc_dec_t`: key, context, out, in, length, IV, AAD, its length, tag, its length.
type Run = unsafe extern "C" fn(
    *const gcm_key_data,
    *mut gcm_context_data,
    *mut u8,
    *const u8,
    u64,
    *const u8,
    *const u8,
    u64,
    *mut u8,
    u64,
);

/// The library's keys and functions for them.
struct Library {
    keys: Vec<gcm_key_data>,
    seal: Run,
    open: Run,
}

/// The library; maybe by a user who brings keys in ahead, for which it has no function but nothing hides them.
struct IpsecMb {
    library: Rc<Library>,
    prefetch: bool,
}

/// The library as it is, and with `prefetch` also by a user who brings keys in ahead.
///
/// # Errors
///
/// [`Error::Peer`], if it has nothing for this processor.
pub(super) fn contenders(keys: &RawKeys, prefetch: bool) -> Result<Vec<Box<dyn Contender>>, Error> {
    let library = Rc::new(Library::new(keys).ok_or(Error::Peer("libipsec-mb"))?);
    let ahead = prefetch.then(|| IpsecMb { library: Rc::clone(&library), prefetch });
    let plain = IpsecMb { library, prefetch: false };
    Ok([Some(plain), ahead].into_iter().flatten().map(|each| Box::new(each) as Box<dyn Contender>).collect())
}

/// Its version.
pub(super) fn version() -> String {
    // SAFETY: it gives a string that lives for ever, and takes nothing.
    unsafe { CStr::from_ptr(bindings::imb_get_version_str()) }.to_string_lossy().into_owned()
}

impl Library {
    fn new(keys: &RawKeys) -> Option<Library> {
        // SAFETY: a manager that the library gave is set up and read, and nobody else has it. What is taken out of it are
        // addresses of functions, which outlive it.
        let (expand, seal, open) = unsafe {
            let manager: *mut IMB_MGR = bindings::alloc_mb_mgr(0);
            let found = manager.as_mut().map(|manager| {
                bindings::init_mb_mgr_auto(manager, ptr::null_mut());
                match keys.length {
                    KeyLen::Aes128 => (manager.gcm128_pre, manager.gcm128_enc, manager.gcm128_dec),
                    KeyLen::Aes192 => (manager.gcm192_pre, manager.gcm192_enc, manager.gcm192_dec),
                    KeyLen::Aes256 => (manager.gcm256_pre, manager.gcm256_enc, manager.gcm256_dec),
                }
            });
            bindings::free_mb_mgr(manager);
            found?
        };
        let expand = expand?;
        let one = |raw: &[u8]| {
            // SAFETY: plain bytes, of which all being zero is as good as any.
            let mut key: gcm_key_data = unsafe { std::mem::zeroed() };
            // SAFETY: it reads as many bytes as this length of key has, and writes within the structure.
            unsafe { expand(raw.as_ptr().cast(), &mut key) };
            key
        };
        Some(Library { keys: keys.iter().map(one).collect(), seal: seal?, open: open? })
    }
}

impl IpsecMb {
    /// One call: the tag goes to `tag`.
    #[inline]
    fn run(&self, run: Run, packet: &mut Packet<'_>, tag: &mut [u8; TAG_LEN]) -> bool {
        let key = self.library.keys.get(packet.key);
        let text = packet.buffer.get_mut(packet.text.clone());
        let Some((key, text)) = key.zip(text) else { return false };
        let mut context = std::mem::MaybeUninit::uninit();
        // SAFETY: key, text, IV of 12 bytes, AAD and tag are there in the lengths that are said; the text may be worked on
        // in place; the context is the function's to write before it reads it.
        unsafe {
            run(
                key,
                context.as_mut_ptr(),
                text.as_mut_ptr(),
                text.as_ptr(),
                text.len() as u64,
                packet.nonce.as_ptr(),
                packet.aad.as_ptr(),
                packet.aad.len() as u64,
                tag.as_mut_ptr(),
                TAG_LEN as u64,
            );
        }
        true
    }

    #[inline]
    fn seal(&self, packet: &mut Packet<'_>) -> bool {
        let mut tag = [0; TAG_LEN];
        let done = self.run(self.library.seal, packet, &mut tag);
        let place = packet.parts().map(|(_, place)| *place = tag);
        done && place.is_some()
    }

    /// The library only says which tag it should be.
    #[inline]
    fn open(&self, packet: &mut Packet<'_>) -> bool {
        let mut tag = [0; TAG_LEN];
        let done = self.run(self.library.open, packet, &mut tag);
        let given = packet.parts().map_or(0, |(_, place)| u128::from_le_bytes(*place));
        done && u128::from_le_bytes(tag) ^ given == 0
    }

    /// Brings in all of a burst's keys.
    #[inline]
    fn bring(&self, burst: &[Packet<'_>]) {
        for key in burst.iter().filter_map(|packet| self.library.keys.get(packet.key)) {
            for line in (0..size_of::<gcm_key_data>()).step_by(64) {
                // SAFETY: within the key; and a prefetch may name any address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(key).cast::<i8>().add(line)) };
            }
        }
    }
}

impl Contender for IpsecMb {
    fn name(&self) -> String {
        if self.prefetch { "ipsec-mb+prefetch" } else { "ipsec-mb" }.to_owned()
    }

    fn key_bytes(&self) -> usize {
        size_of::<gcm_key_data>()
    }

    fn lap(&self, op: Op, packets: &mut [Packet<'_>]) -> Lap {
        timed(|| {
            let mut failed = 0;
            let mut bursts = packets.chunks_mut(BURST).peekable();
            while let Some(burst) = bursts.next() {
                if self.prefetch
                    && let Some(next) = bursts.peek()
                {
                    self.bring(next);
                }
                for packet in burst {
                    let done = match op {
                        Op::Encrypt => self.seal(packet),
                        Op::Decrypt => self.open(packet),
                    };
                    failed += usize::from(!done);
                }
            }
            failed
        })
    }
}
