//! Jumbo frames: in buffers that hold them, and in such as do not, where each comes in several segments.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Site, doors, made, received, run};
use packet::fragment::Part;
use packet::{ethernet, ipv4};

/// Bytes of packets, about the ends of one buffer, of several, and of the longest that fits the links sealed.
const SIZES: [usize; 10] = [60, 1500, 2030, 2048, 2049, 4096, 4097, 8191, 8192, 8900];

#[test]
fn they_go_there_and_come_back() {
    let site = Site { mtu: 9000, max_frame: Some(9216), ..Site::a() };
    for (from, to, header) in [("10.1.0.9", "10.2.0.7", 28), ("2001:db8:1::9", "2001:db8:2::7", 48)] {
        let packets = SIZES.map(|size| datagram(from, to, 64, &vec![size as u8; size - header]));
        let frames: Vec<_> =
            packets.iter().map(|packet| frame(site.macs[0], site.neighbours[0], packet)).collect();
        let there = run(&site, &frames, &[]);
        assert_eq!(there.wan.len(), SIZES.len(), "{:?}", there.counters.drops());
        let back = run(&site.peer(), &[], &there.wan);
        for outcome in [&there, &back] {
            let counters = &outcome.counters;
            assert_eq!(received(counters) + made(counters), doors(counters).iter().sum::<u64>());
            assert_eq!(counters.drops().values().sum::<u64>(), 0, "{:?}", counters.drops());
        }
        assert_eq!(back.lan.len(), SIZES.len());
        for (came, sent) in back.lan.iter().zip(&packets) {
            assert_eq!(came[ethernet::HEADER_LEN + header..], sent[header..]);
        }
    }
}

/// Frames that no buffer holds come in several segments, and are packets as any other: here too long for the wire, and cut.
#[test]
fn segments_become_one() {
    let site = Site::a();
    let sizes = [2100, 3000, 4097, 8900];
    let packets = sizes.map(|size| {
        let mut packet = datagram("10.1.0.9", "10.2.0.7", 64, &vec![size as u8; size - 28]);
        packet[4..6].copy_from_slice(&(size as u16).to_be_bytes());
        packet[6] = 0;
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        packet
    });
    let frames: Vec<_> =
        packets.iter().map(|packet| frame(site.macs[0], site.neighbours[0], packet)).collect();
    let there = run(&site, &frames, &[]);
    assert_eq!(there.counters.drops().values().sum::<u64>(), 0, "{:?}", there.counters.drops());
    let back = run(&site.peer(), &[], &there.wan);
    for (packet, size) in packets.iter().zip(sizes) {
        let mut whole = vec![0; size - 20];
        for came in back.lan.iter().map(|frame| &frame[ethernet::HEADER_LEN..]) {
            if let Some(part) = Part::of(came).filter(|part| part.identity.identification == size as u32) {
                whole[part.offset..][..part.payload.len()].copy_from_slice(&came[part.payload]);
            }
        }
        assert_eq!(whole, packet[20..]);
    }
}
