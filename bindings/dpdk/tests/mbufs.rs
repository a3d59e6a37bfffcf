//! One packet: growing and shrinking at both ends up to the limits, in one segment and in several.
#![allow(clippy::unwrap_used)]

mod common;

use common::{capture, device, eal, packets, pool};
use dpdk::{HEADROOM, Mbuf, Mempool, NoRoom, Packets, PortConfig};
use proptest::prelude::*;
use std::collections::VecDeque;

const ROOM: usize = 300;

#[derive(Clone, Debug)]
enum Step {
    Prepend(usize),
    Append(usize),
    TrimFront(usize),
    TrimBack(usize),
    Grow(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    // Often within the limits, often at them, sometimes absurd.
    let size =
        || prop_oneof![4 => 0..40_usize, 2 => 0..500_usize, 1 => Just(usize::MAX), 1 => 65_500..65_600_usize];
    prop_oneof![
        size().prop_map(Step::Prepend),
        size().prop_map(Step::Append),
        size().prop_map(Step::TrimFront),
        size().prop_map(Step::TrimBack),
        (size(), size()).prop_map(|(front, back)| Step::Grow(front, back)),
    ]
}

/// The same packet, as bytes in a queue and room at both ends.
struct Twin {
    bytes: VecDeque<u8>,
    front: usize,
    back: usize,
}

impl Twin {
    /// Does a step with new bytes of `fill`; false if there is no room, and then nothing changed.
    fn step(&mut self, step: &Step, fill: u8) -> bool {
        let len = self.bytes.len();
        let (front, back, off_front, off_back) = match *step {
            Step::Prepend(n) => (n, 0, 0, 0),
            Step::Append(n) => (0, n, 0, 0),
            Step::TrimFront(n) => (0, 0, n, 0),
            Step::TrimBack(n) => (0, 0, 0, n),
            Step::Grow(front, back) => (front, back, 0, 0),
        };
        if front > self.front || back > self.back || off_front > len || off_back > len {
            return false;
        }
        (0..front).for_each(|_| self.bytes.push_front(fill));
        (0..back).for_each(|_| self.bytes.push_back(fill));
        self.bytes.drain(..off_front);
        self.bytes.truncate(self.bytes.len() - off_back);
        self.front = self.front - front + off_front;
        self.back = self.back - back + off_back;
        true
    }
}

fn step(mbuf: &mut Mbuf, step: &Step, fill: u8) -> bool {
    let done = match *step {
        Step::Prepend(n) => mbuf.prepend(n).map(|bytes| bytes.fill(fill)),
        Step::Append(n) => mbuf.append(n).map(|bytes| bytes.fill(fill)),
        Step::TrimFront(n) => mbuf.trim_front(n),
        Step::TrimBack(n) => mbuf.trim_back(n),
        Step::Grow(front, back) => mbuf.grow(front, back).map(|bytes| {
            let end = bytes.len() - back;
            bytes[..front].fill(fill);
            bytes[end..].fill(fill);
        }),
    };
    done.is_ok()
}

#[test]
fn a_packet_grows_and_shrinks_like_its_twin() {
    let pool = pool(7, ROOM as u16 + HEADROOM);
    let steps = prop::collection::vec((any_step(), any::<u8>()), 0..60);
    proptest!(ProptestConfig::default(), |(start in prop::collection::vec(any::<u8>(), 0..=ROOM), steps in steps)| {
        let mut mbuf = pool.alloc_from_slice(&start).unwrap();
        let back = ROOM - start.len();
        let mut twin = Twin { bytes: start.into(), front: usize::from(HEADROOM), back };
        for (at, fill) in steps {
            prop_assert_eq!(step(&mut mbuf, &at, fill), twin.step(&at, fill), "{:?}", at);
            prop_assert_eq!(mbuf.data(), twin.bytes.make_contiguous());
            prop_assert_eq!(mbuf.len(), twin.bytes.len());
            prop_assert_eq!((mbuf.headroom(), mbuf.tailroom()), (twin.front, twin.back));
            prop_assert_eq!(mbuf.segments(), 1);
        }
        drop(mbuf);
        prop_assert_eq!(pool.in_use(), 0);
    });
}

/// Receives frames that are longer than a buffer, which come in several segments.
fn received(pool: &Mempool, frames: &[Vec<u8>]) -> Packets {
    eal();
    let folder = tempfile::tempdir().unwrap();
    let file = capture(folder.path(), frames);
    let mut port = dpdk::attach(&device("net_pcap", &format!("rx_pcap={}", file.display()))).unwrap();
    let config = PortConfig { mtu: Some(100), ..PortConfig::new(1, 512) };
    let (mut rx, _tx) = port.start(config, pool).unwrap();
    let mut packets = Packets::new();
    packets.receive(&mut rx[0]);
    packets
}

#[test]
fn a_long_packet_is_a_chain_that_grows_at_its_ends_and_is_freed_whole() {
    let pool = pool(63, 200 + HEADROOM);
    let frame: Vec<u8> = (0..1100).map(|at| (at % 251) as u8).collect();
    let mut packets = received(&pool, &[frame.clone(), vec![9; 60]]);
    assert_eq!(packets.mask(), 0b11);
    assert_eq!(packets.bytes(u64::MAX), 1160);
    let mut mbuf = packets.take(0).unwrap();
    assert!(mbuf.segments() > 3);
    assert_eq!(pool.in_use() as usize, mbuf.segments() + 1);
    let whole = |mbuf: &Mbuf| mbuf.segment_slices().collect::<Vec<_>>().concat();
    assert_eq!((mbuf.len(), whole(&mbuf)), (1100, frame.clone()));
    assert_eq!(mbuf.segment_slices().count(), mbuf.segments());

    // One buffer cannot hold it.
    assert_eq!(mbuf.linearize(), Err(NoRoom));
    assert_eq!(whole(&mbuf), frame);

    // Each end has the room of its own segment.
    let (headroom, tailroom) = (mbuf.headroom(), mbuf.tailroom());
    let (first, last) = (mbuf.data().len(), mbuf.segment_slices().last().unwrap().len());
    assert_eq!(mbuf.prepend(headroom + 1).map(drop_bytes), Err(NoRoom));
    assert_eq!(mbuf.append(tailroom + 1).map(drop_bytes), Err(NoRoom));
    assert_eq!(mbuf.grow(1, tailroom + 1).map(drop_bytes), Err(NoRoom));
    assert_eq!(mbuf.trim_front(first + 1), Err(NoRoom));
    assert_eq!(mbuf.trim_back(last + 1), Err(NoRoom));
    assert_eq!(whole(&mbuf), frame);
    mbuf.prepend(4).unwrap().fill(0xAA);
    mbuf.append(tailroom).unwrap().fill(0xBB);
    mbuf.trim_front(1).unwrap();
    mbuf.trim_back(1).unwrap();
    let expected = [vec![0xAA; 3], frame, vec![0xBB; tailroom - 1]].concat();
    assert_eq!((mbuf.len(), whole(&mbuf)), (expected.len(), expected));

    drop(mbuf);
    assert_eq!(pool.in_use(), 1);
    drop(packets);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_packet_of_one_segment_is_linear() {
    let pool = packets();
    let mut mbuf = pool.alloc_from_slice(b"one piece").unwrap();
    mbuf.linearize().unwrap();
    assert_eq!(mbuf.data(), b"one piece");
}

/// For results that borrow the packet: only whether there was room counts.
fn drop_bytes(_: &mut [u8]) {}
