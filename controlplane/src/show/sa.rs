//! `show crypto ipsec sa`.

mod serves;
mod text;

use super::View;
use model::{Direction, Mode, Spi, Tfc};
use serde::Serialize;
use serves::Served;
use shm::{SaCounts, SaStatus};
use std::net::{IpAddr, SocketAddr};

/// All SAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Associations {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By index.
    pub sa: Vec<Association>,
}

/// One SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Association {
    /// Its index in shared memory.
    pub index: u32,
    /// Inbound or outbound.
    pub direction: Direction,
    /// SPI.
    pub spi: Spi,
    /// As a transform set names it.
    pub transform: String,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Outer address of this side.
    pub local: IpAddr,
    /// Outer address of the peer, as it was installed.
    pub remote: IpAddr,
    /// In UDP, to this port of the peer, as it was installed.
    pub udp_port: Option<u16>,
    /// Where the peer was seen since, if elsewhere.
    pub moved_to: Option<SocketAddr>,
    /// The crypto map that it serves, where a daemon could be asked.
    pub crypto_map: Option<String>,
    /// The sequence number of that map's entry.
    pub map_sequence: Option<u16>,
    /// The entry of a dynamic map behind that, if its peer came by one.
    pub dynamic_map: Option<String>,
    /// Whether its keys are written down; else IKE negotiated them. Unknown where no daemon could be asked.
    pub manual: Option<bool>,
    /// The interfaces that the map is on.
    pub interfaces: Vec<String>,
    /// Number of the policy entry.
    pub entry: Option<u32>,
    /// Extended sequence numbers.
    pub extended_sequence: bool,
    /// Packets of the replay window; 0 if it is not checked.
    pub replay_window: u32,
    /// Outbound: the next sequence number.
    pub next_sequence: Option<u64>,
    /// Inbound: the highest sequence number.
    pub highest_sequence: Option<u64>,
    /// Outbound: the largest outer packet, in bytes: of what the interfaces of its crypto map send, and what its path was seen
    /// to take, the least. Unknown where neither is known.
    pub path_mtu: Option<u16>,
    /// Outbound: what its path was seen to take, where that is less than its port does.
    pub learned_mtu: Option<u16>,
    /// The largest packet of its outer family that the interfaces of its crypto map send.
    pub ip_mtu: Option<u16>,
    /// Outbound: how it hides the lengths of its packets, and when there are any.
    pub tfc: Tfc,
    /// Nanoseconds since 1970.
    pub installed_at: u64,
    /// Seconds until it must have been replaced; unknown where no daemon could be asked, or if it has no such limit.
    pub remaining_seconds: Option<u64>,
    /// Bytes that it may still carry, if that is limited.
    pub remaining_bytes: Option<u64>,
    /// What it counted.
    #[serde(flatten)]
    pub counters: SaCounts,
}

/// Which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// Every one.
    All,
    /// Those with a peer, where it was or where it is.
    Peer(IpAddr),
    /// Those of a crypto map.
    Map(String),
    /// Those of the crypto maps on an interface.
    Interface(String),
}

impl Associations {
    /// Out of a view.
    pub fn new(view: &View) -> Associations {
        Associations { hostname: view.hostname(), sa: associations(view) }
    }

    /// Some of them.
    #[must_use]
    pub fn only(mut self, which: &Only) -> Associations {
        self.sa.retain(|sa| match which {
            Only::All => true,
            Only::Peer(peer) => sa.remote == *peer || sa.peer().0 == *peer,
            Only::Map(map) => sa.crypto_map.as_ref() == Some(map),
            Only::Interface(name) => sa.interfaces.contains(name),
        });
        self
    }
}

/// Each SA of a view, by index.
pub(super) fn associations(view: &View) -> Vec<Association> {
    let served = Served::of(view);
    view.sas.iter().map(|sa| association(&served, sa)).collect()
}

fn association(served: &Served<'_>, sa: &SaStatus) -> Association {
    let d = &sa.descriptor;
    let serves = served.by(d);
    let outbound = d.direction == Direction::Outbound;
    let ip_mtu = serves.map.and_then(|map| served.mtu(map, d.local));
    Association {
        index: d.index,
        direction: d.direction,
        spi: d.spi,
        transform: d.suite.to_string(),
        mode: d.mode,
        local: d.local,
        remote: d.remote,
        udp_port: d.udp_port,
        moved_to: d.moved_to,
        crypto_map: serves.map.map(|map| map.name.clone()),
        map_sequence: serves.sequence,
        dynamic_map: serves.dynamic.cloned(),
        manual: serves.manual,
        interfaces: serves.map.map(|map| map.interfaces.clone()).unwrap_or_default(),
        entry: d.entry,
        extended_sequence: d.extended_sequence,
        replay_window: d.replay_window,
        next_sequence: outbound.then_some(sa.next_sequence),
        highest_sequence: (!outbound).then_some(sa.highest),
        path_mtu: if outbound { sa.path_mtu.into_iter().chain(ip_mtu).min() } else { None },
        learned_mtu: sa.path_mtu,
        ip_mtu,
        tfc: d.tfc,
        installed_at: d.installed_at,
        remaining_seconds: serves.ends_in,
        remaining_bytes: d.limits.hard_bytes.map(|limit| limit.saturating_sub(sa.counters.bytes)),
        counters: sa.counters,
    }
}

impl Association {
    /// Where the peer is now, with its port where ESP goes in UDP.
    fn peer(&self) -> (IpAddr, Option<u16>) {
        match self.moved_to {
            Some(to) => (to.ip(), Some(to.port())),
            None => (self.remote, self.udp_port),
        }
    }

    fn errors(&self) -> u64 {
        let c = &self.counters;
        [c.auth_failed, c.replayed, c.too_old, c.selector_mismatch, c.malformed, c.expired, c.other]
            .iter()
            .fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Who it belongs with: the other direction of the same tunnel.
    fn pair(&self) -> (Option<u32>, IpAddr, IpAddr) {
        (self.entry, self.local, self.remote)
    }
}
