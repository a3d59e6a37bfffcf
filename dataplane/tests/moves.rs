//! A peer in UDP whose address or port moves (RFC 7296, section 2.23): only its newest genuine packet says where it is.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Site, run};
use packet::{ethernet, ipv4};
use shm::SaStatus;
use std::net::SocketAddr;

/// Some bursts, and a part of one.
const PACKETS: usize = 140;
const ELSEWHERE: u16 = 6001;

fn site(replay_window: u32) -> Site {
    Site { udp_port: Some(4500), replay_window, ..Site::a() }
}

/// Packets of the SA, the oldest first.
fn sealed(site: &Site) -> Vec<Vec<u8>> {
    let packet = datagram("10.1.0.9", "10.2.0.7", 64, b"from somewhere");
    let sent: Vec<_> = (0..PACKETS).map(|_| frame(site.macs[0], site.neighbours[0], &packet)).collect();
    let sealed = run(site, &sent, &[]).wan;
    assert_eq!(sealed.len(), PACKETS);
    sealed
}

/// The same packet as it comes from another port. Nothing covers the ports: the checksum of UDP is zero.
fn from_elsewhere(frame: &[u8]) -> Vec<u8> {
    let mut moved = frame.to_vec();
    moved[ethernet::HEADER_LEN + ipv4::HEADER_LEN..][..2].copy_from_slice(&ELSEWHERE.to_be_bytes());
    moved
}

/// What the peer has of the SA when these came.
fn after(site: &Site, frames: &[Vec<u8>]) -> SaStatus {
    run(&site.peer(), &[], frames).sas[1]
}

#[test]
fn the_newest_packet_moves_the_peer_and_no_copy_does() {
    for window in [0, 4096] {
        let site = site(window);
        let sent = sealed(&site);
        let (newest, others) = sent.split_last().unwrap();
        let moved = from_elsewhere(newest);
        let there = SocketAddr::new(site.local.parse().unwrap(), ELSEWHERE);

        let sa = after(&site, &[others, std::slice::from_ref(&moved)].concat());
        assert_eq!((sa.descriptor.moved_to, sa.counters.packets), (Some(there), PACKETS as u64), "{window}");
        // A copy of the newest: in one burst with it, and long after it. And one that was overtaken.
        let at_once = [others, &[newest.clone(), moved.clone()]].concat();
        let later =
            [std::slice::from_ref(newest), &others[others.len() - 80..], std::slice::from_ref(&moved)]
                .concat();
        let overtaken = [&sent[..], &[from_elsewhere(&sent[PACKETS / 2])]].concat();
        for frames in [at_once, later, overtaken] {
            let sa = after(&site, &frames);
            assert_eq!(sa.highest, PACKETS as u64);
            assert_eq!(sa.descriptor.moved_to, None, "{window}");
            // Without a window all of them are taken.
            assert_eq!(sa.counters.packets == frames.len() as u64, window == 0, "{sa:?}");
        }
        // A forgery of a number to come, before the packet itself does: it neither moves the peer nor keeps it from moving.
        let mut forged = moved.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(after(&site, &[others, &[forged.clone()]].concat()).descriptor.moved_to, None);
        assert_eq!(after(&site, &[others, &[forged, moved]].concat()).descriptor.moved_to, Some(there));
    }
}
