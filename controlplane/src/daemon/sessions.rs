//! What an operator may see of IKE.

use super::Daemon;
use super::ike::Ike;
use crate::negotiate::suites;
use crate::operator::sessions::{
    ChildFacts, FailureFacts, IkeFacts, IkeSuiteFacts, PairFacts, Session, SessionFacts, Status,
};
use ike::endpoint::{ChildView, IkeView, State};
use model::Spi;
use std::collections::HashMap;
use std::time::{Duration, Instant};

impl Daemon {
    /// All of it.
    pub(super) fn sessions(&self) -> SessionFacts {
        let now = Instant::now();
        let Ike { endpoint, failures, .. } = &self.ike;
        let mut ike_sas: Vec<IkeFacts> = endpoint.ike_sas(now).map(|view| ike_sa(&view)).collect();
        ike_sas.sort_by(|a, b| (a.remote, &a.spi).cmp(&(b.remote, &b.spi)));
        let failures = failures.iter().map(|(peer, failure)| FailureFacts {
            peer: *peer,
            about: failure
                .failed
                .policy
                .as_ref()
                .or(failure.failed.connection.as_ref())
                .map(ToString::to_string),
            why: failure.failed.explanation.to_string(),
            ago: now.saturating_duration_since(failure.at).as_secs(),
            times: failure.times,
        });
        SessionFacts {
            hostname: self.config.hostname().map(ToString::to_string),
            ike_sas,
            sessions: self.tunnels(),
            failures: failures.collect(),
            counters: self.counters(),
        }
    }

    /// What each pair serves that IKE agreed on, and how long.
    pub(super) fn pairs(&self) -> Vec<PairFacts> {
        let views = self.ike.endpoint.ike_sas(Instant::now());
        let ends: HashMap<Spi, Option<Duration>> =
            views.flat_map(|view| view.children).map(|child| (child.inbound, child.ends_in)).collect();
        let pairs = self.ike.children.iter().map(|child| PairFacts {
            inbound: child.inbound.install.index,
            outbound: child.outbound.install.index,
            map: child.entry.map.to_string(),
            sequence: child.entry.sequence,
            dynamic: child.dynamic.as_ref().map(ToString::to_string),
            ends_in: ends.get(&child.spi()).copied().flatten().map(|time| time.as_secs()),
        });
        pairs.collect()
    }

    /// One for each tunnel that there is or could be.
    fn tunnels(&self) -> Vec<Session> {
        let Ike { children, connections, raising, .. } = &self.ike;
        let mut sessions = Vec::new();
        for (policy, tunnel) in connections.tunnels.iter().filter(|(_, tunnel)| tunnel.dynamic.is_none()) {
            let number = self.plan.entries.get(&tunnel.entry);
            if number.is_some_and(|number| children.carrier(*number).is_some()) {
                continue;
            }
            let under_way = raising.is_under_way(policy);
            let way = tunnel.ways.get(under_way.unwrap_or(0));
            let flow = |selector: &model::Selector| {
                (selector.source().to_string(), selector.destination().to_string())
            };
            sessions.push(Session {
                policy: policy.to_string(),
                status: if under_way.is_some() { Status::UpNegotiating } else { Status::Down },
                peer: way.map(|way| way.remote),
                local: way.map(|way| way.local),
                outbound_spi: None,
                flows: tunnel.permits.iter().map(flow).collect(),
            });
        }
        let carriers = children.numbers().filter_map(|number| children.carrier(number));
        sessions.extend(carriers.map(|child| {
            Session {
                policy: child.policy.to_string(),
                status: Status::Up,
                peer: Some(child.outbound.install.remote),
                local: Some(child.outbound.install.local),
                outbound_spi: Some(child.outbound.install.spi.get()),
                flows: child
                    .outbound
                    .selectors
                    .iter()
                    .map(|selector| (selector.source().to_string(), selector.destination().to_string()))
                    .collect(),
            }
        }));
        sessions.sort_by(|a, b| (&a.policy, a.peer).cmp(&(&b.policy, b.peer)));
        sessions
    }

    /// Under the names that JSON gives them.
    fn counters(&self) -> Vec<(String, u64)> {
        let counters = serde_json::to_value(self.ike.endpoint.counters()).unwrap_or_default();
        let named = counters.as_object().into_iter().flatten();
        named.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
    }
}

fn ike_sa(view: &IkeView) -> IkeFacts {
    let state = match view.state {
        State::Initiating => "initiating",
        State::HalfOpen => "half-open",
        State::Established => "established",
        State::Replaced => "replaced",
        State::Closing => "closing",
    };
    IkeFacts {
        spi: view.ike.to_string(),
        peer_spi: view.peer_spi.to_string(),
        state: state.to_owned(),
        initiator: view.initiator,
        connection: view.connection.as_ref().map(ToString::to_string),
        local: view.local,
        remote: view.remote,
        local_nat: view.local_nat,
        remote_nat: view.remote_nat,
        remote_identity: view.remote_identity.as_ref().map(ToString::to_string),
        suite: view.suite.map(|suite| IkeSuiteFacts {
            encryption: suite.encryption.to_string(),
            integrity: suite.integrity.map(|integrity| integrity.to_string()),
            prf: suite.prf.to_string(),
            group: suite.group.to_string(),
        }),
        age: view.age.as_secs(),
        children: view.children.iter().map(child).collect(),
    }
}

fn child(view: &ChildView) -> ChildFacts {
    let esn = if view.suite.esn { ", esn" } else { "" };
    let transform = suites::suite(&view.suite)
        .map_or_else(|| view.suite.encryption.to_string(), |suite| suite.to_string());
    ChildFacts {
        policy: view.policy.to_string(),
        inbound_spi: view.inbound.get(),
        outbound_spi: view.outbound.get(),
        transform: transform + esn,
        pfs_group: view.suite.group.map(|group| group.to_string()),
        local: view.local_selectors.iter().map(ToString::to_string).collect(),
        remote: view.remote_selectors.iter().map(ToString::to_string).collect(),
        age: view.age.as_secs(),
        rekey_in: view.rekey_in.map(|time| time.as_secs()),
        ends_in: view.ends_in.map(|time| time.as_secs()),
    }
}
