//! What the data plane is told to be: a gateway with so many tunnels, each to a peer of its own, for one host behind it.
//!
//! The same whatever is measured: packets choose what happens to them by where they come from and go to.

use crate::case::Case;
use crate::error::Error;
use acl::{Action, Rule};
use model::{Direction, KeyMaterial, Mode, Prefix, Selector, Spi};
use shm::{AttachPort, Command, Device, InstallSa, Label, NextHop, PolicySegment, PortId, PortName};
use std::net::{IpAddr, Ipv4Addr};

/// Where packets come in and where they leave: the software ports behind the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// The port that faces our own hosts.
    pub lan: String,
    /// The port that faces the peers, and that the policy is on.
    pub wan: String,
}

/// Station addresses of the LAN and the WAN port.
pub const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xA0], [2, 0, 0, 0, 0, 0xA1]];
/// Station addresses of who is next on either side.
pub const NEIGHBOURS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xB0], [2, 0, 0, 0, 0, 0xB1]];
/// The host behind us that all packets are from or to.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
/// A host that no tunnel leads to.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Our end of every tunnel.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Longest packet on either port, in bytes.
const MTU: u16 = 1500;

/// The LAN port's number.
pub const LAN: u16 = 0;
/// The WAN port's number.
pub const WAN: u16 = 1;

/// One tunnel, by its number from 0.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel(pub u32);

impl Tunnel {
    /// The host behind the peer.
    pub fn beyond(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 2, 0, 1).to_bits() + self.0)
    }

    /// The peer.
    pub fn remote(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 1).to_bits() + self.0)
    }

    /// Index of the SA of a direction in the SA table.
    pub fn index(self, direction: Direction) -> u32 {
        match direction {
            Direction::Outbound => 2 * self.0,
            Direction::Inbound => 2 * self.0 + 1,
        }
    }

    /// SPI of the SA of a direction.
    pub fn spi(self, direction: Direction) -> Option<Spi> {
        Spi::new(0x1000_0000 + self.index(direction)).ok()
    }

    /// Key and salt of the SA of a direction. No secret: both ends are ours, and the traffic is noise.
    pub fn key(self, direction: Direction, case: &Case) -> Vec<u8> {
        let mut bytes = fastrand::Rng::with_seed(u64::from(self.index(direction)));
        (0..case.key.bytes() + 4).map(|_| bytes.u8(..)).collect()
    }
}

/// The whole state as commands; the policy goes before, under the number `segment`.
///
/// # Errors
///
/// [`Error::Generator`].
pub fn commands(case: &Case, devices: &Devices, segment: u32) -> Result<Vec<Command>, Error> {
    let [lan, wan] = [port(LAN)?, port(WAN)?];
    let mut commands = vec![attach(lan, &devices.lan)?, attach(wan, &devices.wan)?];
    for tunnel in (0..case.tunnels).map(Tunnel) {
        commands.push(sa(tunnel, Direction::Outbound, case)?);
        commands.push(sa(tunnel, Direction::Inbound, case)?);
        let selector = selector(tunnel.beyond(), INSIDE)?;
        commands.push(Command::AddSelector { index: tunnel.index(Direction::Inbound), selector });
        commands.push(Command::BindEntry { entry: tunnel.0, sa: Some(tunnel.index(Direction::Outbound)) });
    }
    let forward = |port: PortId| NextHop::Forward { port, mac: NEIGHBOURS[port.index()] };
    let routes = [("192.0.2.1/32", 0), ("10.1.0.0/16", 1), ("0.0.0.0/0", 2)];
    commands.extend([
        Command::SetPolicy { port: wan, segment },
        Command::SetNextHop { id: 0, hop: NextHop::Local },
        Command::SetNextHop { id: 1, hop: forward(lan) },
        Command::SetNextHop { id: 2, hop: forward(wan) },
    ]);
    for (prefix, next_hop) in routes {
        let prefix = prefix.parse::<Prefix>().map_err(|error| Error::Generator(error.to_string()))?;
        commands.push(Command::AddRoute { prefix, next_hop });
    }
    Ok(commands)
}

/// A rule for each tunnel's one host.
///
/// # Errors
///
/// [`Error::Generator`].
pub fn policy(case: &Case) -> Result<PolicySegment, Error> {
    let rules = (0..case.tunnels)
        .map(Tunnel)
        .map(|tunnel| Ok(Rule::new(selector(INSIDE, tunnel.beyond())?, Action::Protect(tunnel.0))))
        .collect::<Result<Vec<_>, Error>>()?;
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

fn attach(port: PortId, device: &str) -> Result<Command, Error> {
    Ok(Command::AttachPort(AttachPort {
        port,
        device: Device::new(device).map_err(|error| Error::Generator(format!("{device}: {error}")))?,
        // No mirror TAP: Linux has no part in this.
        name: PortName::EMPTY,
        mac: Some(MACS[port.index()]),
        mtu: MTU,
        vlan: None,
        shutdown: false,
        ip: shm::PortIp::default(),
    }))
}

fn selector(source: Ipv4Addr, destination: Ipv4Addr) -> Result<Selector, Error> {
    let host = |address| Prefix::from(IpAddr::V4(address));
    Selector::between(host(source), host(destination)).map_err(|error| Error::Generator(error.to_string()))
}

fn sa(tunnel: Tunnel, direction: Direction, case: &Case) -> Result<Command, Error> {
    let index = tunnel.index(direction);
    let parts = || Some((tunnel.spi(direction)?, KeyMaterial::new(&tunnel.key(direction, case))?));
    let (spi, key) = parts().ok_or_else(|| Error::Generator(format!("SA {index} has no SPI or no key")))?;
    Ok(Command::InstallSa(Box::new(InstallSa {
        index,
        direction,
        spi,
        suite: case.suite(),
        mode: Mode::Tunnel,
        key,
        local: LOCAL.into(),
        remote: tunnel.remote().into(),
        udp_port: None,
        extended_sequence: false,
        // The same packets come in over and over.
        replay_window: 0,
        first_sequence: 1,
        replay_floor: 0,
        iv_base: 0,
        limits: shm::Limits::default(),
        size: model::SizeRules::default(),
        tfc: model::Tfc::NONE,
        entry: Some(tunnel.0),
    })))
}
