//! What was read so far, each value with its place, before anybody asks whether it fits together.

use super::cursor::Found;
use crate::source::{At, Fault};
use crate::{Family, MacAddress, Name, ReplayWindow, Rule, StaticRoute};
use model::{DontFragment, Fragmentation, Ipv4Prefix, Ipv6Prefix, KeyMaterial, Mode, Spi, Suite};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Something that is said at most once.
#[derive(Default)]
pub(crate) enum Setting<T> {
    #[default]
    Missing,
    /// Something was said that cannot be taken; an error has been reported, and nobody need miss it again.
    Faulty,
    Set(Found<T>),
}

impl<T> Setting<T> {
    /// Takes what was read. Saying something twice is an error: IOS would take the last, and the operator may mean the first.
    pub(crate) fn fill(&mut self, read: Result<Found<T>, Fault>) -> Result<(), Fault> {
        match (read, &*self) {
            (Ok(found), Setting::Set(first)) => {
                let fault =
                    Fault::new(found.at, "this has been said before").related(first.at, "first said here");
                Err(fault.help("keep one of the two lines"))
            }
            (Ok(found), _) => {
                *self = Setting::Set(found);
                Ok(())
            }
            (Err(fault), Setting::Set(_)) => Err(fault),
            (Err(fault), _) => {
                *self = Setting::Faulty;
                Err(fault)
            }
        }
    }

    pub(crate) fn found(&self) -> Option<&Found<T>> {
        match self {
            Setting::Set(found) => Some(found),
            _ => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.found().map(|found| &found.value)
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Setting::Missing)
    }
}

#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) hostname: Setting<Name>,
    pub(crate) replay: Setting<ReplayWindow>,
    pub(crate) df: Setting<DontFragment>,
    pub(crate) fragmentation: Setting<Fragmentation>,
    pub(crate) interfaces: Vec<InterfaceDraft>,
    pub(crate) lists: BTreeMap<Name, ListDraft>,
    pub(crate) sets: BTreeMap<Name, SetDraft>,
    pub(crate) maps: BTreeMap<Name, MapDraft>,
    pub(crate) routes: Vec<RouteDraft>,
}

pub(crate) struct InterfaceDraft {
    pub(crate) name: Found<Name>,
    pub(crate) device: Setting<String>,
    pub(crate) linux_name: Setting<Name>,
    pub(crate) mac: Setting<MacAddress>,
    pub(crate) description: Setting<String>,
    pub(crate) primary: Setting<Ipv4Prefix>,
    pub(crate) secondary: Vec<Found<Ipv4Prefix>>,
    pub(crate) addresses6: Vec<Found<Ipv6Prefix>>,
    /// `mtu`, the link's.
    pub(crate) mtu: Setting<u16>,
    /// `ip mtu`.
    pub(crate) ip_mtu: Setting<u16>,
    /// `ipv6 mtu`.
    pub(crate) ipv6_mtu: Setting<u16>,
    /// `ip tcp adjust-mss`, and that of IPv6.
    pub(crate) mss4: Setting<u16>,
    pub(crate) mss6: Setting<u16>,
    pub(crate) vlan: Setting<u16>,
    pub(crate) crypto_map: Setting<Name>,
    pub(crate) shutdown: Setting<bool>,
    /// A line of it was not understood, which may have been what is missing.
    pub(crate) faulty: bool,
}

impl InterfaceDraft {
    pub(crate) fn new(name: Found<Name>) -> InterfaceDraft {
        InterfaceDraft {
            name,
            device: Setting::Missing,
            linux_name: Setting::Missing,
            mac: Setting::Missing,
            description: Setting::Missing,
            primary: Setting::Missing,
            secondary: Vec::new(),
            addresses6: Vec::new(),
            mtu: Setting::Missing,
            ip_mtu: Setting::Missing,
            ipv6_mtu: Setting::Missing,
            mss4: Setting::Missing,
            mss6: Setting::Missing,
            vlan: Setting::Missing,
            crypto_map: Setting::Missing,
            shutdown: Setting::Missing,
            faulty: false,
        }
    }
}

pub(crate) struct ListDraft {
    pub(crate) at: At,
    pub(crate) family: Family,
    /// By sequence number.
    pub(crate) rules: BTreeMap<u32, Found<Rule>>,
    /// Not yet before any rule.
    pub(crate) remarks: Vec<String>,
    /// A line of it could not be taken.
    pub(crate) faulty: bool,
}

pub(crate) struct SetDraft {
    pub(crate) at: At,
    pub(crate) suite: Setting<Suite>,
    pub(crate) mode: Setting<Mode>,
    pub(crate) esn: Setting<()>,
}

#[derive(Default)]
pub(crate) struct MapDraft {
    pub(crate) local_address: Setting<Name>,
    pub(crate) entries: BTreeMap<u16, EntryDraft>,
    /// It has an entry of a kind that could not be taken.
    pub(crate) faulty: bool,
}

pub(crate) struct EntryDraft {
    pub(crate) at: At,
    pub(crate) description: Setting<String>,
    pub(crate) peer: Setting<IpAddr>,
    pub(crate) udp_port: Setting<u16>,
    pub(crate) transform_set: Setting<Name>,
    pub(crate) inbound: Setting<KeyDraft>,
    pub(crate) outbound: Setting<KeyDraft>,
    pub(crate) lists: Vec<Found<Name>>,
    /// A line of it was not understood, which may have been what is missing.
    pub(crate) faulty: bool,
}

impl EntryDraft {
    pub(crate) fn new(at: At) -> EntryDraft {
        EntryDraft {
            at,
            description: Setting::Missing,
            peer: Setting::Missing,
            udp_port: Setting::Missing,
            transform_set: Setting::Missing,
            inbound: Setting::Missing,
            outbound: Setting::Missing,
            lists: Vec::new(),
            faulty: false,
        }
    }
}

pub(crate) struct KeyDraft {
    pub(crate) spi: Found<Spi>,
    /// The cipher's key, and the salt behind it.
    pub(crate) cipher: Option<Found<KeyMaterial>>,
    /// The HMAC's key.
    pub(crate) authenticator: Option<Found<KeyMaterial>>,
}

pub(crate) struct RouteDraft {
    pub(crate) at: At,
    /// Where the interface's name stands, if it has one.
    pub(crate) interface: Option<At>,
    pub(crate) route: StaticRoute,
}
