//! What was read so far, each value with its place, before anybody asks whether it fits together.

use super::cursor::Found;
use crate::source::{At, Fault};
use crate::{
    DhGroup, Family, IdentityRule, IkeCipher, IkeIdentity, MacAddress, Name, Proof, ReplayWindow, Rule,
    SharedKey, StaticRoute,
};
use model::{
    DontFragment, DscpMap, Dummies, Fragmentation, Hmac, Ipv4Prefix, Ipv6Prefix, KeyMaterial, Mode, Prefix,
    Spi, Suite, TfcPadding,
};
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

/// `crypto ipsec dscp`.
#[derive(Default)]
pub(crate) struct DscpDraft {
    /// `copy` (nothing) or `set`.
    pub(crate) usual: Setting<Option<u8>>,
    /// `map`, by inner code point.
    pub(crate) others: BTreeMap<u8, Setting<u8>>,
}

impl DscpDraft {
    pub(crate) fn map(&self) -> DscpMap {
        let mut points = match self.usual.value() {
            Some(&Some(point)) => [point; DscpMap::POINTS],
            _ => *DscpMap::COPY.points(),
        };
        for (&inner, outer) in &self.others {
            if let (Some(point), Some(&outer)) = (points.get_mut(usize::from(inner)), outer.value()) {
                *point = outer;
            }
        }
        DscpMap::new(points).unwrap_or_default()
    }
}

#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) hostname: Setting<Name>,
    pub(crate) replay: Setting<ReplayWindow>,
    pub(crate) df: Setting<DontFragment>,
    pub(crate) fragmentation: Setting<Fragmentation>,
    pub(crate) dscp: DscpDraft,
    pub(crate) interfaces: Vec<InterfaceDraft>,
    pub(crate) lists: BTreeMap<Name, ListDraft>,
    pub(crate) sets: BTreeMap<Name, SetDraft>,
    pub(crate) lifetime: LifetimeDraft,
    pub(crate) tfc: TfcDraft,
    pub(crate) dpd: Setting<u16>,
    pub(crate) proposals: BTreeMap<Name, ProposalDraft>,
    pub(crate) policies: BTreeMap<Name, PolicyDraft>,
    pub(crate) keyrings: BTreeMap<Name, KeyringDraft>,
    /// `crypto isakmp key`.
    pub(crate) keys: Vec<PeerDraft>,
    /// A key could not be taken; nobody need miss it again.
    pub(crate) key_faulty: bool,
    pub(crate) trustpoints: BTreeMap<Name, TrustpointDraft>,
    pub(crate) profiles: BTreeMap<Name, ProfileDraft>,
    pub(crate) ipsec_profiles: BTreeMap<Name, EntryDraft>,
    pub(crate) dynamic_maps: BTreeMap<Name, BTreeMap<u16, EntryDraft>>,
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

/// What kind of entry, of a crypto map or of what is like one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ipsec-manual`.
    Manual,
    /// `ipsec-isakmp`.
    Negotiated,
    /// `ipsec-isakmp dynamic NAME`.
    Dynamic(Found<Name>),
    /// `discard`.
    Discard,
    /// Of a dynamic map.
    Template,
    /// `crypto ipsec profile`.
    Profile,
}

pub(crate) struct EntryDraft {
    pub(crate) at: At,
    pub(crate) kind: Kind,
    pub(crate) description: Setting<String>,
    /// Of manual keys, one.
    pub(crate) peers: Vec<Found<IpAddr>>,
    pub(crate) udp_port: Setting<u16>,
    /// Of manual keys, one.
    pub(crate) transform_sets: Setting<Vec<Found<Name>>>,
    pub(crate) inbound: Setting<KeyDraft>,
    pub(crate) outbound: Setting<KeyDraft>,
    pub(crate) pfs: Setting<DhGroup>,
    pub(crate) profile: Setting<Name>,
    pub(crate) lifetime: LifetimeDraft,
    pub(crate) tfc: TfcDraft,
    pub(crate) lists: Vec<Found<Name>>,
    /// A line of it was not understood, which may have been what is missing.
    pub(crate) faulty: bool,
}

impl EntryDraft {
    pub(crate) fn new(at: At, kind: Kind) -> EntryDraft {
        EntryDraft {
            at,
            kind,
            description: Setting::Missing,
            peers: Vec::new(),
            udp_port: Setting::Missing,
            transform_sets: Setting::Missing,
            inbound: Setting::Missing,
            outbound: Setting::Missing,
            pfs: Setting::Missing,
            profile: Setting::Missing,
            lifetime: LifetimeDraft::default(),
            tfc: TfcDraft::default(),
            lists: Vec::new(),
            faulty: false,
        }
    }

    /// The only one, of manual keys.
    pub(crate) fn peer(&self) -> Option<&Found<IpAddr>> {
        self.peers.first()
    }

    /// The only one, of manual keys.
    pub(crate) fn transform_set(&self) -> Option<&Found<Name>> {
        self.transform_sets.value().and_then(|sets| sets.first())
    }
}

#[derive(Default)]
pub(crate) struct LifetimeDraft {
    pub(crate) seconds: Setting<u32>,
    /// `None` is `disable`.
    pub(crate) kilobytes: Setting<Option<u32>>,
}

#[derive(Default)]
pub(crate) struct TfcDraft {
    pub(crate) padding: Setting<TfcPadding>,
    pub(crate) dummies: Setting<Dummies>,
}

pub(crate) struct ProposalDraft {
    pub(crate) at: At,
    pub(crate) encryption: Vec<Found<IkeCipher>>,
    pub(crate) integrity: Vec<Found<Hmac>>,
    pub(crate) prf: Vec<Found<Hmac>>,
    pub(crate) groups: Vec<Found<DhGroup>>,
    pub(crate) faulty: bool,
}

pub(crate) struct PolicyDraft {
    pub(crate) at: At,
    pub(crate) proposals: Vec<Found<Name>>,
    pub(crate) local: Vec<Found<IpAddr>>,
    pub(crate) faulty: bool,
}

pub(crate) struct KeyringDraft {
    pub(crate) ikev2: bool,
    pub(crate) peers: Vec<PeerDraft>,
}

pub(crate) struct PeerDraft {
    pub(crate) at: At,
    pub(crate) name: Option<Name>,
    pub(crate) address: Setting<Prefix>,
    pub(crate) identity: Setting<IkeIdentity>,
    pub(crate) local: Setting<SharedKey>,
    pub(crate) remote: Setting<SharedKey>,
    pub(crate) faulty: bool,
}

impl PeerDraft {
    pub(crate) fn new(at: At, name: Option<Name>) -> PeerDraft {
        PeerDraft {
            at,
            name,
            address: Setting::Missing,
            identity: Setting::Missing,
            local: Setting::Missing,
            remote: Setting::Missing,
            faulty: false,
        }
    }
}

pub(crate) struct TrustpointDraft {
    pub(crate) at: At,
    pub(crate) authorities: Setting<String>,
    pub(crate) certificate: Setting<String>,
    pub(crate) private_key: Setting<String>,
    pub(crate) revoked: Vec<String>,
    pub(crate) faulty: bool,
}

pub(crate) struct ProfileDraft {
    pub(crate) at: At,
    pub(crate) matches: Vec<Found<IdentityRule>>,
    pub(crate) identity: Setting<IkeIdentity>,
    pub(crate) local: Setting<Proof>,
    pub(crate) remote: Setting<Proof>,
    pub(crate) keyring: Setting<Name>,
    pub(crate) trustpoint: Setting<Name>,
    pub(crate) lifetime: Setting<u32>,
    pub(crate) reauth: Setting<u32>,
    pub(crate) dpd: Setting<u16>,
    pub(crate) faulty: bool,
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
