//! No byte outside of a packet is read or written: packets lie at the edges of memory, with none before or behind.
#![allow(clippy::unwrap_used, reason = "a test")]

use gcm::{Aad, BackEnd, Job, Key, authenticate_by, open_by, seal_by, verify_by};
use model::{IcvLen, KeyLen};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;

/// More than a page has on any machine.
const EDGE: usize = 1 << 16;
const ROOM: usize = 2 * EDGE;

/// [`ROOM`] bytes between two stretches that nobody may touch.
struct Island(*mut c_void);

impl Island {
    fn new() -> Island {
        // SAFETY: a new mapping touches nothing that there is; what is unlocked is within it, and begins with a page.
        unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            let start =
                mmap_anonymous(std::ptr::null_mut(), ROOM + 2 * EDGE, ProtFlags::empty(), flags).unwrap();
            mprotect(start.byte_add(EDGE), ROOM, MprotectFlags::READ | MprotectFlags::WRITE).unwrap();
            Island(start)
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: these bytes are mapped and zero at first, and they are this island's alone.
        unsafe { std::slice::from_raw_parts_mut(self.0.cast::<u8>().add(EDGE), ROOM) }
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it any more.
        unsafe { munmap(self.0, ROOM + 2 * EDGE) }.unwrap();
    }
}

#[test]
fn nothing_beyond_is_touched() {
    let mut island = Island::new();
    for back_end in BackEnd::available() {
        let key = Key::new_for(back_end, &[7; 16], KeyLen::Aes128).unwrap();
        for len in (0..=700).chain([1420, 9000, 65_535]) {
            for icv in [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16] {
                let all = len + icv.bytes();
                around(back_end, &key, &mut island.bytes()[..all], icv);
                around(back_end, &key, &mut island.bytes()[ROOM - all..], icv);
            }
        }
    }
}

/// Seals and opens, authenticates and verifies the packet.
fn around(back_end: BackEnd, key: &Key, packet: &mut [u8], icv: IcvLen) {
    let text = 0..packet.len() - icv.bytes();
    packet[text.clone()].fill(5);
    for act in [seal_by, open_by, authenticate_by, verify_by] {
        let (nonce, aad, text) = ([1; 12], Aad::from([2; 12]), text.clone());
        let job = Job { key, nonce, aad, packet: &mut *packet, text, icv };
        assert_eq!(act(back_end, &mut [job]), 0, "{back_end:?}");
    }
    assert!(packet[text].iter().all(|byte| *byte == 5), "{back_end:?}");
}
