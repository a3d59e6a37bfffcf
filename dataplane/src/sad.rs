//! The inbound half of the security association database: from SPI to SA (RFC 4301, section 4.4.2).

use std::sync::Arc;

/// Open addressing over a power of two, at most half full, so that a lookup touches one cache line nearly always.
///
/// The SPI is spread by a multiplication with an odd number that nobody outside knows, so that a peer who may choose
/// SPIs cannot choose collisions.
#[derive(Debug)]
pub(crate) struct SpiTable<T> {
    /// SPI (0 is empty: never a valid SPI) and place in `values`.
    slots: Box<[(u32, u32)]>,
    values: Vec<Arc<T>>,
    multiplier: u32,
    shift: u32,
}

impl<T> SpiTable<T> {
    /// Builds the table. Of two entries with one SPI the first wins; the caller has seen to it that there are none.
    pub(crate) fn new(
        entries: impl ExactSizeIterator<Item = (model::Spi, Arc<T>)>,
        secret: u32,
    ) -> SpiTable<T> {
        let bits = (entries.len().max(1) * 2).next_power_of_two().trailing_zeros().max(4);
        let mut table = SpiTable {
            slots: vec![(0, 0); 1 << bits].into_boxed_slice(),
            values: Vec::with_capacity(entries.len()),
            multiplier: secret | 1,
            shift: 32 - bits,
        };
        for (spi, value) in entries {
            let place = table.place(spi.get());
            if table.slots[place].0 == 0 {
                table.slots[place] = (spi.get(), table.values.len() as u32);
                table.values.push(value);
            }
        }
        table
    }

    /// Where the SPI is looked for first.
    #[inline]
    fn first(&self, spi: u32) -> usize {
        (spi.wrapping_mul(self.multiplier) >> self.shift) as usize & (self.slots.len() - 1)
    }

    /// Where the SPI is, or the empty slot where it would be.
    #[inline]
    fn place(&self, spi: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = self.first(spi);
        // Ends: at least half of the slots are empty.
        while self.slots[place].0 != spi && self.slots[place].0 != 0 {
            place = (place + 1) & mask;
        }
        place
    }

    /// Asks the memory for what [`SpiTable::fetch_value`] reads.
    #[inline]
    pub(crate) fn fetch_slot(&self, spi: u32) {
        let slot = &self.slots[self.first(spi)];
        dpdk::prefetch(slot, size_of_val(slot));
    }

    /// Asks the memory for what [`SpiTable::get`] reads beside that.
    #[inline]
    pub(crate) fn fetch_value(&self, spi: u32) {
        let (found, value) = self.slots[self.place(spi)];
        if found != 0
            && let Some(value) = self.values.get(value as usize)
        {
            dpdk::prefetch(value, size_of_val(value));
        }
    }

    /// The SA with this SPI, as read from the packet (any value).
    #[inline]
    pub(crate) fn get(&self, spi: u32) -> Option<&Arc<T>> {
        let (found, value) = self.slots[self.place(spi)];
        if found == 0 { None } else { self.values.get(value as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn finds_what_a_map_finds(
            spis in prop::collection::hash_set(256u32.., 0..300),
            near in prop::collection::vec(any::<u32>(), 0..300),
            secret in any::<u32>(),
        ) {
            let map: HashMap<u32, u32> = spis.iter().map(|&spi| (spi, !spi)).collect();
            let entries: Vec<_> =
                spis.iter().map(|&spi| (model::Spi::new(spi).unwrap(), Arc::new(!spi))).collect();
            let table = SpiTable::new(entries.into_iter(), secret);
            for spi in spis.iter().copied().chain(near).chain([0, 1, 255, u32::MAX]) {
                prop_assert_eq!(table.get(spi).map(|value| **value), map.get(&spi).copied());
            }
        }
    }
}
