//! Interfaces: each has a device of its own, and addresses that no other has.

use super::is_unicast;
use crate::parse::{Draft, Found, InterfaceDraft};
use crate::source::{At, Fault, Report};
use crate::{Config, Interface, Name};
use model::{Ipv4Prefix, Ipv6Prefix, Prefix};
use std::collections::HashMap;
use std::hash::Hash;

/// The smallest MTU of a link that carries IPv6 (RFC 8200, section 5).
const MIN_MTU_V6: u16 = 1280;

pub(super) fn check(draft: &Draft, report: &mut Report<'_, '_>) -> Vec<Interface> {
    if let Some(interface) = draft.interfaces.get(Config::MAX_INTERFACES) {
        let fault = Fault::new(
            interface.name.at,
            format!("there are more than {} interfaces", Config::MAX_INTERFACES),
        );
        report.error(fault.help("remove some"));
        return Vec::new();
    }
    let mut devices =
        Once::new("another interface stands on this device", "give each interface a device of its own");
    let mut linux_names = Once::new(
        "another interface has this name in Linux",
        "give one of them another by `linux-name NAME`",
    );
    let mut macs =
        Once::new("another interface has this address", "give each interface an address of its own");
    for interface in &draft.interfaces {
        if interface.device.is_missing() && !interface.faulty {
            report.error(no_device(interface));
        }
        if let Some(Found { value: device, at }) = interface.device.found() {
            devices.see(device_names(device), *at, report);
        }
        let linux_at = interface.linux_name.found().map_or(interface.name.at, |name| name.at);
        let linux_name = linux_name(interface);
        linux_names.see([linux_name.as_str().to_owned()], linux_at, report);
        if let Some(Found { value: device, at }) = interface.device.found()
            && parameter(device, "iface") == Some(linux_name.as_str())
        {
            let fault = Fault::new(
                linux_at,
                format!("`{linux_name}` would be the name of the interface's mirror in Linux, too"),
            );
            report.error(
                fault
                    .related(*at, "here it is the device's")
                    .help("give the mirror another by `linux-name NAME`"),
            );
        }
        if let Some(Found { value: mac, at }) = interface.mac.found() {
            macs.see([*mac], *at, report);
        }
        mtu(interface, report);
    }
    addresses(draft, report);
    draft.interfaces.iter().filter_map(finish).collect()
}

fn no_device(interface: &InterfaceDraft) -> Fault {
    /// What stands on no device in IOS.
    const VIRTUAL: [&str; 7] = ["bdi", "bvi", "dialer", "loopback", "port-channel", "tunnel", "vlan"];
    let name = interface.name.value.as_str();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '/' | '.'));
    if kind.len() < name.len() && VIRTUAL.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        let fault = format!("`{kind}` interfaces are not available in Espalier: each stands on a device");
        return Fault::new(interface.name.at, fault)
            .help("remove the interface; Linux may have one, and its address");
    }
    let fault = Fault::new(interface.name.at, format!("interface `{name}` has no device"));
    fault.help("write `device` under it, with a PCI address or a DPDK device string")
}

fn finish(draft: &InterfaceDraft) -> Option<Interface> {
    let primary = draft.primary.value().into_iter();
    Some(Interface {
        name: draft.name.value.clone(),
        linux_name: linux_name(draft),
        device: draft.device.value()?.clone(),
        mac: draft.mac.value().copied(),
        description: draft.description.value().cloned(),
        addresses: primary.chain(draft.secondary.iter().map(|found| &found.value)).copied().collect(),
        addresses6: draft.addresses6.iter().map(|found| found.value).collect(),
        mtu: draft.mtu.value().copied().unwrap_or_else(|| link_mtu(draft)),
        mtu4: draft.ip_mtu.value().copied(),
        mtu6: draft.ipv6_mtu.value().copied(),
        mss4: draft.mss4.value().copied(),
        mss6: draft.mss6.value().copied(),
        vlan: draft.vlan.value().copied(),
        crypto_map: draft.crypto_map.value().cloned(),
        shutdown: draft.shutdown.value().copied().unwrap_or(false),
    })
}

fn linux_name(draft: &InterfaceDraft) -> Name {
    draft.linux_name.value().cloned().unwrap_or_else(|| Interface::linux_name_for(&draft.name.value))
}

/// Things of which each may stand once.
struct Once<T> {
    seen: HashMap<T, At>,
    message: &'static str,
    help: &'static str,
}

impl<T: Hash + Eq> Once<T> {
    fn new(message: &'static str, help: &'static str) -> Once<T> {
        Once { seen: HashMap::new(), message, help }
    }

    /// Several names of one thing; at most one error.
    fn see(&mut self, names: impl IntoIterator<Item = T>, at: At, report: &mut Report<'_, '_>) {
        let mut first = None;
        for name in names {
            match self.seen.get(&name) {
                Some(&seen) => first = Some(seen),
                None => drop(self.seen.insert(name, at)),
            }
        }
        if let Some(first) = first {
            report.error(Fault::new(at, self.message).related(first, "here").help(self.help));
        }
    }
}

/// By what DPDK and Linux know a device: the name before the first comma, and the Linux interface that it stands on.
fn device_names(device: &str) -> Vec<String> {
    let name = device.split(',').next().unwrap_or(device).to_ascii_lowercase();
    let is_short_pci = name.matches(':').count() == 1 && name.contains('.');
    let name = if is_short_pci { format!("0000:{name}") } else { name };
    let iface = parameter(device, "iface").map(|iface| format!("iface={iface}"));
    [Some(name), iface].into_iter().flatten().collect()
}

/// The value of `NAME=VALUE` in a device string.
fn parameter<'d>(device: &'d str, name: &str) -> Option<&'d str> {
    let mut parameters = device.split(',').skip(1).filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Of a link of which nothing is written: wide enough for what is to be sent on it.
fn link_mtu(draft: &InterfaceDraft) -> u16 {
    let said = [draft.ip_mtu.value(), draft.ipv6_mtu.value()].into_iter().flatten();
    said.copied().fold(Interface::DEFAULT_MTU, u16::max)
}

fn mtu(interface: &InterfaceDraft, report: &mut Report<'_, '_>) {
    let link = interface.mtu.found();
    for (ip, line) in [(&interface.ip_mtu, "ip mtu"), (&interface.ipv6_mtu, "ipv6 mtu")] {
        if let (Some(link), Some(ip)) = (link, ip.found())
            && ip.value > link.value
        {
            let fault = Fault::new(
                ip.at,
                format!("IP packets of {} bytes do not fit on a link that takes {}", ip.value, link.value),
            );
            report
                .error(fault.related(link.at, "of the link").help(format!("raise `mtu` or lower `{line}`")));
        }
    }
    if let (Some(mtu), Some(address)) = (link, interface.addresses6.first())
        && mtu.value < MIN_MTU_V6
    {
        let fault = Fault::new(mtu.at, format!("IPv6 wants an MTU of at least {MIN_MTU_V6} bytes"));
        report.error(
            fault.related(address.at, "IPv6 is on here").help("raise the MTU, or remove the IPv6 address"),
        );
    }
}

fn addresses(draft: &Draft, report: &mut Report<'_, '_>) {
    let mut all: Vec<(usize, Prefix, At)> = Vec::new();
    for (place, interface) in draft.interfaces.iter().enumerate() {
        let v4 = interface.primary.found().into_iter().chain(&interface.secondary);
        for Found { value, at } in v4 {
            match wrong_v4(*value) {
                Some(message) => {
                    report.error(Fault::new(*at, message).help("take the address of a machine in the subnet"))
                }
                None => all.push((place, (*value).into(), *at)),
            }
        }
        for Found { value, at } in &interface.addresses6 {
            match wrong_v6(*value) {
                Some(message) => {
                    report.error(Fault::new(*at, message).help("take the address of a machine in the subnet"))
                }
                None => all.push((place, (*value).into(), *at)),
            }
        }
        if let (None, Some(secondary)) = (interface.primary.found(), interface.secondary.first())
            && interface.primary.is_missing()
        {
            let fault = Fault::new(secondary.at, "there is a secondary address but no primary one");
            report.error(fault.help("write the first address without `secondary`"));
        }
    }
    for (i, (interface, prefix, at)) in all.iter().enumerate() {
        let before = all.get(..i).unwrap_or_default();
        let clash = before.iter().find(|(other, known, _)| match interface == other {
            true => known.addr() == prefix.addr(),
            false => (known.contains(prefix) || prefix.contains(known)) && !is_link_local(prefix),
        });
        if let Some((other, known, first)) = clash {
            let (message, help) = match (interface == other, known.addr() == prefix.addr()) {
                (true, _) => (
                    format!("the interface has the address `{}` twice", prefix.addr()),
                    "keep one of the two lines",
                ),
                (false, true) => (
                    format!("another interface has the address `{}`", prefix.addr()),
                    "give each interface an address of its own, in a subnet of its own",
                ),
                (false, false) => (
                    format!("`{}` overlaps `{}` of another interface", prefix.trunc(), known.trunc()),
                    "give each interface subnets of its own",
                ),
            };
            report.error(Fault::new(*at, message).related(*first, "written here").help(help));
        }
    }
}

fn is_link_local(prefix: &Prefix) -> bool {
    matches!(prefix, Prefix::V6(prefix) if prefix.addr().is_unicast_link_local())
}

fn wrong_v4(address: Ipv4Prefix) -> Option<String> {
    let (host, length) = (address.addr(), address.prefix_len());
    if !is_unicast(host.into()) || length == 0 {
        return Some(format!("`{host}` can be no interface's address"));
    }
    if length < 31 && host == address.network() {
        return Some(format!("`{host}` is the address of the subnet `{}` itself", address.trunc()));
    }
    (length < 31 && host == address.broadcast())
        .then(|| format!("`{host}` is the broadcast address of the subnet `{}`", address.trunc()))
}

fn wrong_v6(address: Ipv6Prefix) -> Option<String> {
    let (host, length) = (address.addr(), address.prefix_len());
    if !is_unicast(host.into()) || length == 0 || host.to_ipv4_mapped().is_some() {
        return Some(format!("`{host}` can be no interface's address"));
    }
    (length < 127 && host == address.network())
        .then(|| format!("`{host}` is the anycast address of the routers of `{}`", address.trunc()))
}
