//! Attaching a port: what a device is to the data plane.

use super::{PortId, read_flag, read_port};
use crate::codec::{Field, Malformed, Reader, Writer};
use crate::text::{Device, PortName};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type MacAddress = [u8; 6];

/// Attach a DPDK device as a port, with or without a mirror TAP in Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPort {
    /// The number that it gets.
    pub port: PortId,
    /// DPDK device string; not empty.
    pub device: Device,
    /// Name of the mirror TAP in Linux: letters, digits, `.`, `_` and `-` only, as it goes into a device string. Empty: the
    /// port has no mirror TAP, and what would go to Linux is dropped.
    pub name: PortName,
    /// Station address; the port is then promiscuous. `None` keeps the device's own.
    pub mac: Option<MacAddress>,
    /// Largest IP packet in bytes, 68 (RFC 791) to 9600.
    pub mtu: u16,
    /// All that it carries is of this VLAN (IEEE 802.1Q), 1 to [`AttachPort::MAX_VLAN`]; `None`: untagged. Its mirror TAP sees no
    /// tags.
    pub vlan: Option<u16>,
    /// Administratively down: attached, but it carries nothing.
    pub shutdown: bool,
    /// What it is in the world of IP.
    pub ip: PortIp,
}

/// What a port is in the world of IP: of each family, IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortIp {
    /// The largest packet that may leave, in bytes, where it is less than the link takes; 68 or more.
    pub mtu4: Option<u16>,
    /// As before; 1280 or more.
    pub mtu6: Option<u16>,
    /// What TCP over IPv4 through it may offer at most, in bytes of a segment.
    pub mss4: Option<u16>,
    /// As before, over IPv6.
    pub mss6: Option<u16>,
    /// Its own address, from which the data plane's own ICMP messages come.
    pub address4: Option<Ipv4Addr>,
    /// As before.
    pub address6: Option<Ipv6Addr>,
}

impl PortIp {
    /// The smallest MTU of IPv6 (RFC 8200, section 5).
    pub const MIN_MTU6: u16 = 1280;

    fn write(&self, w: &mut Writer<'_>) -> Result<(), Malformed> {
        w.u16(self.mtu4.unwrap_or_default())?;
        w.u16(self.mtu6.unwrap_or_default())?;
        w.u16(self.mss4.unwrap_or_default())?;
        w.u16(self.mss6.unwrap_or_default())?;
        w.bytes(&self.address4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets())?;
        w.bytes(&self.address6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets())
    }

    fn read(r: &mut Reader<'_>) -> Result<PortIp, Malformed> {
        let mut mtu = |least| match r.u16()? {
            0 => Ok(None),
            mtu if (least..=AttachPort::MAX_MTU).contains(&mtu) => Ok(Some(mtu)),
            _ => Err(Malformed(Field::Mtu)),
        };
        let (mtu4, mtu6) = (mtu(AttachPort::MIN_MTU)?, mtu(PortIp::MIN_MTU6)?);
        let (mss4, mss6) = (Some(r.u16()?).filter(|&mss| mss != 0), Some(r.u16()?).filter(|&mss| mss != 0));
        let address4 = Ipv4Addr::from(r.array::<4>()?);
        let address6 = Ipv6Addr::from(r.array::<16>()?);
        Ok(PortIp {
            mtu4,
            mtu6,
            mss4,
            mss6,
            address4: (!address4.is_unspecified()).then_some(address4),
            address6: (!address6.is_unspecified()).then_some(address6),
        })
    }
}

/// A MAC address of one station: not multicast, not zero.
pub(super) fn is_station(mac: MacAddress) -> bool {
    mac != [0; 6] && mac[0] & 1 == 0
}

impl AttachPort {
    /// The smallest MTU that IPv4 allows (RFC 791).
    pub const MIN_MTU: u16 = 68;
    /// The largest MTU: what common NICs call jumbo frames.
    pub const MAX_MTU: u16 = 9600;
    /// The largest VLAN; 4095 is reserved.
    pub const MAX_VLAN: u16 = 4094;

    pub(super) fn write(&self, w: &mut Writer<'_>) -> Result<(), Malformed> {
        if self.mac == Some([0; 6]) {
            return Err(Malformed(Field::Mac));
        }
        w.u16(self.port.get())?;
        w.bytes(self.device.padded())?;
        w.bytes(self.name.padded())?;
        w.bytes(&self.mac.unwrap_or_default())?;
        if self.vlan == Some(0) {
            return Err(Malformed(Field::Vlan));
        }
        w.u16(self.mtu)?;
        w.u16(self.vlan.unwrap_or_default())?;
        w.u8(u8::from(self.shutdown))?;
        self.ip.write(w)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<AttachPort, Malformed> {
        let port = read_port(r)?;
        let device: Device = r.text(Field::Device)?;
        if device.is_empty() {
            return Err(Malformed(Field::Device));
        }
        let name: PortName = r.text(Field::Name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.as_str().chars().all(plain) || matches!(name.as_str(), "." | "..") {
            return Err(Malformed(Field::Name));
        }
        let mac: MacAddress = r.array()?;
        if mac != [0; 6] && !is_station(mac) {
            return Err(Malformed(Field::Mac));
        }
        let mtu = r.u16()?;
        if !(AttachPort::MIN_MTU..=AttachPort::MAX_MTU).contains(&mtu) {
            return Err(Malformed(Field::Mtu));
        }
        let vlan = r.u16()?;
        if vlan > AttachPort::MAX_VLAN {
            return Err(Malformed(Field::Vlan));
        }
        let vlan = (vlan != 0).then_some(vlan);
        let shutdown = read_flag(r, Field::Flags)?;
        let ip = PortIp::read(r)?;
        Ok(AttachPort { port, device, name, mac: (mac != [0; 6]).then_some(mac), mtu, vlan, shutdown, ip })
    }
}
