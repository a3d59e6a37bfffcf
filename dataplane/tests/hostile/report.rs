//! What came of a run: for people, for programs, and whether all was met that a run is for.

use super::gateway::{made, received};
use super::gateways::End;
use super::mutate::Wire;
use model::Direction;
use serde_json::json;
use shm::{CountersSnapshot, DropReason};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// What a gateway counted.
pub(crate) struct Said {
    end: End,
    received: u64,
    made: u64,
    sent: u64,
    merged: u64,
    drops: BTreeMap<DropReason, u64>,
    /// Packets of each SA.
    sas: Vec<(Direction, u64)>,
}

impl Said {
    pub(crate) fn new(end: End, counters: &CountersSnapshot, sas: Vec<(Direction, u64)>) -> Said {
        let doors = super::doors(counters);
        let drops = counters.drops().into_iter().filter(|&(_, packets)| packets > 0).collect();
        Said {
            end,
            received: received(counters),
            made: made(counters),
            sent: doors[0],
            merged: doors[3],
            drops,
            sas,
        }
    }

    fn dropped(&self) -> u64 {
        self.drops.values().sum()
    }
}

/// A whole run.
pub(crate) struct Report {
    packets: u64,
    seed: u64,
    took: Duration,
    gateways: [Said; 2],
    thrown: BTreeMap<&'static str, u64>,
    delivered: u64,
}

/// What hostile packets must at least have been dropped for, or they were not hostile enough.
const MET: [DropReason; 32] = [
    DropReason::Runt,
    DropReason::BadEthertype,
    DropReason::NotForUsL2,
    DropReason::IpTruncated,
    DropReason::IpBadVersion,
    DropReason::IpBadHeaderLength,
    DropReason::IpBadTotalLength,
    DropReason::IpBadChecksum,
    DropReason::IpFragment,
    DropReason::IpMulticast,
    DropReason::IpMartianSource,
    DropReason::Ip6BadHeader,
    DropReason::EspTruncated,
    DropReason::EspUnknownSpi,
    DropReason::EspReplayed,
    DropReason::EspTooOld,
    DropReason::EspBadIcv,
    DropReason::EspSelectorMismatch,
    DropReason::PolicyDiscard,
    DropReason::PolicyCleartext,
    DropReason::NoRoute,
    DropReason::MtuExceeded,
    DropReason::NoTap,
    DropReason::UdpKeepalive,
    DropReason::WrongVlan,
    DropReason::FragmentOverlap,
    DropReason::FragmentTimeout,
    DropReason::FragmentsFull,
    DropReason::FragmentsMany,
    DropReason::FragmentAgain,
    DropReason::IpTtlExpired,
    DropReason::EspSequenceExhausted,
];

/// Packets of which each reason gets some tens, whatever the seed.
const ENOUGH: u64 = 100_000;

impl Report {
    pub(crate) fn new(
        packets: u64,
        seed: u64,
        took: Duration,
        gateways: [Said; 2],
        wires: [Wire; 2],
        delivered: u64,
    ) -> Report {
        let mut thrown = BTreeMap::new();
        for (name, packets) in wires.into_iter().flat_map(|wire| wire.thrown) {
            *thrown.entry(name).or_default() += packets;
        }
        Report { packets, seed, took, gateways, thrown, delivered }
    }

    /// Every SA carried something, honest packets arrived, and each reason to drop one was met; if there were packets enough.
    pub(crate) fn assert_met(&self) {
        let [a, b] = &self.gateways;
        if self.packets < ENOUGH {
            return;
        }
        let idle = a.sas.iter().filter(|(_, packets)| *packets == 0).count();
        assert_eq!(idle, 0, "{idle} of {} SAs of A carried nothing", a.sas.len());
        assert!(
            self.delivered * 8 > b.received / 2,
            "of {} honest packets {} arrived",
            b.received,
            self.delivered
        );
        let missed: Vec<_> = MET.iter().filter(|reason| !a.drops.contains_key(reason)).collect();
        assert!(missed.is_empty(), "no packet was dropped for {missed:?}");
    }

    pub(crate) fn json(&self) -> String {
        let gateways = self.gateways.each_ref().map(|gateway| {
            json!({
                "gateway": gateway.end.name(),
                "received": gateway.received,
                "made": gateway.made,
                "sent": gateway.sent,
                "merged": gateway.merged,
                "dropped": gateway.dropped(),
                "drops": gateway.drops.iter().map(|(reason, packets)| (reason.name(), packets)).collect::<BTreeMap<_, _>>(),
            })
        });
        let report = json!({
            "packets": self.packets,
            "seed": self.seed,
            "seconds": self.took.as_secs_f64(),
            "thrown": self.thrown,
            "delivered": self.delivered,
            "gateways": gateways,
        });
        serde_json::to_string_pretty(&report).unwrap() + "\n"
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for gateway in &self.gateways {
            let name = gateway.end.name().to_uppercase();
            writeln!(
                f,
                "{name}: {} received + {} made = {} sent + {} dropped + {} part of another",
                gateway.received,
                gateway.made,
                gateway.sent,
                gateway.dropped(),
                gateway.merged
            )?;
        }
        writeln!(f, "thrown at A:")?;
        for (name, packets) in &self.thrown {
            writeln!(f, "{packets:12} {name}")?;
        }
        writeln!(f, "dropped by A:")?;
        for (reason, packets) in &self.gateways[0].drops {
            writeln!(f, "{packets:12} {}", reason.name())?;
        }
        write!(
            f,
            "{} packets of B's hosts arrived, none of them twice; nothing left in clear; all buffers are back; {:.1} s, seed {}",
            self.delivered,
            self.took.as_secs_f64(),
            self.seed
        )
    }
}

/// One line, over and over.
pub(crate) fn progress(received: u64, of: u64, took: Duration) {
    let rate = received as f64 / took.as_secs_f64();
    let left = of.saturating_sub(received) as f64 / rate.max(1.0);
    let mut stderr = std::io::stderr();
    let _ = write!(
        stderr,
        "\r{received:>12} of {of} packets, {:.0} thousand a second, {left:.0} s left   ",
        rate / 1e3
    );
    let _ = stderr.flush();
}
