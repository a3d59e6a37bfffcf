//! `show crypto ikev2 sa [detail]`. All of it is the daemon's to know.

use super::Page;
use crate::operator::sessions::{ChildFacts, IkeFacts, SessionFacts};
use serde::Serialize;
use std::fmt::Write as _;

/// All IKE SAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IkeSas {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By peer.
    pub sa: Vec<IkeFacts>,
    /// What was counted since the start.
    pub counters: Vec<(String, u64)>,
    #[serde(skip)]
    detail: bool,
}

impl IkeSas {
    /// Of the daemon's facts.
    pub fn new(facts: SessionFacts, detail: bool) -> IkeSas {
        IkeSas { hostname: facts.hostname, sa: facts.ike_sas, counters: facts.counters, detail }
    }
}

impl Page for IkeSas {
    fn text(&self) -> String {
        if self.sa.is_empty() {
            return "There are no IKEv2 SAs.\n".to_owned();
        }
        let mut text = String::new();
        for sa in &self.sa {
            // Writing to a `String` does not fail.
            let _ = write_sa(&mut text, sa, self.detail);
        }
        if self.detail {
            let counters: Vec<String> = self
                .counters
                .iter()
                .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
                .collect();
            let _ = writeln!(text, "Counted since the start: {}", counters.join(", "));
        }
        text
    }
}

fn write_sa(text: &mut String, sa: &IkeFacts, detail: bool) -> std::fmt::Result {
    let who = sa.remote_identity.as_deref().unwrap_or("not proved yet");
    writeln!(text, "{} -> {}  {}", sa.local, sa.remote, sa.state.to_uppercase())?;
    writeln!(text, "    Peer: {who}")?;
    if let Some(suite) = &sa.suite {
        let integrity =
            suite.integrity.as_ref().map(|name| format!(", integrity {name}")).unwrap_or_default();
        writeln!(text, "    Encr: {}{integrity}, {}, DH {}", suite.encryption, suite.prf, suite.group)?;
    }
    writeln!(text, "    Life: {} sec, children: {}", sa.age, sa.children.len())?;
    if detail {
        let role = if sa.initiator { "initiator" } else { "responder" };
        writeln!(text, "    Local spi: {}, remote spi: {}, we are the {role}", sa.spi, sa.peer_spi)?;
        writeln!(text, "    Connection: {}", sa.connection.as_deref().unwrap_or("several could be meant"))?;
        let nat = match (sa.local_nat, sa.remote_nat) {
            (false, false) => "none",
            (true, false) => "before us",
            (false, true) => "before the peer",
            (true, true) => "at both ends",
        };
        writeln!(text, "    NAT: {nat}")?;
        sa.children.iter().try_for_each(|child| write_child(text, child))?;
    }
    writeln!(text)
}

fn write_child(text: &mut String, child: &ChildFacts) -> std::fmt::Result {
    writeln!(text, "    Child SA of {}: {}", child.policy, child.transform)?;
    writeln!(
        text,
        "        inbound spi: 0x{:08X}, outbound spi: 0x{:08X}",
        child.inbound_spi, child.outbound_spi
    )?;
    writeln!(text, "        local {}, remote {}", child.local.join(" "), child.remote.join(" "))?;
    let rekey = child
        .rekey_in
        .map_or("not rekeyed by time".to_owned(), |seconds| format!("rekeyed in {seconds} sec"));
    let pfs = child.pfs_group.as_ref().map(|group| format!(", PFS {group}")).unwrap_or_default();
    let ends = child.ends_in.map(|seconds| format!(", over in {seconds} sec")).unwrap_or_default();
    writeln!(text, "        life: {} sec, {rekey}{ends}{pfs}", child.age)
}
