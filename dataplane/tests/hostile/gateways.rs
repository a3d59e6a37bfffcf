//! The two gateways: A, at which everything is thrown, and B, its honest peer. They share a tunnel of every suite.

use super::gateway::{LAN, WAN};
use acl::{Action, Rule};
use model::{
    Direction, KeyMaterial, Mode, PortRange, Prefix, Protocol, Selector, SizeRules, Spi, Suite, Tfc,
};
use shm::{AttachPort, Command, Device, InstallSa, Label, NextHop, PolicySegment, PortId, PortIp, PortName};
use std::net::IpAddr;
use std::path::Path;

/// Longest packet on every link, in bytes; A's ports say less of themselves, so that packets are too long for them.
const LINK: u16 = 1600;
const NARROW: u16 = 1400;

/// The VLAN of a gateway's port.
pub(crate) fn vlan(port: u16) -> Option<u16> {
    (port == WAN).then_some(100)
}

/// A gateway, and the side that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    A,
    B,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::A => "a",
            End::B => "b",
        }
    }

    pub(crate) fn other(self) -> End {
        match self {
            End::A => End::B,
            End::B => End::A,
        }
    }

    /// Its number in addresses.
    fn digit(self) -> u8 {
        match self {
            End::A => 1,
            End::B => 2,
        }
    }

    /// Station address of one of its ports.
    pub(crate) fn mac(self, port: u16) -> [u8; 6] {
        [2, 0, 0, 0, self.digit(), port as u8]
    }

    /// Station address of who is next to it there: the other gateway, or a host.
    pub(crate) fn neighbour(self, port: u16) -> [u8; 6] {
        if port == WAN { self.other().mac(WAN) } else { [2, 0, 0, 0, self.digit(), 0xAA] }
    }

    /// A host behind it that is no tunnel's.
    pub(crate) fn beside(self, number: u8, is_v6: bool) -> IpAddr {
        host(self, number.into(), is_v6)
    }

    /// Its end of the tunnels of a family.
    pub(crate) fn outer(self, is_v6: bool) -> IpAddr {
        let digit = self.digit();
        let text = if is_v6 { format!("2001:db8:ffff::{digit}") } else { format!("192.0.2.{digit}") };
        text.parse().unwrap()
    }
}

/// A network behind an end.
fn network(end: End, number: u32, is_v6: bool) -> Prefix {
    let digit = end.digit();
    let text =
        if is_v6 { format!("2001:db8:{digit}:{number:x}::/64") } else { format!("10.{digit}.{number}.0/24") };
    text.parse().unwrap()
}

/// A host in it.
fn host(end: End, number: u32, is_v6: bool) -> IpAddr {
    let digit = end.digit();
    let text =
        if is_v6 { format!("2001:db8:{digit}:{number:x}::9") } else { format!("10.{digit}.{number}.9") };
    text.parse().unwrap()
}

/// Between the networks of a number, from an end.
fn between(end: End, number: u32, is_v6: bool) -> Selector {
    Selector::between(network(end, number, is_v6), network(end.other(), number, is_v6)).unwrap()
}

/// A tunnel between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnel {
    number: u32,
    suite: Suite,
}

impl Tunnel {
    /// One of every suite. Headers, sequence numbers and windows go round among them.
    pub(crate) fn all() -> Vec<Tunnel> {
        (0..).zip(Suite::all()).map(|(number, suite)| Tunnel { number, suite }).collect()
    }

    fn is_v6(self) -> bool {
        self.number % 4 >= 2
    }

    fn udp_port(self) -> Option<u16> {
        (self.number % 2 == 1).then_some(esp::udp::PORT)
    }

    fn esn(self) -> bool {
        self.number.is_multiple_of(3)
    }

    /// One of the hosts behind an end that are the tunnel's.
    pub(crate) fn host(self, end: End, is_v6: bool) -> IpAddr {
        host(end, self.number, is_v6)
    }

    /// The SPI by which packets come to an end.
    pub(crate) fn spi(self, to: End) -> u32 {
        0x1000 * u32::from(to.digit()) + self.number
    }

    fn index(self, direction: Direction) -> u32 {
        2 * self.number + u32::from(direction == Direction::Inbound)
    }

    fn sa(self, end: End, direction: Direction) -> Command {
        let to = if direction == Direction::Inbound { end } else { end.other() };
        let spi = self.spi(to);
        let key: Vec<u8> =
            (0..self.suite.key_material_len()).map(|at| (spi as usize * 31 + at * 7) as u8).collect();
        // Some sequence numbers pass the low half's end on the way; where they are not extended, that is their last.
        let first_sequence = if self.number.is_multiple_of(7) { (1 << 32) - 500 } else { 1 };
        Command::InstallSa(Box::new(InstallSa {
            index: self.index(direction),
            direction,
            spi: Spi::new(spi).unwrap(),
            suite: self.suite,
            mode: Mode::Tunnel,
            key: KeyMaterial::new(&key).unwrap(),
            local: end.outer(self.is_v6()),
            remote: end.other().outer(self.is_v6()),
            udp_port: self.udp_port(),
            extended_sequence: self.esn(),
            replay_window: [64, 1024, 4096, 65_536][self.number as usize % 4],
            first_sequence,
            replay_floor: first_sequence - 1,
            iv_base: 0,
            limits: shm::Limits::default(),
            size: SizeRules::default(),
            tfc: Tfc::NONE,
            entry: Some(self.number),
        }))
    }
}

/// What a gateway is told to be, but for its policy's segment, which goes by offer. Its ports are pipes in `folder`.
pub(crate) fn commands(end: End, tunnels: &[Tunnel], folder: &Path, segment: u32) -> Vec<Command> {
    let pipe = |port: &str, way: &str| {
        format!("{way}_pcap={}", folder.join(format!("{}.{port}.{way}", end.name())).display())
    };
    // B is told what to protect and hears nothing of the other way.
    let devices = match end {
        End::A => ["lan", "wan"].map(|port| [pipe(port, "rx"), pipe(port, "tx")].join(",")),
        End::B => [pipe("lan", "rx"), pipe("wan", "tx")],
    };
    let mut commands = Vec::new();
    for (number, device) in (0..).zip(&devices) {
        let narrow = PortIp {
            mtu4: Some(NARROW),
            mtu6: Some(NARROW),
            mss4: Some(1000),
            mss6: Some(1000),
            address4: Some(if number == LAN {
                "10.1.255.1".parse().unwrap()
            } else {
                "192.0.2.1".parse().unwrap()
            }),
            address6: Some(if number == LAN {
                "2001:db8:1:ff::1".parse().unwrap()
            } else {
                "2001:db8:ffff::1".parse().unwrap()
            }),
        };
        commands.push(Command::AttachPort(AttachPort {
            port: PortId::new(number).unwrap(),
            device: Device::new(&format!("net_pcap{number},{device}")).unwrap(),
            name: PortName::EMPTY,
            mac: Some(end.mac(number)),
            mtu: LINK,
            vlan: vlan(number),
            shutdown: false,
            ip: if end == End::A { narrow } else { PortIp::default() },
        }));
    }
    for &tunnel in tunnels {
        commands.extend([Direction::Outbound, Direction::Inbound].map(|direction| tunnel.sa(end, direction)));
        let index = tunnel.index(Direction::Inbound);
        for is_v6 in [false, true] {
            let selector = between(end.other(), tunnel.number, is_v6);
            commands.push(Command::AddSelector { index, selector });
        }
        let sa = Some(tunnel.index(Direction::Outbound));
        commands.push(Command::BindEntry { entry: tunnel.number, sa });
    }
    let forward =
        |number: u16| NextHop::Forward { port: PortId::new(number).unwrap(), mac: end.neighbour(number) };
    commands.extend([
        Command::SetPolicy { port: PortId::new(WAN).unwrap(), segment },
        Command::SetNextHop { id: 0, hop: NextHop::Local },
        Command::SetNextHop { id: 1, hop: forward(LAN) },
        Command::SetNextHop { id: 2, hop: forward(WAN) },
    ]);
    let (here, there) = (end.digit(), end.other().digit());
    let mut route = |prefix: String, next_hop| {
        commands.push(Command::AddRoute { prefix: prefix.parse().unwrap(), next_hop });
    };
    for is_v6 in [false, true] {
        let all = if is_v6 { 128 } else { 32 };
        route(format!("{}/{all}", end.outer(is_v6)), 0);
        route(format!("{}/{all}", end.other().outer(is_v6)), 2);
    }
    for (digit, next_hop) in [(here, 1), (there, 2)] {
        route(format!("10.{digit}.0.0/16"), next_hop);
        route(format!("2001:db8:{digit}::/48"), next_hop);
    }
    commands
}

/// The number in addresses of flows that a rule knows by their ports, and of those that no rule lets out.
pub(crate) const BY_PORT: u8 = 200;
pub(crate) const FORBIDDEN: u8 = 201;

/// What is protected: all tunnels' networks, and a flow by its port, for which fragments must wait for each other.
pub(crate) fn policy(end: End, tunnels: &[Tunnel]) -> PolicySegment {
    let mut rules = Vec::new();
    let port = PortRange::new(2000, 2999).unwrap();
    for is_v6 in [false, true] {
        for tunnel in tunnels {
            rules.push(Rule::new(between(end, tunnel.number, is_v6), Action::Protect(tunnel.number)));
        }
        let all = between(end, BY_PORT.into(), is_v6);
        let by_port =
            Selector::new(all.source(), all.destination(), Protocol::UDP, PortRange::ANY, port).unwrap();
        rules.push(Rule::new(by_port, Action::Protect(0)));
        rules.push(Rule::new(between(end, FORBIDDEN.into(), is_v6), Action::Discard));
    }
    let image = acl::compile(&rules, acl::Limits::default()).unwrap();
    let labels: Vec<Label> =
        (0..rules.len()).map(|number| Label::lossy(&format!("hostile:{number}"))).collect();
    PolicySegment::build(image.as_bytes(), &labels, None).unwrap()
}

/// Whether a frame without its tag is in clear, and from and to networks that A's policy protects, every packet between them.
pub(crate) fn is_protected(frame: &[u8]) -> bool {
    let tunnels = Suite::all().count();
    match frame {
        [_, _, _, _, _, _, _, _, _, _, _, _, 8, 0, packet @ ..] if packet.len() >= 20 => {
            let (from, to) = (&packet[12..16], &packet[16..20]);
            from[..2] == [10, 1] && to[..2] == [10, 2] && from[2] == to[2] && usize::from(from[2]) < tunnels
        }
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xDD, packet @ ..] if packet.len() >= 40 => {
            let (from, to) = (&packet[8..24], &packet[24..40]);
            from[..6] == [0x20, 1, 0xD, 0xB8, 0, 1]
                && to[..6] == [0x20, 1, 0xD, 0xB8, 0, 2]
                && from[6..8] == to[6..8]
                && from[6] == 0
                && usize::from(from[7]) < tunnels
        }
        _ => false,
    }
}
