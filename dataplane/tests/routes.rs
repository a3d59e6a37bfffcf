//! Routes of a running data plane: they come and go without end, all of a transaction or none, and packets go on.

#![allow(clippy::unwrap_used)]

mod gateway;

use gateway::frames::{datagram, frame};
use gateway::{Dataplane, LAN, PATIENCE, Site, WAN, pcap};
use model::Prefix;
use shm::Command::{AddRoute, RemoveRoute, SetNextHop};
use shm::{
    AttachPort, Command, Control, CountersSnapshot, Device, DropReason, Failure, NextHop, PortId, PortName,
    Reason,
};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The gateway has room for 64 IPv6 routes. Each that comes takes 13 of 1,024 second-level tables.
const TOO_MANY: u16 = 65;
/// Next hops.
const OUT: u32 = 1;
const NOWHERE: u32 = 2;

/// An IPv6 host.
fn host(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, number << 8, 0, 0, 0, 0, 0, 1)
}

/// The route to it.
fn to_host(number: u16) -> Prefix {
    IpAddr::from(host(number)).into()
}

fn v4() -> Prefix {
    "10.2.0.0/16".parse().unwrap()
}

/// A gateway into which two packets come over and over, by IPv4 and to host 0, and which forwards them.
struct Loaded {
    control: Control,
    dataplane: Dataplane,
    _folder: tempfile::TempDir,
}

impl Loaded {
    fn start() -> Loaded {
        let site = Site::a();
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("in");
        let packets = [
            datagram("10.1.0.9", "10.2.0.7", 64, b"over and over"),
            datagram("2001:db8:1::9", &host(0).to_string(), 64, b"over and over"),
        ];
        pcap::write(&capture, &packets.map(|packet| frame(site.macs[0], site.neighbours[0], &packet)))
            .unwrap();
        let devices = [
            format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display()),
            "net_null0,no-rx=1".to_owned(),
        ];
        let attach = |(number, device): (u16, String)| {
            Command::AttachPort(AttachPort {
                vlan: None,
                port: PortId::new(number).unwrap(),
                device: Device::new(&device).unwrap(),
                name: PortName::EMPTY,
                mac: Some(site.macs[usize::from(number)]),
                mtu: 1500,
                shutdown: false,
            })
        };
        let mut commands: Vec<Command> = std::iter::zip([LAN, WAN], devices).map(attach).collect();
        let wan = NextHop::Forward { port: PortId::new(WAN).unwrap(), mac: site.neighbours[1] };
        commands.extend([
            SetNextHop { id: OUT, hop: wan },
            SetNextHop { id: NOWHERE, hop: NextHop::Blackhole },
            AddRoute { prefix: v4(), next_hop: OUT },
            AddRoute { prefix: to_host(0), next_hop: OUT },
        ]);
        let mut dataplane = Dataplane::start(folder.path());
        let control = dataplane.connect();
        let mut loaded = Loaded { control, dataplane, _folder: folder };
        loaded.submit(&commands).unwrap();
        loaded
    }

    fn submit(&mut self, commands: &[Command]) -> Result<(), shm::WaitError> {
        let commit = self.control.submit(commands, false).unwrap();
        self.control.wait_ack(commit, PATIENCE)
    }

    /// The counters some bursts from now.
    fn later(&self) -> CountersSnapshot {
        let start = received(&self.control.counters().snapshot());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counters = self.control.counters().snapshot();
            if received(&counters) - start >= 1000 {
                return counters;
            }
            assert!(Instant::now() < deadline, "no more packets: {counters:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Why packets are dropped from now on. (Not all are: some go out.)
    fn drops(&self) -> Vec<DropReason> {
        let (before, after) = (self.later(), self.later());
        let sent = [&before, &after].map(|counters| counters.traffic(PortId::new(WAN).unwrap()).tx_packets);
        assert!(sent[0] < sent[1], "nothing goes out: {after:?}");
        let before = before.drops();
        let more =
            |(reason, count): &(DropReason, u64)| before.get(reason).is_none_or(|before| before < count);
        after.drops().into_iter().filter(more).map(|(reason, _)| reason).collect()
    }

    /// Ends it, well.
    fn stop(self) {
        drop(self.control);
        self.dataplane.stop();
    }
}

fn received(counters: &CountersSnapshot) -> u64 {
    counters.traffic(PortId::new(LAN).unwrap()).rx_packets
}

/// Ten times as many hosts come and go as there is room for, and no packet to one that stays is lost. Then the workers
/// look up where routes still change.
#[test]
fn ipv6_hosts_come_and_go_without_end() {
    let mut loaded = Loaded::start();
    let forwarded = loaded.later();
    for number in 1..10 * TOO_MANY {
        let [here, gone] = [number, number - 1].map(|number| to_host(1 + number % 100));
        let mut commands = vec![AddRoute { prefix: here, next_hop: OUT }];
        if number > 1 {
            commands.push(RemoveRoute { prefix: gone });
        }
        loaded.submit(&commands).unwrap_or_else(|error| panic!("host {number}: {error}"));
    }
    assert_eq!(loaded.later().drops(), forwarded.drops());
    loaded.submit(&[AddRoute { prefix: to_host(0), next_hop: NOWHERE }]).unwrap();
    assert_eq!(loaded.drops(), [DropReason::Blackhole]);
    loaded.submit(&[RemoveRoute { prefix: to_host(0) }]).unwrap();
    assert_eq!(loaded.drops(), [DropReason::NoRoute]);
    loaded.submit(&[AddRoute { prefix: to_host(0), next_hop: OUT }]).unwrap();
    assert_eq!(loaded.drops(), []);
    loaded.stop();
}

/// Of a transaction with too many routes nothing stays: neither changes nor additions, of no family. Removals have not
/// begun.
#[test]
fn a_transaction_with_too_many_routes_changes_nothing() {
    let mut loaded = Loaded::start();
    let wanted = |hosts: u16| -> Vec<Command> {
        let first = [v4(), to_host(0)].map(|prefix| AddRoute { prefix, next_hop: NOWHERE });
        let others = (1..hosts).map(|number| AddRoute { prefix: to_host(number), next_hop: OUT });
        first.into_iter().chain(others).collect()
    };
    for _ in 0..3 {
        // Few to begin with, so that there is room to be used up by the coming and going.
        let some: Vec<_> =
            (1..20).map(|number| AddRoute { prefix: to_host(100 + number), next_hop: OUT }).collect();
        let none: Vec<_> = (1..20).map(|number| RemoveRoute { prefix: to_host(100 + number) }).collect();
        loaded.submit(&some).unwrap();
        loaded.submit(&none).unwrap();
        let refused = loaded.submit(&wanted(TOO_MANY)).unwrap_err();
        let shm::WaitError::Refused(Failure { reason, .. }) = refused else { panic!("{refused}") };
        assert_eq!(reason, Reason::RouteRefused);
        assert_eq!(loaded.drops(), []);
    }
    // One fewer is not too many.
    let mut fits = wanted(TOO_MANY - 1);
    fits.remove(0);
    loaded.submit(&fits).unwrap();
    assert_eq!(loaded.drops(), [DropReason::Blackhole]);
    loaded.stop();
}
