//! The steps in plain Rust.

use super::{BURST, Burst, Kernel};
use crate::block::{Block, LANES, Row, word};
use crate::layout::pick;

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        pick(word, mask)
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: Block<'_, N>, burst: &Burst<N>, slot: usize) -> u32 {
        let key: [u32; N] = std::array::from_fn(|word| burst.words[word][slot % BURST]);
        let unseen = burst.unseen[slot % BURST] as u16;
        let row = |row: &Row| -> [u32; LANES] { std::array::from_fn(|lane| word(row, lane)) };
        let mut unlike = [0_u32; LANES];
        for (word, key) in key[..N - 2].iter().enumerate() {
            let (values, shifts) = (row(block.values(word)), block.shifts(word));
            for lane in 0..LANES {
                unlike[lane] |= (key ^ values[lane]).checked_shr(shifts[lane].into()).unwrap_or(0);
            }
        }
        let (firsts, extents) = (row(block.firsts()), row(block.extents()));
        for lane in 0..LANES {
            let beyond = |shift: u32| {
                let port = |word: u32| (word >> shift) as u16;
                port(key[N - 2]).wrapping_sub(port(firsts[lane])) | unseen > port(extents[lane])
            };
            let protocol = (key[N - 1] as u8 ^ block.protocols()[lane]) & block.masks()[lane];
            unlike[lane] |= u32::from(protocol) | u32::from(beyond(0) | beyond(16));
        }
        if let Some((values, masks)) = block.marks() {
            let (values, masks) = (row(values), row(masks));
            for lane in 0..LANES {
                unlike[lane] |= (key[N - 1] ^ values[lane]) & masks[lane];
            }
        }
        (0..LANES).fold(0, |matching, lane| matching | u32::from(unlike[lane] == 0) << lane)
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, _: Block<'_, N>) {}
}
