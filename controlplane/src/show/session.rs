//! `show crypto session`: each tunnel in a few lines, and why those that are down are down.

use super::Page;
use crate::operator::sessions::{FailureFacts, Session, SessionFacts, Status};
use serde::Serialize;
use std::fmt::Write as _;

/// All tunnels that IKE brings up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By crypto map entry.
    pub sessions: Vec<Session>,
    /// By peer.
    pub failures: Vec<FailureFacts>,
}

impl Sessions {
    /// Of the daemon's facts.
    pub fn new(facts: SessionFacts) -> Sessions {
        Sessions { hostname: facts.hostname, sessions: facts.sessions, failures: facts.failures }
    }
}

impl Page for Sessions {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.sessions.is_empty() {
            text += "There are no crypto sessions.\n";
        }
        for session in &self.sessions {
            // Writing to a `String` does not fail.
            let _ = write_session(&mut text, session);
        }
        for failure in &self.failures {
            let _ = write_failure(&mut text, failure);
        }
        text
    }
}

fn write_session(text: &mut String, session: &Session) -> std::fmt::Result {
    let status = match session.status {
        Status::Up => "UP-ACTIVE",
        Status::UpNegotiating => "UP-NEGOTIATING",
        Status::Down => "DOWN",
    };
    writeln!(text, "Crypto map: {}", session.policy)?;
    writeln!(text, "Session status: {status}")?;
    match session.peer {
        Some(peer) => writeln!(text, "Peer: {peer}")?,
        None => writeln!(text, "Peer: whoever comes")?,
    }
    for (source, destination) in &session.flows {
        writeln!(text, "  IPSEC FLOW: permit {source} {destination}")?;
    }
    if let Some(spi) = session.outbound_spi {
        writeln!(text, "        Outbound spi: 0x{spi:08X}")?;
    }
    writeln!(text)
}

fn write_failure(text: &mut String, failure: &FailureFacts) -> std::fmt::Result {
    let about = failure.about.as_ref().map(|about| format!(" ({about})")).unwrap_or_default();
    let times = if failure.times == 1 { String::new() } else { format!(", {} times in all", failure.times) };
    writeln!(text, "Came to nothing with {}{about}, {} sec ago{times}:", failure.peer, failure.ago)?;
    writeln!(text, "    {}\n", failure.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_that_is_down_says_why() {
        let facts = SessionFacts {
            sessions: vec![Session {
                policy: "SITES 10".into(),
                status: Status::Down,
                peer: Some("192.0.2.2".parse().unwrap()),
                local: None,
                outbound_spi: None,
                flows: vec![("10.1.0.0/24".into(), "10.2.0.0/24".into())],
            }],
            failures: vec![FailureFacts {
                peer: "192.0.2.2".parse().unwrap(),
                about: Some("SITES 10".into()),
                why: "IKE_SA_INIT: refused: no proposal in common".into(),
                ago: 3,
                times: 2,
            }],
            ..SessionFacts::default()
        };
        let text = Sessions::new(facts).text();
        assert!(text.contains("Crypto map: SITES 10\nSession status: DOWN\nPeer: 192.0.2.2\n"), "{text}");
        assert!(
            text.contains("with 192.0.2.2 (SITES 10), 3 sec ago, 2 times in all:\n    IKE_SA_INIT"),
            "{text}"
        );
    }
}
