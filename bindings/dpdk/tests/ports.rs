//! Ports: what they are, what they count, what they refuse and how that is told, and how long their devices stay.
#![allow(clippy::unwrap_used)]

mod common;

use common::{capture, device, eal, packets, pool, start};
use dpdk::{Error, HEADROOM, Packets, PortConfig};

#[test]
fn counts_what_it_receives_and_sends() {
    let pool = packets();
    let folder = tempfile::tempdir().unwrap();
    let file = capture(folder.path(), &[vec![1; 60], vec![2; 140]]);
    let endless = device("net_pcap", &format!("rx_pcap={},infinite_rx=1", file.display()));
    let (port, mut rx, mut tx) = start(&endless, &pool);
    let before = pool.in_use();
    let mut packets = Packets::new();
    for _ in 0..3 {
        let mask = packets.receive(&mut rx);
        assert_eq!(mask, u64::MAX);
        assert_eq!(packets.bytes(mask), 6400);
        assert_eq!(packets.send(mask & 0xFFFF, &mut tx), 0);
        packets.free(u64::MAX);
    }
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.rx_bytes), (192, 19_200));
    assert_eq!((stats.tx_packets, stats.tx_bytes), (48, 4800));
    assert_eq!((stats.missed, stats.rx_errors, stats.tx_errors, stats.no_mbuf), (0, 0, 0, 0));
    assert_eq!(pool.in_use(), before);
}

#[test]
fn says_what_it_is() {
    let pool = packets();
    let name = device("net_null", "size=64");
    let mut port = dpdk::attach(&name).unwrap();
    assert!(name.starts_with(port.name()));
    let info = port.info().unwrap();
    assert_eq!((info.driver.as_str(), info.device.as_str()), ("net_null", port.name()));
    assert!(info.max_rx_queues >= 1 && info.max_tx_queues >= 1);
    assert!(!port.link().up, "a link that nobody started");
    let (rx, tx) = port.start(PortConfig::new(1, 512), &pool).unwrap();
    let link = port.link();
    assert!(link.up && link.speed > 0);
    assert_eq!((rx[0].device(), rx[0].number()), (port.name(), 0));
    assert_eq!((tx[0].device(), tx[0].number()), (port.name(), 0));
    assert_ne!(port.mtu().unwrap(), 0);
    port.set_mac([2, 0, 0, 0, 0, 7]).unwrap();
    assert_eq!(port.mac(), [2, 0, 0, 0, 0, 7]);
    for bad in [[0; 6], [1, 0, 0, 0, 0, 7]] {
        assert!(matches!(port.set_mac(bad), Err(Error::Port { .. })), "{bad:?}");
    }
    assert_eq!(port.mac(), [2, 0, 0, 0, 0, 7]);
}

#[test]
fn what_cannot_be_a_port_is_refused_by_name() {
    eal();
    for absent in ["net_nothing0", "0000:ff:1f.7", "net_pcap77,rx_pcap=/nowhere/at/all.pcap"] {
        match dpdk::attach(absent) {
            Err(Error::NoSuchDevice { device, .. }) => assert_eq!(device, absent),
            other => panic!("{absent}: {other:?}"),
        }
    }
    for text in ["", "net_null\0"] {
        assert!(matches!(dpdk::attach(text), Err(Error::Text { .. })), "{text:?}");
    }
}

/// A refusal leaves the port to be tried again.
#[test]
fn a_configuration_that_cannot_be_is_refused_and_says_why() {
    eal();
    let pool = pool(1023, 500 + HEADROOM);
    let folder = tempfile::tempdir().unwrap();
    let file = capture(folder.path(), &[vec![1; 60]]);
    let mut port = dpdk::attach(&device("net_pcap", &format!("rx_pcap={}", file.display()))).unwrap();
    let name = port.name().to_owned();
    let good = PortConfig { mtu: Some(400), ..PortConfig::new(1, 512) };

    let mut refused = |config| port.start(config, &pool).map(drop).unwrap_err();
    let queues = |direction, wanted| Error::Queues {
        device: name.clone(),
        direction,
        wanted,
        has: 1,
        mend: "give the device more, or use fewer workers",
    };
    assert_eq!(refused(PortConfig { rx_queues: 2, ..good }), queues("rx", 2));
    assert_eq!(refused(PortConfig { tx_queues: 3, ..good }), queues("tx", 3));
    assert_eq!(refused(PortConfig { rx_queues: 0, ..good }), queues("rx", 0));
    // Ethernet header, two VLAN tags and a checksum are not of the MTU.
    let too_small =
        |mtu| Error::BufferTooSmall { device: name.clone(), mtu, needs: u32::from(mtu) + 26, room: 500 };
    assert_eq!(refused(PortConfig { mtu: Some(475), ..good }), too_small(475));
    assert_eq!(refused(PortConfig { mtu: None, ..good }), too_small(1500));
    assert!(matches!(refused(PortConfig { mtu: Some(10), ..good }), Error::Port { .. }));

    let (mut rx, _tx) = port.start(PortConfig { mtu: Some(474), ..good }, &pool).unwrap();
    assert_eq!(port.start(good, &pool).map(drop), Err(Error::PortStarted { device: name }));
    let mut packets = Packets::new();
    assert_eq!(packets.receive(&mut rx[0]), 1);
    assert_eq!(packets.get(0).unwrap().data(), [1; 60]);
}

/// A device is in use until the port and the last half of a queue have gone, in whatever order; then it is free.
#[test]
fn a_device_stays_as_long_as_anybody_has_a_part_of_it() {
    let pool = packets();
    let name = device("net_null", "size=64");
    let in_use = Error::DeviceInUse { device: name.clone() };
    let (port, mut rx, tx) = start(&name, &pool);
    assert_eq!(dpdk::attach(&name).unwrap_err(), in_use);
    drop((port, tx));
    assert_eq!(dpdk::attach(&name).unwrap_err(), in_use);
    // The worker that has it goes on, on its own thread.
    let rx = std::thread::spawn(move || {
        let mut packets = Packets::new();
        assert_eq!(packets.receive(&mut rx), u64::MAX);
        rx
    })
    .join()
    .unwrap();
    drop(rx);
    let (_port, mut rx, _tx) = start(&name, &pool);
    assert_eq!(Packets::new().receive(&mut rx), u64::MAX);
    assert_eq!(pool.in_use(), 0);
}

/// A pool that is used up is no error: packets come again when some are back.
#[test]
fn receives_nothing_while_the_pool_is_empty() {
    let pool = pool(31, 2048 + HEADROOM);
    eal();
    let (_port, mut rx, _tx) = start(&device("net_null", "size=64"), &pool);
    let held: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    let mut packets = Packets::new();
    assert_eq!(packets.receive(&mut rx), 0);
    drop(held);
    assert_eq!(pool.in_use(), 0);
}
