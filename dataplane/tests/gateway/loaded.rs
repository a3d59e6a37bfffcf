//! A gateway under load that does not end.

use super::frames::frame;
use super::{Dataplane, LAN, PATIENCE, Site, WAN, pcap};
use shm::{AttachPort, Command, Control, CountersSnapshot, Device, DropReason, NextHop, PortId, PortName};
use std::time::{Duration, Instant};

/// The next hop behind the WAN port.
pub(crate) const OUT: u32 = 1;

/// A gateway into which the same packets come by the LAN port over and over. No route leads anywhere yet.
pub(crate) struct Loaded {
    pub(crate) control: Control,
    pub(crate) dataplane: Dataplane,
    _folder: tempfile::TempDir,
}

impl Loaded {
    pub(crate) fn start(packets: &[Vec<u8>]) -> Loaded {
        let site = Site::a();
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("in");
        let frames = packets.iter().map(|packet| frame(site.macs[0], site.neighbours[0], packet));
        pcap::write(&capture, &frames.collect::<Vec<_>>()).unwrap();
        let devices = [
            format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display()),
            "net_null0,no-rx=1".to_owned(),
        ];
        let attach = |(number, device): (u16, String)| {
            Command::AttachPort(AttachPort {
                port: PortId::new(number).unwrap(),
                device: Device::new(&device).unwrap(),
                name: PortName::EMPTY,
                mac: Some(site.macs[usize::from(number)]),
                mtu: 1500,
                vlan: None,
                shutdown: false,
                ip: shm::PortIp::default(),
            })
        };
        let mut commands: Vec<Command> = std::iter::zip([LAN, WAN], devices).map(attach).collect();
        let wan = NextHop::Forward { port: PortId::new(WAN).unwrap(), mac: site.neighbours[1] };
        commands.push(Command::SetNextHop { id: OUT, hop: wan });
        let mut dataplane = Dataplane::start(folder.path());
        let control = dataplane.connect();
        let mut loaded = Loaded { control, dataplane, _folder: folder };
        loaded.submit(&commands).unwrap();
        loaded
    }

    pub(crate) fn submit(&mut self, commands: &[Command]) -> Result<(), shm::WaitError> {
        let commit = self.control.submit(commands, false).unwrap();
        self.control.wait_ack(commit, PATIENCE)
    }

    /// The counters some bursts from now.
    pub(crate) fn later(&self) -> CountersSnapshot {
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
    pub(crate) fn drops(&self) -> Vec<DropReason> {
        let (before, after) = (self.later(), self.later());
        let sent = [&before, &after].map(|counters| counters.traffic(PortId::new(WAN).unwrap()).tx_packets);
        assert!(sent[0] < sent[1], "nothing goes out: {after:?}");
        let before = before.drops();
        let more =
            |(reason, count): &(DropReason, u64)| before.get(reason).is_none_or(|before| before < count);
        after.drops().into_iter().filter(more).map(|(reason, _)| reason).collect()
    }

    /// Ends it, well.
    pub(crate) fn stop(self) {
        drop(self.control);
        self.dataplane.stop();
    }
}

pub(crate) fn received(counters: &CountersSnapshot) -> u64 {
    counters.traffic(PortId::new(LAN).unwrap()).rx_packets
}
