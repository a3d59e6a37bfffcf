//! The steps in plain Rust.

use super::{BURST, Burst, Kernel, Row};
use crate::layout::{LANES, pick, ports_row, protocol_row, rows};

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn pick(self, word: u32, mask: u32) -> u32 {
        pick(word, mask)
    }

    #[inline(always)]
    fn compare<const N: usize>(self, block: &[Row], burst: &Burst<N>, slot: usize) -> u32 {
        let key: [u32; N] = std::array::from_fn(|word| burst.words[word][slot % BURST]);
        let Some(block) = block.get(..rows(N)) else { return 0 };
        let row = |row: usize| -> [u32; LANES] {
            std::array::from_fn(|lane| u32::from_le_bytes(block[row].as_chunks().0[lane]))
        };
        let mut unlike = [0_u32; LANES];
        for (word, key) in key[..N - 2].iter().enumerate() {
            let (values, masks) = (row(2 * word), row(2 * word + 1));
            for lane in 0..LANES {
                unlike[lane] |= (key ^ values[lane]) & masks[lane];
            }
        }
        let (firsts, extents, protocols) = (row(ports_row(N)), row(ports_row(N) + 1), row(protocol_row(N)));
        for lane in 0..LANES {
            let beyond = |shift: u32| {
                let port = |word: u32| (word >> shift) as u16;
                port(key[N - 2]).wrapping_sub(port(firsts[lane])) > port(extents[lane])
            };
            let protocol = (key[N - 1] ^ protocols[lane]) & protocols[lane] >> 16;
            unlike[lane] |= protocol | u32::from(beyond(0) | beyond(16));
        }
        (0..LANES).fold(0, |matching, lane| matching | u32::from(unlike[lane] == 0) << lane)
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, _: &[Row]) {}
}
