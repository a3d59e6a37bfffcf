//! Routes whose range ends where the addresses end: the default route, `128.0.0.0/1`, `8000::/1` and so on.
//!
//! DPDK 22.11 must not see them. Where other routes fill such a range, it takes what is left of it, which is nothing,
//! for all addresses: a default route that comes after both of its halves would take every packet. So each of them is
//! given to DPDK as steps, which lie side by side and end before: `0.0.0.0/1`, `128.0.0.0/2`, `192.0.0.0/3` and so on.
//! A step that is a route of its own keeps that route's next hop.
//!
//! Both families have the same steps, down to 24 bits: longer prefixes would cost second-level tables, and where they
//! end last they are multicast or reserved, so that nobody fills a range with them.

use crate::error::Errno;

/// The steps are numbered from 1: prefixes of 1, 2, ... 24 bits, and one of 24 bits to the end.
pub(super) const STEPS: usize = LONGEST as usize + 1;
const LONGEST: u8 = 24;

/// What of a table concerns the steps.
#[derive(Clone, Debug)]
pub(super) struct LastRoutes {
    /// Next hops of the routes that end where the addresses end, by the length of their prefix.
    ending: [Option<u32>; STEPS],
    /// Next hops of the routes that are a step, by the step's number less one.
    steps: [Option<u32>; STEPS],
}

impl LastRoutes {
    /// There are no routes.
    pub(super) const NONE: LastRoutes = LastRoutes { ending: [None; STEPS], steps: [None; STEPS] };

    /// Where a route's next hop is kept, if it is one of these: by the first 32 bits of its address, of which those
    /// behind the prefix do not matter.
    pub(super) fn place(&mut self, first: u32, prefix_len: u8) -> Option<&mut Option<u32>> {
        let number = usize::from(prefix_len);
        let behind = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
        if prefix_len > LONGEST {
            None
        } else if first | behind == u32::MAX {
            Some(&mut self.ending[number])
        } else if number > 0 && first & !behind == step(number).0 {
            Some(&mut self.steps[number - 1])
        } else {
            None
        }
    }

    /// The next hop of a step: its own, or that of the longest route around it.
    pub(super) fn next_hop(&self, number: usize) -> Option<u32> {
        self.steps[number - 1].or_else(|| self.ending[..number].iter().rev().find_map(|&hop| hop))
    }

    /// Gives a route a next hop, or takes it away, by `write`, which has DPDK do so with a step (see [`step`]). After
    /// an error all is as before. Returns nothing, and does nothing, if the route is none of these.
    pub(super) fn change(
        &mut self,
        first: u32,
        prefix_len: u8,
        hop: Option<u32>,
        write: impl Fn(u32, u8, Option<u32>) -> Result<(), Errno>,
    ) -> Option<Result<(), Errno>> {
        // Nearly all routes are none of these.
        self.place(first, prefix_len)?;
        let mut new = self.clone();
        let place = new.place(first, prefix_len)?;
        if place.is_none() && hop.is_none() {
            return Some(Err(Errno::NOENT));
        }
        *place = hop;
        let written = self.write_changes(&new, &write);
        match written {
            Ok(()) => *self = new,
            // What was there before has room again. A step that was never written cannot go, which is no matter.
            Err(_) => drop(new.write_changes(self, &write)),
        }
        Some(written)
    }

    /// Writes each step in which `new` differs, whatever becomes of the others, and returns the first error.
    fn write_changes(
        &self,
        new: &LastRoutes,
        write: impl Fn(u32, u8, Option<u32>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut result = Ok(());
        for number in (1..=STEPS).filter(|&number| self.next_hop(number) != new.next_hop(number)) {
            let (first, prefix_len) = step(number);
            result = result.and(write(first, prefix_len, new.next_hop(number)));
        }
        result
    }
}

/// A step's prefix: the first 32 bits of its address, the others being zero, and its length.
fn step(number: usize) -> (u32, u8) {
    (!(u32::MAX >> (number - 1)), (number as u8).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    #[test]
    fn the_steps_are_all_addresses_side_by_side() {
        let mut next = 0_u64;
        for (first, len) in (1..=STEPS).map(step) {
            assert_eq!(u64::from(first), next);
            next += 1 << (32 - len);
        }
        assert_eq!(next, 1 << 32);
    }

    #[test]
    fn a_route_has_a_place_if_it_ends_last_or_is_a_step() {
        let mut routes = LastRoutes::NONE;
        for (first, len) in
            [(0, 0), (1 << 31, 1), (u32::MAX, 1), (0, 1), (7, 1), (u32::MAX, 24), (0xffff_feff, 24)]
        {
            assert!(routes.place(first, len).is_some(), "{first:x}/{len}");
        }
        for (first, len) in [(0, 2), (1 << 31, 3), (0xffff_fdff, 24), (u32::MAX, 25), (u32::MAX, 128)] {
            assert!(routes.place(first, len).is_none(), "{first:x}/{len}");
        }
    }

    #[test]
    fn a_step_has_its_own_next_hop_or_that_of_the_longest_route_around_it() {
        let mut routes = LastRoutes::NONE;
        *routes.place(0, 0).unwrap() = Some(1);
        *routes.place(0xc000_0000, 2).unwrap() = Some(2);
        *routes.place(0xe000_0000, 4).unwrap() = Some(3);
        let hops: Vec<_> = (1..=5).map(|number| routes.next_hop(number)).collect();
        assert_eq!(hops, [1, 1, 2, 3, 2].map(Some));
        *routes.place(0, 0).unwrap() = None;
        assert_eq!(routes.next_hop(1), None);
    }

    /// A table that refuses all routes but `room` new ones.
    fn table(room: usize) -> impl Fn(u32, u8, Option<u32>) -> Result<(), Errno> {
        let routes = RefCell::new(BTreeMap::new());
        move |first, len, hop| {
            let mut routes = routes.borrow_mut();
            let there = routes.contains_key(&(first, len));
            match hop {
                None => routes.remove(&(first, len)).map(|_| ()).ok_or(Errno::NOENT),
                Some(_) if !there && routes.len() == room => Err(Errno::INVAL),
                Some(hop) => {
                    routes.insert((first, len), hop);
                    Ok(())
                }
            }
        }
    }

    #[test]
    fn a_route_that_finds_no_room_changes_nothing() {
        let mut routes = LastRoutes::NONE;
        let write = table(3);
        assert_eq!(routes.change(0, 1, Some(1), &write), Some(Ok(())));
        assert_eq!(routes.change(1, 32, Some(1), &write), None);
        assert_eq!(routes.change(0, 0, Some(2), &write), Some(Err(Errno::INVAL)));
        assert_eq!(routes.change(0, 0, None, &write), Some(Err(Errno::NOENT)));
        assert_eq!(routes.next_hop(2), None);
        // There is as much room as before.
        for (first, hop) in [(0x8000_0000, 3), (0xc000_0000, 4)] {
            assert_eq!(routes.change(first, 2 + u8::from(hop == 4), Some(hop), &write), Some(Ok(())));
        }
        assert_eq!(routes.change(0, 1, None, &write), Some(Ok(())));
    }
}
