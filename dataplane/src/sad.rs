//! The inbound half of the security association database: from SPI to SA (RFC 4301, section 4.4.2).

use crate::pages::Pages;
use model::Spi;
use std::sync::Arc;

/// The fewest slots, as a power of two.
const FEWEST: u32 = 7;

/// Open addressing over a power of two, at most half full, so that a lookup touches one cache line nearly always. A copy, which is
/// what workers see, costs its [pages](Pages), and a change the page that it is on.
///
/// The SPI is spread by a multiplication with an odd number that nobody outside knows, so that a peer who may choose
/// SPIs cannot choose collisions.
#[derive(Debug)]
pub(crate) struct SpiTable<T> {
    slots: Pages<Slot<T>>,
    mask: usize,
    count: usize,
    multiplier: u32,
    shift: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// 0, which is never a valid SPI, is empty.
    spi: u32,
    sa: Option<Arc<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot { spi: 0, sa: None }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Slot<T> {
        Slot { spi: self.spi, sa: self.sa.clone() }
    }
}

impl<T> Clone for SpiTable<T> {
    fn clone(&self) -> SpiTable<T> {
        SpiTable { slots: self.slots.clone(), ..*self }
    }
}

impl<T> SpiTable<T> {
    /// An empty table.
    pub(crate) fn new(secret: u32) -> SpiTable<T> {
        SpiTable::with_bits(FEWEST, secret)
    }

    fn with_bits(bits: u32, secret: u32) -> SpiTable<T> {
        SpiTable {
            slots: Pages::with_room(1 << bits),
            mask: (1 << bits) - 1,
            count: 0,
            multiplier: secret | 1,
            shift: 32 - bits,
        }
    }

    /// Where an SPI is looked for first.
    #[inline]
    fn home(&self, spi: u32) -> usize {
        (spi.wrapping_mul(self.multiplier) >> self.shift) as usize & self.mask
    }

    #[inline]
    fn slot(&self, place: usize) -> Option<&Slot<T>> {
        self.slots.get(place)
    }

    fn spi_at(&self, place: usize) -> u32 {
        self.slot(place).map_or(0, |slot| slot.spi)
    }

    /// Where the SPI is, or the empty slot where it would be.
    fn place(&self, spi: u32) -> usize {
        let mut place = self.home(spi);
        // Ends: at least half of the slots are empty.
        while ![0, spi].contains(&self.spi_at(place)) {
            place = (place + 1) & self.mask;
        }
        place
    }

    /// Asks the memory for what [`SpiTable::get`] reads first, and mostly alone.
    #[inline]
    pub(crate) fn fetch(&self, spi: u32) {
        if let Some(slot) = self.slot(self.home(spi)) {
            dpdk::prefetch(slot, size_of_val(slot));
        }
    }

    /// The SA with this SPI, as read from the packet (any value).
    #[inline]
    pub(crate) fn get(&self, spi: u32) -> Option<&Arc<T>> {
        let mut place = self.home(spi);
        loop {
            let slot = self.slot(place)?;
            if slot.spi == spi || slot.spi == 0 {
                return slot.sa.as_ref();
            }
            place = (place + 1) & self.mask;
        }
    }

    /// Puts an SA in, or in the place of the one with its SPI.
    pub(crate) fn set(&mut self, spi: Spi, sa: Arc<T>) {
        if 2 * (self.count + 1) > self.mask + 1 {
            self.grow();
        }
        let place = self.place(spi.get());
        let slot = self.slots.get_mut(place);
        self.count += usize::from(slot.spi == 0);
        *slot = Slot { spi: spi.get(), sa: Some(sa) };
    }

    /// Takes the SA with that SPI out, if it is there. What was put behind it moves up, so that it is found without it.
    pub(crate) fn remove(&mut self, spi: Spi) {
        let mut hole = self.place(spi.get());
        if self.spi_at(hole) == 0 {
            return;
        }
        self.count -= 1;
        let mut place = hole;
        loop {
            place = (place + 1) & self.mask;
            let next = self.spi_at(place);
            if next == 0 {
                break;
            }
            // One that is looked for from between the hole and its place would not be found in the hole.
            let way = |from: usize, to: usize| to.wrapping_sub(from) & self.mask;
            if way(self.home(next), place) >= way(hole, place) {
                let moved = self.slot(place).cloned().unwrap_or_default();
                *self.slots.get_mut(hole) = moved;
                hole = place;
            }
        }
        *self.slots.get_mut(hole) = Slot::default();
    }

    fn grow(&mut self) {
        let mut grown = SpiTable::with_bits(32 - self.shift + 1, self.multiplier);
        for slot in (0..=self.mask).filter_map(|place| self.slot(place)) {
            if slot.spi != 0 {
                let place = grown.place(slot.spi);
                *grown.slots.get_mut(place) = slot.clone();
            }
        }
        grown.count = self.count;
        *self = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn spi(number: u32) -> Spi {
        Spi::new(number).unwrap()
    }

    proptest! {
        /// What comes and goes, against a map; and a copy against what the map was.
        #[test]
        fn finds_what_a_map_finds(
            steps in prop::collection::vec((256..700u32, any::<bool>()), 0..900),
            apart in prop::collection::vec(256u32.., 0..50),
            copied in 0..900usize,
            secret: u32,
        ) {
            let (mut table, mut map) = (SpiTable::new(secret), HashMap::new());
            let mut copy = (table.clone(), map.clone());
            let apart_too = apart.iter().map(|&number| (number, true));
            for (step, (number, comes)) in steps.iter().copied().chain(apart_too).enumerate() {
                if step == copied {
                    copy = (table.clone(), map.clone());
                }
                if comes {
                    table.set(spi(number), Arc::new(step));
                    map.insert(number, step);
                } else {
                    table.remove(spi(number));
                    map.remove(&number);
                }
            }
            for (table, map) in [&copy, &(table, map)] {
                for number in (0..720).chain(apart.iter().copied()).chain([u32::MAX]) {
                    prop_assert_eq!(table.get(number).map(|value| **value), map.get(&number).copied());
                }
            }
        }
    }
}
