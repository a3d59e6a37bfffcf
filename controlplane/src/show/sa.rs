//! `show crypto ipsec sa`.

use super::{Page, View};
use crate::operator::facts::KeyingFacts;
use model::{Direction, Dummies, Mode, Spi, Tfc, TfcPadding};
use serde::Serialize;
use shm::{SaCounts, SaStatus};
use std::collections::BTreeMap;
use std::fmt::Write as _;
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
    /// Outbound: what its path was seen to take, in bytes of the outer packet, where that is less than the port takes.
    pub path_mtu: Option<u16>,
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
        Associations {
            hostname: view.hostname(),
            sa: view.sas.iter().map(|sa| association(view, sa)).collect(),
        }
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

pub(super) fn association(view: &View, sa: &SaStatus) -> Association {
    let d = &sa.descriptor;
    let serves = d.entry.and_then(|entry| view.facts.as_ref()?.entry(entry));
    let outbound = d.direction == Direction::Outbound;
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
        crypto_map: serves.map(|(map, _)| map.name.clone()),
        map_sequence: serves.map(|(_, entry)| entry.sequence),
        manual: view
            .facts
            .as_ref()
            .map(|_| serves.is_some_and(|(_, entry)| matches!(entry.keying, KeyingFacts::Manual { .. }))),
        interfaces: serves.map(|(map, _)| map.interfaces.clone()).unwrap_or_default(),
        entry: d.entry,
        extended_sequence: d.extended_sequence,
        replay_window: d.replay_window,
        next_sequence: outbound.then_some(sa.next_sequence),
        highest_sequence: (!outbound).then_some(sa.highest),
        path_mtu: sa.path_mtu,
        tfc: d.tfc,
        installed_at: d.installed_at,
        remaining_seconds: serves.and_then(|(_, entry)| match entry.keying {
            KeyingFacts::Ikev2 { lifetime, .. } => {
                Some(lifetime?.saturating_sub(view.now.saturating_sub(d.installed_at) / 1_000_000_000))
            }
            KeyingFacts::Manual { .. } | KeyingFacts::Dynamic { .. } => None,
        }),
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

impl Page for Associations {
    fn text(&self) -> String {
        if self.sa.is_empty() {
            return "There are no SAs.\n".to_owned();
        }
        let mut pairs: BTreeMap<_, Vec<&Association>> = BTreeMap::new();
        for sa in &self.sa {
            pairs.entry(sa.pair()).or_default().push(sa);
        }
        let mut text = String::new();
        for ((_, local, remote), sas) in pairs {
            // Writing to a `String` does not fail.
            let _ = write_pair(&mut text, local, remote, &sas);
        }
        text
    }
}

fn write_pair(text: &mut String, local: IpAddr, remote: IpAddr, sas: &[&Association]) -> std::fmt::Result {
    let of = |direction| sas.iter().filter(move |sa| sa.direction == direction);
    let sum = |direction, count: fn(&Association) -> u64| {
        of(direction).fold(0, |s: u64, sa| s.wrapping_add(count(sa)))
    };
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    if let Some(sa) = sas.first() {
        let tag = match (&sa.crypto_map, sa.map_sequence) {
            (Some(map), Some(sequence)) => format!("{map} {sequence}"),
            _ => "(the control plane was not asked)".to_owned(),
        };
        if !sa.interfaces.is_empty() {
            writeln!(text, "interface: {}", sa.interfaces.join(", "))?;
        }
        writeln!(text, "    Crypto map tag: {tag}, local addr {local}")?;
    }
    let (peer, port) = of(outbound).chain(of(inbound)).next().map_or((remote, None), |sa| sa.peer());
    match port {
        Some(port) => writeln!(text, "\n   current_peer {peer} port {port}")?,
        None => writeln!(text, "\n   current_peer {peer}")?,
    }
    let (encaps, decaps) = (sum(outbound, |sa| sa.counters.packets), sum(inbound, |sa| sa.counters.packets));
    let (out_bytes, in_bytes) = (sum(outbound, |sa| sa.counters.bytes), sum(inbound, |sa| sa.counters.bytes));
    // One pass does all three.
    writeln!(text, "    #pkts encaps: {encaps}, #pkts encrypt: {encaps}, #pkts digest: {encaps}")?;
    writeln!(text, "    #pkts decaps: {decaps}, #pkts decrypt: {decaps}, #pkts verify: {decaps}")?;
    writeln!(text, "    #bytes encrypt: {out_bytes}, #bytes decrypt: {in_bytes}")?;
    let (dummies_out, dummies_in) =
        (sum(outbound, |sa| sa.counters.dummies), sum(inbound, |sa| sa.counters.dummies));
    if (dummies_out, dummies_in) != (0, 0) {
        writeln!(text, "    #send dummy packets {dummies_out}, #recv dummy packets {dummies_in}")?;
    }
    let (sent, received) = (sum(outbound, Association::errors), sum(inbound, Association::errors));
    writeln!(text, "    #send errors {sent}, #recv errors {received}\n")?;
    writeln!(text, "     local crypto endpt.: {local}, remote crypto endpt.: {remote}")?;
    if let Some(sa) = of(outbound).next() {
        let path_mtu = sa.path_mtu.map(|mtu| format!("path mtu {mtu} (learned), ")).unwrap_or_default();
        writeln!(text, "     {path_mtu}current outbound spi: {}({})", sa.spi, sa.spi.get())?;
    }
    for (title, direction) in [("inbound", inbound), ("outbound", outbound)] {
        writeln!(text, "\n     {title} esp sas:")?;
        for sa in of(direction) {
            write_sa(text, sa)?;
        }
    }
    writeln!(text)
}

fn write_sa(text: &mut String, sa: &Association) -> std::fmt::Result {
    let mode = match sa.mode {
        Mode::Tunnel => "Tunnel",
        Mode::Transport => "Transport",
    };
    let mode = if sa.udp_port.is_some() { format!("{mode} UDP-Encaps") } else { mode.to_owned() };
    let esn = if sa.extended_sequence { ", ESN" } else { "" };
    let keys = match sa.manual {
        Some(true) => ", Manual",
        Some(false) => ", IKEv2",
        None => "",
    };
    let c = &sa.counters;
    writeln!(text, "      spi: {}({})", sa.spi, sa.spi.get())?;
    writeln!(text, "        transform: {} ,", sa.transform)?;
    writeln!(text, "        in use settings ={{{mode}{keys}{esn}}}")?;
    writeln!(text, "        conn id: {}, packets: {}, bytes: {}", sa.index, c.packets, c.bytes)?;
    if sa.remaining_seconds.is_some() || sa.remaining_bytes.is_some() {
        let or_none = |left: Option<u64>| left.map_or("unlimited".to_owned(), |left| left.to_string());
        let kilobytes = or_none(sa.remaining_bytes.map(|bytes| bytes / 1024));
        let seconds = or_none(sa.remaining_seconds);
        writeln!(text, "        sa timing: remaining key lifetime (k/sec): ({kilobytes}/{seconds})")?;
    }
    if sa.tfc != Tfc::NONE {
        let padding = match sa.tfc.padding {
            TfcPadding::None => "none".to_owned(),
            TfcPadding::UpTo(bytes) => format!("to {bytes} bytes"),
            TfcPadding::Mtu => "to the mtu".to_owned(),
        };
        let dummies = match sa.tfc.dummies {
            Dummies::None => "none".to_owned(),
            Dummies::PerSecond(rate) => format!("{rate} pps"),
            Dummies::Seconds(seconds) => format!("every {seconds} seconds"),
        };
        let padded = c.tfc_padding;
        writeln!(text, "        tfc padding: {padding}, bytes of it: {padded}; dummies: {dummies}")?;
    }
    match (sa.next_sequence, sa.highest_sequence) {
        (Some(next), _) => writeln!(text, "        next sequence number: {next}")?,
        (_, Some(highest)) => {
            writeln!(text, "        highest sequence number: {highest}")?;
            match sa.replay_window {
                0 => writeln!(text, "        replay detection support: N")?,
                packets => writeln!(text, "        replay detection support: Y, window {packets} packets")?,
            }
        }
        (None, None) => {}
    }
    let errors = [
        ("bad ICV", c.auth_failed),
        ("replayed", c.replayed),
        ("too old", c.too_old),
        ("wrong selector", c.selector_mismatch),
        ("malformed", c.malformed),
        ("expired", c.expired),
        ("other", c.other),
    ];
    let errors: Vec<String> = errors
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !errors.is_empty() {
        writeln!(text, "        dropped: {}", errors.join(", "))?;
    }
    writeln!(text, "        Status: ACTIVE")
}
