//! `show crypto ipsec sa` as IOS prints it.

use super::{Association, Associations};
use crate::show::Page;
use model::{Direction, Dummies, Mode, Tfc, TfcPadding};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

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
    // One whose place another took is known to nobody but the data plane.
    let known = sas.iter().find(|sa| sa.crypto_map.is_some()).or(sas.first());
    if let Some(sa) = known {
        let tag = match (&sa.crypto_map, sa.map_sequence, &sa.dynamic_map) {
            (Some(map), Some(sequence), None) => format!("{map} {sequence}"),
            (Some(map), Some(sequence), Some(dynamic)) => format!("{map} {sequence}, dynamic {dynamic}"),
            _ if sa.manual.is_none() => "(the control plane was not asked)".to_owned(),
            _ => "(its entry is gone)".to_owned(),
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
    if let Some(sa) = of(outbound).next_back() {
        if let Some(mtu) = sa.path_mtu {
            let learned = if sa.learned_mtu == Some(mtu) { " (learned)" } else { "" };
            let of_port =
                sa.ip_mtu.map(|mtu| format!(", ip mtu {mtu}, ip mtu idb {}", sa.interfaces.join(" ")));
            writeln!(text, "     path mtu {mtu}{learned}{}", of_port.unwrap_or_default())?;
        }
        writeln!(text, "     current outbound spi: {}({})", sa.spi, sa.spi.get())?;
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
            if c.resynchronised != 0 {
                writeln!(
                    text,
                    "        sequence number found again after long loss: {} times",
                    c.resynchronised
                )?;
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
