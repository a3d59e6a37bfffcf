//! What a data plane is told to be: a gateway with so many tunnels, each to a peer of its own, for one host behind it; or
//! all those peers in one.
//!
//! The same whatever is measured: packets choose what happens to them by where they come from and go to.

use crate::case::{Case, Headers};
use crate::error::Error;
use acl::{Action, Rule};
use model::{Direction, KeyMaterial, Mode, Prefix, Selector, Spi};
use shm::{AttachPort, Command, Device, InstallSa, Label, NextHop, PolicySegment, PortId, PortName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where packets come in and where they leave: the software ports behind the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// The port that faces hosts.
    pub lan: String,
    /// The port that faces the other end, and that the policy is on.
    pub wan: String,
}

/// What a data plane is to be.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Its tunnels and workers.
    pub case: &'a Case,
    /// Which end of the tunnels it is.
    pub end: End,
    /// Its ports.
    pub devices: &'a Devices,
    /// What its workers do while nothing comes, as `--idle` takes it.
    pub idle: &'static str,
    /// Packets of its replay windows. None, where the same packets come in over and over.
    pub window: u32,
}

/// Longest packet on either port, in bytes.
const MTU: u16 = 1500;

/// The LAN port's number.
pub const LAN: u16 = 0;
/// The WAN port's number.
pub const WAN: u16 = 1;

/// Which end of the tunnels a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that is measured.
    Ours,
    /// All the peers.
    Peers,
}

/// Station addresses, by port.
pub type Macs = [[u8; 6]; 2];

impl End {
    /// Station addresses of its ports. The two ends' WAN ports are each other's neighbours.
    pub fn macs(self) -> Macs {
        let last = if self == End::Ours { 0xA0 } else { 0xB0 };
        [[2, 0, 0, 0, 0, last], [2, 0, 0, 0, 0, last + 1]]
    }

    /// Station addresses of who is next to them.
    pub fn neighbours(self) -> Macs {
        if self == End::Ours { End::Peers.macs() } else { End::Ours.macs() }
    }

    /// The direction that our SA has by which packets come to this end, or leave it.
    fn ours(self, direction: Direction) -> Direction {
        match (self, direction) {
            (End::Ours, direction) => direction,
            (End::Peers, Direction::Inbound) => Direction::Outbound,
            (End::Peers, Direction::Outbound) => Direction::Inbound,
        }
    }
}

/// The host behind us that all packets are from or to.
pub fn inside(headers: Headers) -> IpAddr {
    address(headers.inner_is_v6(), [10, 1, 0, 9], 1, 9)
}

/// A host that no tunnel leads to.
pub fn outside(headers: Headers) -> IpAddr {
    address(headers.inner_is_v6(), [203, 0, 113, 7], 0xFF, 7)
}

/// Our end of every tunnel.
pub fn local(headers: Headers) -> IpAddr {
    address(headers.outer_is_v6(), [192, 0, 2, 1], 0xA, 1)
}

/// An address of either family.
fn address(is_v6: bool, v4: [u8; 4], network: u16, host: u32) -> IpAddr {
    if is_v6 {
        let [high, low] = [(host >> 16) as u16, host as u16];
        Ipv6Addr::new(0x2001, 0xDB8, network, 0, 0, 0, high, low).into()
    } else {
        Ipv4Addr::from(v4).into()
    }
}

/// SPI of the first SA.
const FIRST_SPI: u32 = 0x1000_0000;
/// The host behind the first peer, in IPv4.
const FIRST_BEYOND: [u8; 4] = [10, 2, 0, 1];

/// One tunnel, by its number from 0.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel(pub u32);

impl Tunnel {
    /// The host behind the peer.
    pub fn beyond(self, headers: Headers) -> IpAddr {
        self.numbered(headers.inner_is_v6(), FIRST_BEYOND, 2)
    }

    /// The tunnel that leads to an IPv4 host.
    pub fn beyond_which(host: Ipv4Addr) -> Option<Tunnel> {
        host.to_bits().checked_sub(Ipv4Addr::from(FIRST_BEYOND).to_bits()).map(Tunnel)
    }

    /// The peer.
    pub fn remote(self, headers: Headers) -> IpAddr {
        self.numbered(headers.outer_is_v6(), [198, 18, 0, 1], 0xB)
    }

    fn numbered(self, is_v6: bool, first: [u8; 4], network: u16) -> IpAddr {
        let v4 = Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() + self.0);
        address(is_v6, v4.octets(), network, 1 + self.0)
    }

    /// Index of our SA of a direction in the SA table.
    pub fn index(self, direction: Direction) -> u32 {
        match direction {
            Direction::Outbound => 2 * self.0,
            Direction::Inbound => 2 * self.0 + 1,
        }
    }

    /// SPI of our SA of a direction.
    pub fn spi(self, direction: Direction) -> Option<Spi> {
        Spi::new(FIRST_SPI + self.index(direction)).ok()
    }

    /// The tunnel whose outbound SA has this SPI.
    pub fn of_outbound(spi: Spi) -> Option<Tunnel> {
        let index = spi.get().checked_sub(FIRST_SPI)?;
        index.is_multiple_of(2).then_some(Tunnel(index / 2))
    }

    /// Keying material of our SA of a direction. No secret: both ends are ours, and the traffic is noise.
    fn key(self, direction: Direction, case: &Case) -> Vec<u8> {
        let mut bytes = fastrand::Rng::with_seed(u64::from(self.index(direction)));
        (0..case.suite.key_material_len()).map(|_| bytes.u8(..)).collect()
    }

    /// What a packet is from and to when this end protects it.
    pub fn flow(self, end: End, headers: Headers) -> (IpAddr, IpAddr) {
        match end {
            End::Ours => (inside(headers), self.beyond(headers)),
            End::Peers => (self.beyond(headers), inside(headers)),
        }
    }
}

/// The whole state as commands; the policy goes before, under the number `segment`.
///
/// # Errors
///
/// [`Error::Generator`].
pub fn commands(role: &Role<'_>, segment: u32) -> Result<Vec<Command>, Error> {
    let &Role { case, end, devices, .. } = role;
    let [lan, wan] = [port(LAN)?, port(WAN)?];
    let mut commands = vec![attach(lan, end, &devices.lan)?, attach(wan, end, &devices.wan)?];
    for tunnel in (0..case.tunnels).map(Tunnel) {
        commands.push(sa(tunnel, Direction::Outbound, role)?);
        commands.push(sa(tunnel, Direction::Inbound, role)?);
        let (here, there) = tunnel.flow(end, case.headers);
        let selector = selector(there, here)?;
        commands.push(Command::AddSelector { index: tunnel.index(Direction::Inbound), selector });
        commands.push(Command::BindEntry { entry: tunnel.0, sa: Some(tunnel.index(Direction::Outbound)) });
    }
    let forward = |port: PortId| NextHop::Forward { port, mac: end.neighbours()[port.index()] };
    commands.extend([
        Command::SetPolicy { port: wan, segment },
        Command::SetNextHop { id: 0, hop: NextHop::Local },
        Command::SetNextHop { id: 1, hop: forward(lan) },
        Command::SetNextHop { id: 2, hop: forward(wan) },
    ]);
    let (ends, hosts) = match end {
        End::Ours => (["192.0.2.1/32", "2001:db8:a::1/128"], ["10.1.0.0/16", "2001:db8:1::/48"]),
        End::Peers => (["198.18.0.0/15", "2001:db8:b::/48"], ["10.2.0.0/16", "2001:db8:2::/48"]),
    };
    for (prefixes, next_hop) in [(ends, 0), (hosts, 1), (["0.0.0.0/0", "::/0"], 2)] {
        for prefix in prefixes {
            let prefix = prefix.parse::<Prefix>().map_err(|error| Error::Generator(error.to_string()))?;
            commands.push(Command::AddRoute { prefix, next_hop });
        }
    }
    Ok(commands)
}

/// A rule for each tunnel's one host.
///
/// # Errors
///
/// [`Error::Generator`].
pub fn policy(case: &Case, end: End) -> Result<PolicySegment, Error> {
    let rule = |tunnel: Tunnel| {
        let (here, there) = tunnel.flow(end, case.headers);
        Ok(Rule::new(selector(here, there)?, Action::Protect(tunnel.0)))
    };
    let rules = (0..case.tunnels).map(Tunnel).map(rule).collect::<Result<Vec<_>, Error>>()?;
    let image = acl::compile(&rules, acl::Limits::default())
        .map_err(|error| Error::Generator(format!("the policy does not compile: {error}")))?;
    let labels: Vec<Label> =
        (0..case.tunnels).map(|number| Label::lossy(&format!("bench:{number}"))).collect();
    PolicySegment::build(image.as_bytes(), &labels, None)
        .map_err(Error::io("cannot make the policy's segment"))
}

fn port(number: u16) -> Result<PortId, Error> {
    PortId::new(number).ok_or_else(|| Error::Generator(format!("there can be no port {number}")))
}

fn attach(port: PortId, end: End, device: &str) -> Result<Command, Error> {
    Ok(Command::AttachPort(AttachPort {
        port,
        device: Device::new(device).map_err(|error| Error::Generator(format!("{device}: {error}")))?,
        // No mirror TAP: Linux has no part in this.
        name: PortName::EMPTY,
        mac: Some(end.macs()[port.index()]),
        mtu: MTU,
        vlan: None,
        shutdown: false,
        ip: shm::PortIp::default(),
    }))
}

fn selector(source: IpAddr, destination: IpAddr) -> Result<Selector, Error> {
    Selector::between(source.into(), destination.into()).map_err(|error| Error::Generator(error.to_string()))
}

fn sa(tunnel: Tunnel, direction: Direction, role: &Role<'_>) -> Result<Command, Error> {
    let &Role { case, end, window, .. } = role;
    let index = tunnel.index(direction);
    let ours = end.ours(direction);
    let parts = || Some((tunnel.spi(ours)?, KeyMaterial::new(&tunnel.key(ours, case))?));
    let (spi, key) = parts().ok_or_else(|| Error::Generator(format!("SA {index} has no SPI or no key")))?;
    let ends = (local(case.headers), tunnel.remote(case.headers));
    let (local, remote) = if end == End::Ours { ends } else { (ends.1, ends.0) };
    Ok(Command::InstallSa(Box::new(InstallSa {
        index,
        direction,
        spi,
        suite: case.suite,
        mode: Mode::Tunnel,
        key,
        local,
        remote,
        udp_port: case.headers.udp_port(),
        extended_sequence: false,
        replay_window: window,
        first_sequence: 1,
        replay_floor: 0,
        iv_base: 0,
        limits: shm::Limits::default(),
        size: model::SizeRules::default(),
        tfc: model::Tfc::NONE,
        entry: Some(tunnel.0),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_ends_are_each_others() {
        let headers = Headers::SixInFour;
        for tunnel in [0, 70_000].map(Tunnel) {
            let (here, there) = tunnel.flow(End::Ours, headers);
            assert_eq!(tunnel.flow(End::Peers, headers), (there, here));
            assert!(there.is_ipv6() && tunnel.remote(headers).is_ipv4());
            let spis =
                [Direction::Outbound, Direction::Inbound].map(|direction| tunnel.spi(direction).unwrap());
            assert_eq!(
                spis.map(Tunnel::of_outbound).map(|tunnel| tunnel.map(|tunnel| tunnel.0)),
                [Some(tunnel.0), None]
            );
        }
        assert_ne!(Tunnel(70_000).beyond(headers), Tunnel(70_000 - 65_536).beyond(headers));
        assert_eq!(End::Ours.macs(), End::Peers.neighbours());
    }
}
