//! Bursts: packets keep their slots, and none is lost or freed twice, whatever is done to them and whatever the device
//! takes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{capture, device, eal, packets, pool, start};
use dpdk::{BURST, HEADROOM, Mbuf, Packets, RxQueue, TxQueue};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Push,
    Put(usize),
    Take(usize),
    Free(u64),
    Send(u64),
    Receive,
    SwapHeld,
}

fn any_step() -> impl Strategy<Value = Step> {
    // Masks of few bits, of runs and of anything.
    let mask = || {
        let run = (0..64_u32, 0..64_u32).prop_map(|(shift, bits)| ((1_u64 << bits) - 1) << shift);
        prop_oneof![any::<u64>(), run, (0..64_u32).prop_map(|bit| 1 << bit), Just(u64::MAX), Just(0)]
    };
    prop_oneof![
        6 => Just(Step::Push),
        3 => (0..70_usize).prop_map(Step::Put),
        2 => (0..70_usize).prop_map(Step::Take),
        1 => mask().prop_map(Step::Free),
        2 => mask().prop_map(Step::Send),
        1 => Just(Step::Receive),
        1 => Just(Step::SwapHeld),
    ]
}

/// Names a packet by its bytes.
fn named(pool: &dpdk::Mempool, name: u64) -> Mbuf {
    pool.alloc_from_slice(&name.to_le_bytes()).unwrap()
}

fn name(mbuf: &Mbuf) -> u64 {
    u64::from_le_bytes(mbuf.data().try_into().unwrap())
}

/// What should be where: names by slot, in the ring, and in our hands.
#[derive(Default)]
struct Twin {
    slots: BTreeMap<usize, u64>,
    ring: VecDeque<u64>,
}

impl Twin {
    fn mask(&self) -> u64 {
        self.slots.keys().fold(0, |mask, slot| mask | 1 << slot)
    }

    /// Takes the packets of a mask out, lowest first.
    fn take(&mut self, mask: u64) -> Vec<u64> {
        let (out, slots) =
            std::mem::take(&mut self.slots).into_iter().partition(|(slot, _)| mask >> slot & 1 == 1);
        self.slots = slots;
        BTreeMap::into_values(out).collect()
    }
}

/// Random walks over a burst and a device that gives back what it is sent (`net_ring`).
#[test]
fn a_burst_does_what_its_twin_does() {
    let pool = packets();
    eal();
    let (_port, rx, tx) = start(&device("net_ring", ""), &pool);
    let (rx, tx) = (RefCell::new(rx), RefCell::new(tx));
    let steps = prop::collection::vec(any_step(), 0..200);
    proptest!(ProptestConfig::with_cases(200), |(steps in steps)| {
        let (rx, tx) = (&mut *rx.borrow_mut(), &mut *tx.borrow_mut());
        // A walk that went wrong may have left some.
        while Packets::new().receive(rx) != 0 {}
        walk(&pool, rx, tx, &steps)?;
    });
}

fn walk(
    pool: &dpdk::Mempool,
    rx: &mut RxQueue,
    tx: &mut TxQueue,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut packets = Packets::new();
    let mut held = Vec::new();
    let mut twin = Twin::default();
    for (number, step) in (0_u64..).zip(steps) {
        match *step {
            Step::Push => match packets.push(named(pool, number)) {
                Ok(slot) => prop_assert!(twin.slots.insert(slot, number).is_none()),
                Err(mbuf) => {
                    prop_assert_eq!(twin.slots.len(), BURST);
                    prop_assert_eq!(name(&mbuf), number);
                }
            },
            Step::Put(slot) => match packets.put(slot, named(pool, number)) {
                Ok(()) => prop_assert!(twin.slots.insert(slot, number).is_none()),
                Err(mbuf) => {
                    prop_assert!(slot >= BURST || twin.slots.contains_key(&slot));
                    prop_assert_eq!(name(&mbuf), number);
                }
            },
            Step::Take(slot) => {
                let taken = packets.take(slot);
                prop_assert_eq!(taken.as_ref().map(name), twin.slots.remove(&slot));
                held.extend(taken);
            }
            Step::Free(mask) => {
                packets.free(mask);
                twin.take(mask);
            }
            Step::Send(mask) => {
                // The ring has room for all that these walks can send.
                prop_assert_eq!(packets.send(mask, tx), 0);
                let sent = twin.take(mask);
                twin.ring.extend(sent);
            }
            Step::Receive if twin.slots.is_empty() => {
                let mask = packets.receive(rx);
                prop_assert_eq!(mask, packets.mask());
                let count = twin.ring.len().min(BURST);
                twin.slots = twin.ring.drain(..count).enumerate().collect();
            }
            Step::Receive => {}
            Step::SwapHeld => held.clear(),
        }
        prop_assert_eq!(packets.mask(), twin.mask());
        let seen: BTreeMap<usize, u64> =
            packets.masked(u64::MAX).map(|(slot, mbuf)| (slot, name(mbuf))).collect();
        prop_assert_eq!(&seen, &twin.slots);
        prop_assert_eq!(packets.bytes(u64::MAX), 8 * twin.slots.len() as u64);
        prop_assert_eq!(pool.in_use() as usize, twin.slots.len() + twin.ring.len() + held.len());
    }
    drop((packets, held));
    while !twin.ring.is_empty() {
        let mut packets = Packets::new();
        packets.receive(rx);
        let names: Vec<u64> = packets.masked(u64::MAX).map(|(_, mbuf)| name(mbuf)).collect();
        prop_assert!(!names.is_empty());
        prop_assert_eq!(names, twin.ring.drain(..names_len(&packets)).collect::<Vec<_>>());
    }
    prop_assert_eq!(pool.in_use(), 0);
    Ok(())
}

fn names_len(packets: &Packets) -> usize {
    packets.mask().count_ones() as usize
}

/// A full device takes some; the rest stays in its slots, in order, and is still ours.
#[test]
fn what_a_full_device_does_not_take_stays() {
    let pool = packets();
    let (_port, mut rx, mut tx) = start(&device("net_ring", ""), &pool);
    let mut sent = 0;
    let mut packets = Packets::new();
    let left = loop {
        // Every other slot, so that the packets must be gathered for the device.
        for slot in (0..BURST).step_by(2) {
            packets.put(slot, named(&pool, sent + slot as u64 / 2)).unwrap();
        }
        let left = packets.send(u64::MAX, &mut tx);
        sent += 32 - u64::from(left.count_ones());
        assert!(sent < 4000, "the ring never fills");
        if left != 0 {
            break left;
        }
    };
    assert_eq!(packets.mask(), left);
    // The last ones of the mask, none changed.
    assert_eq!(left & 0x5555_5555_5555_5555, left);
    assert_eq!(left.leading_zeros(), 1);
    let names: Vec<u64> = packets.masked(left).map(|(_, mbuf)| name(mbuf)).collect();
    assert_eq!(names, (sent..sent + u64::from(left.count_ones())).collect::<Vec<_>>());
    assert_eq!(u64::from(pool.in_use()), sent + u64::from(left.count_ones()));
    packets.free(left);
    for expected in 0.. {
        let mut packets = Packets::new();
        if packets.receive(&mut rx) == 0 {
            assert_eq!(expected * 64, sent.next_multiple_of(64));
            break;
        }
        for (slot, mbuf) in packets.masked(u64::MAX) {
            assert_eq!(name(mbuf), expected * 64 + slot as u64);
        }
    }
    assert_eq!(pool.in_use(), 0);
}

/// A device that drops what it is sent frees it: chains of segments whole, too.
#[test]
fn what_is_sent_into_nothing_is_freed() {
    let pool = pool(255, 200 + HEADROOM);
    eal();
    let folder = tempfile::tempdir().unwrap();
    let file =
        capture(folder.path(), &(0..40).map(|at| vec![at; 30 * usize::from(at) + 20]).collect::<Vec<_>>());
    let mut pcap = dpdk::attach(&device("net_pcap", &format!("rx_pcap={}", file.display()))).unwrap();
    let small = dpdk::PortConfig { mtu: Some(100), ..dpdk::PortConfig::new(1, 512) };
    let (mut from, _) = pcap.start(small, &pool).unwrap();
    let (_null, _, mut to) = start_small(&device("net_null", "no-rx=1"), &pool);
    let mut packets = Packets::new();
    let mask = packets.receive(&mut from[0]);
    assert_eq!(mask.count_ones(), 40);
    assert!(packets.masked(mask).any(|(_, mbuf)| mbuf.segments() > 4));
    assert_eq!(packets.send(mask & 0xF0F0_F0F0_F0F0_F0F0, &mut to), 0);
    assert_eq!(packets.mask(), mask & 0x0F0F_0F0F_0F0F_0F0F);
    let chains: usize = packets.masked(u64::MAX).map(|(_, mbuf)| mbuf.segments()).sum();
    assert_eq!(pool.in_use() as usize, chains);
    drop(packets);
    assert_eq!(pool.in_use(), 0);
}

fn start_small(device: &str, pool: &dpdk::Mempool) -> (dpdk::Port, RxQueue, TxQueue) {
    let mut port = dpdk::attach(device).unwrap();
    let config = dpdk::PortConfig { mtu: Some(100), ..dpdk::PortConfig::new(1, 512) };
    let (mut rx, mut tx) = port.start(config, pool).unwrap();
    (port, rx.pop().unwrap(), tx.pop().unwrap())
}

/// The masked packets can be changed several at a time, and each is the one of its slot.
#[test]
fn packets_of_a_mask_are_lent_together() {
    let pool = packets();
    let mut packets = Packets::new();
    for slot in [3, 5, 63] {
        packets.put(slot, named(&pool, slot as u64)).unwrap();
    }
    let mut lent: Vec<(usize, &mut Mbuf)> = packets.masked_mut(1 << 3 | 1 << 4 | 1 << 63).collect();
    assert_eq!(lent.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [3, 63]);
    for (_, mbuf) in &mut lent {
        mbuf.data_mut().reverse();
    }
    for (slot, expected) in [(3, 3_u64.swap_bytes()), (5, 5), (63, 63_u64.swap_bytes())] {
        assert_eq!(packets.get(slot).map(name), Some(expected));
    }
    assert!(packets.get(4).is_none() && packets.get_mut(64).is_none());
}
