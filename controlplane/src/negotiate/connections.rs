//! From a configuration to whom IKE talks to, and what about. Pure but for the certificates' files, which the caller reads.

use super::suites;
use config::{
    Config, EntryKey, IdentityRule, IkeIdentity, IkeProfile, KeyringPeer, Negotiated, Proof, SharedKey,
    TfcSettings,
};
use ike::auth::{CertificateError, Credential, Trust};
use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
use ike::crypto::Secret;
use ike::negotiate::IkeProposal;
use ike::{Identity, IdentityMatch, TrafficSelector};
use model::{Mode, Prefix, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A file of a trustpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// It cannot be read.
    #[error("trustpoint {trustpoint}: cannot read {file}: {source}")]
    Unreadable {
        /// Whose.
        trustpoint: config::Name,
        /// Which.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error(
        "trustpoint {trustpoint}: {files}: {source}; write PEM files, the private key without a passphrase"
    )]
    Wrong {
        /// Whose.
        trustpoint: config::Name,
        /// Which.
        files: String,
        /// Why.
        source: CertificateError,
    },
}

/// One way to raise a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The connection.
    pub connection: Arc<str>,
    /// From here.
    pub local: IpAddr,
    /// To there.
    pub remote: IpAddr,
}

/// What is to be known of a policy beside what IKE knows.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The crypto map's entry.
    pub entry: EntryKey,
    /// The dynamic map's, if it leads to one.
    pub dynamic: Option<EntryKey>,
    /// In the order in which they are tried; none if only the peer can begin.
    pub ways: Vec<Way>,
    /// Which packets it is for at most; none: what the peer wants.
    pub permits: Vec<Selector>,
    /// How its SAs are to hide the lengths of their packets, and when there are any.
    pub tfc: TfcSettings,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// For the endpoint; of several that fit a peer, the first is meant.
    pub all: Vec<Arc<Connection>>,
    /// By the names of policies.
    pub tunnels: BTreeMap<Arc<str>, Tunnel>,
    /// The policies of fixed entries.
    pub by_entry: BTreeMap<EntryKey, Arc<str>>,
    /// Where IKE listens.
    pub locals: BTreeSet<IpAddr>,
}

/// Reads a file of certificates or keys.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> io::Result<Zeroizing<Vec<u8>>>;

/// The files of a trustpoint, read.
struct Papers {
    credential: Option<Arc<Credential>>,
    trust: Arc<Trust>,
}

impl Connections {
    /// Works them out.
    pub fn new(config: &Config, read: ReadFile<'_>) -> Result<Connections, ConnectionError> {
        let papers = papers(config, read)?;
        let mut builder = Builder {
            config,
            papers,
            fixed: BTreeMap::new(),
            dynamic: Vec::new(),
            out: Connections::default(),
        };
        for negotiated in config.negotiated() {
            match &negotiated.dynamic {
                None => builder.fixed(&negotiated),
                Some(_) => builder.dynamic(&negotiated),
            }
        }
        let Builder { fixed, dynamic, mut out, .. } = builder;
        // Whoever has a line of its own is meant by that.
        out.all = fixed.into_values().chain(dynamic).map(Arc::new).collect();
        Ok(out)
    }

    /// How many peers a policy can be raised with.
    pub fn peers(&self, policy: &str) -> usize {
        self.tunnels.get(policy).map_or(0, |tunnel| tunnel.ways.len())
    }

    /// Takes what did not change from what was there before, so that it is the very same; the names of the connections that
    /// changed or are gone.
    pub fn keep(&mut self, before: &Connections) -> Vec<Arc<str>> {
        let old: BTreeMap<&str, &Arc<Connection>> = before.all.iter().map(|one| (&*one.name, one)).collect();
        for connection in &mut self.all {
            if let Some(same) = old.get(&*connection.name).filter(|old| ***old == *connection) {
                *connection = Arc::clone(same);
            }
        }
        let stays: BTreeSet<*const Connection> = self.all.iter().map(Arc::as_ptr).collect();
        let gone = before.all.iter().filter(|one| !stays.contains(&Arc::as_ptr(one)));
        gone.map(|one| one.name.clone()).collect()
    }
}

fn papers(config: &Config, read: ReadFile<'_>) -> Result<BTreeMap<config::Name, Papers>, ConnectionError> {
    let mut all = BTreeMap::new();
    let used: BTreeSet<&config::Name> =
        config.ike_profiles().values().filter_map(|profile| profile.trustpoint.as_ref()).collect();
    for trustpoint in config.trustpoints().values().filter(|trustpoint| used.contains(&trustpoint.name)) {
        let name = &trustpoint.name;
        let file = |file: &String| {
            let unreadable =
                |source| ConnectionError::Unreadable { trustpoint: name.clone(), file: file.clone(), source };
            read(file).map_err(unreadable)
        };
        let wrong =
            |files: String| move |source| ConnectionError::Wrong { trustpoint: name.clone(), files, source };
        let authorities = file(&trustpoint.authorities)?;
        let revoked = trustpoint.revoked.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        let lists: Vec<&[u8]> = revoked.iter().map(|list| list.as_slice()).collect();
        let trust = Trust::from_pem(&authorities, &lists).map_err(wrong(trustpoint.authorities.clone()))?;
        let credential = match (&trustpoint.certificate, &trustpoint.private_key) {
            (Some(certificate), Some(key)) => {
                let credential = Credential::from_pem(&file(certificate)?, &file(key)?, false);
                Some(Arc::new(credential.map_err(wrong(format!("{certificate} and {key}")))?))
            }
            _ => None,
        };
        all.insert(name.clone(), Papers { credential, trust: Arc::new(trust) });
    }
    Ok(all)
}

struct Builder<'c> {
    config: &'c Config,
    papers: BTreeMap<config::Name, Papers>,
    /// By local address, peer and profile: entries of the same three share an IKE SA.
    fixed: BTreeMap<(IpAddr, IpAddr, Option<config::Name>), Connection>,
    dynamic: Vec<Connection>,
    out: Connections,
}

impl<'c> Builder<'c> {
    fn fixed(&mut self, negotiated: &Negotiated<'c>) {
        let config = self.config;
        let negotiation = negotiated.negotiation;
        let profile = negotiation.profile.as_ref().and_then(|name| config.ike_profiles().get(name));
        let name: Arc<str> = negotiated.entry.to_string().into();
        let mut ways = Vec::new();
        for &peer in &negotiation.peers {
            let Some(local) = negotiated.source.address_towards(peer) else { continue };
            let key = (local, peer, negotiation.profile.clone());
            let policy = Arc::new(self.policy(negotiated, &name, (local, peer)));
            if !self.fixed.contains_key(&key) {
                let shared = config.shared_key(negotiation, peer);
                let wanted = match (shared.and_then(|key| key.identity.as_ref()), profile) {
                    (Some(identity), _) => IdentityMatch::Exactly(self::identity(identity)),
                    (None, Some(profile)) => identity_match(profile),
                    (None, None) => IdentityMatch::Exactly(Identity::Address(peer)),
                };
                let title = match &negotiation.profile {
                    Some(profile) => format!("{local} to {peer} by {profile}"),
                    None => format!("{local} to {peer}"),
                };
                let whom = Whom { title, local, remote: vec![peer.into()], wanted, shared };
                let Some(connection) = self.connection(profile, whom) else { continue };
                self.fixed.insert(key.clone(), connection);
            }
            if let Some(connection) = self.fixed.get_mut(&key) {
                connection.children.push(policy);
                ways.push(Way { connection: connection.name.clone(), local, remote: peer });
                self.out.locals.insert(local);
            }
        }
        self.tunnel(negotiated, name, ways);
    }

    fn dynamic(&mut self, negotiated: &Negotiated<'c>) {
        let config = self.config;
        let Some(dynamic) = &negotiated.dynamic else { return };
        let negotiation = negotiated.negotiation;
        let profile = negotiation.profile.as_ref().and_then(|name| config.ike_profiles().get(name));
        let name: Arc<str> = format!("{}/{dynamic}", negotiated.entry).into();
        let by_key = profile.is_none_or(|it| it.local == Proof::PreShare || it.remote == Proof::PreShare);
        let mut keys: Vec<Option<&KeyringPeer>> = match by_key {
            true => config.shared_keys(negotiation).into_iter().map(Some).collect(),
            false => vec![None],
        };
        // The more somebody is meant, the earlier.
        keys.sort_by_key(|key| {
            let length = key.and_then(|key| key.address).map_or(0, |prefix| prefix.prefix_len());
            (key.is_none_or(|key| key.identity.is_none()), std::cmp::Reverse(length))
        });
        let anywhere: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        for any in anywhere {
            let Some(local) = negotiated.source.address_towards(any) else { continue };
            self.out.locals.insert(local);
            for (place, &shared) in keys.iter().enumerate() {
                let all = Prefix::new(any, 0).ok();
                let Some(remote) = shared.and_then(|key| key.address).or(all) else { continue };
                if remote.addr().is_ipv4() != local.is_ipv4() {
                    continue;
                }
                let wanted = match (shared.and_then(|key| key.identity.as_ref()), profile) {
                    (Some(identity), profile) if profile.is_none_or(|profile| profile.accepts(identity)) => {
                        IdentityMatch::Exactly(self::identity(identity))
                    }
                    (Some(_), _) => continue,
                    (None, Some(profile)) => identity_match(profile),
                    (None, None) => IdentityMatch::Any,
                };
                let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
                let whose = shared.and_then(|key| key.name.as_ref());
                let title = match whose {
                    Some(peer) => format!("{name} {peer} over {family}"),
                    None => format!("{name} peer {} over {family}", place + 1),
                };
                let whom = Whom { title, local, remote: vec![remote], wanted, shared };
                let Some(mut connection) = self.connection(profile, whom) else { continue };
                connection.children.push(Arc::new(self.policy(negotiated, &name, (local, any))));
                self.dynamic.push(connection);
            }
        }
        self.tunnel(negotiated, name, Vec::new());
    }

    fn tunnel(&mut self, negotiated: &Negotiated<'c>, name: Arc<str>, ways: Vec<Way>) {
        if negotiated.dynamic.is_none() {
            self.out.by_entry.insert(negotiated.entry.clone(), Arc::clone(&name));
        }
        let tunnel = Tunnel {
            entry: negotiated.entry.clone(),
            dynamic: negotiated.dynamic.clone(),
            ways,
            permits: negotiated.selectors.clone(),
            tfc: negotiated.negotiation.tfc,
        };
        self.out.tunnels.insert(name, tunnel);
    }

    fn connection(&self, profile: Option<&IkeProfile>, whom: Whom<'_>) -> Option<Connection> {
        let Whom { title, local, remote, wanted, shared } = whom;
        let papers = profile.and_then(|profile| self.papers.get(profile.trustpoint.as_ref()?));
        let local_proof = match profile.map_or(Proof::PreShare, |profile| profile.local) {
            Proof::PreShare => LocalProof::SharedKey(secret(&shared?.local)),
            Proof::Signature => LocalProof::Certificate(papers?.credential.clone()?),
        };
        let remote_proof = match profile.map_or(Proof::PreShare, |profile| profile.remote) {
            Proof::PreShare => RemoteProof::SharedKey(secret(&shared?.remote)),
            Proof::Signature => RemoteProof::Certificate(Arc::clone(&papers?.trust)),
        };
        let lifetime = profile.map_or(IkeProfile::DEFAULT_LIFETIME, |profile| profile.lifetime);
        let dpd = profile.and_then(|profile| profile.dpd).or(self.config.dpd());
        let ours = profile.and_then(|profile| profile.identity.as_ref());
        Some(Connection {
            name: title.into(),
            local: Some(local),
            remote,
            proposals: self.proposals(local),
            local_identity: ours.map_or(Identity::Address(local), identity),
            remote_identity: wanted,
            local_proof,
            remote_proof,
            children: Vec::new(),
            lifetime: Some(Duration::from_secs(lifetime.into())),
            reauth: profile
                .and_then(|profile| profile.reauth)
                .map(|seconds| Duration::from_secs(seconds.into())),
            dpd: dpd.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// Those of the policies for this address, and then those of the policies for all.
    fn proposals(&self, local: IpAddr) -> Vec<IkeProposal> {
        let policies = self.config.ike_policies().values();
        let (own, other): (Vec<_>, Vec<_>) = policies.partition(|policy| policy.local.contains(&local));
        let fit = own.into_iter().chain(other.into_iter().filter(|policy| policy.local.is_empty()));
        let names = fit.flat_map(|policy| &policy.proposals);
        let proposals: Vec<IkeProposal> = names
            .filter_map(|name| self.config.ike_proposals().get(name))
            .map(suites::ike_proposal)
            .collect();
        if proposals.is_empty() { suites::default_ike_proposals() } else { proposals }
    }

    fn policy(
        &self,
        negotiated: &Negotiated<'c>,
        name: &Arc<str>,
        (local, peer): (IpAddr, IpAddr),
    ) -> ChildPolicy {
        let negotiation = negotiated.negotiation;
        let sets: Vec<_> = negotiation
            .transform_sets
            .iter()
            .filter_map(|name| self.config.transform_sets().get(name))
            .collect();
        let asked = sets.first().map_or(Mode::Tunnel, |set| set.mode);
        let mode = match (asked, self.config.entry(&negotiated.entry), sets.first()) {
            (Mode::Transport, Some(entry), Some(set)) if negotiated.dynamic.is_none() => {
                self.config.mode(entry, set, local, peer)
            }
            (Mode::Transport, ..) if negotiated.selectors.is_empty() => Mode::Transport,
            _ => Mode::Tunnel,
        };
        let (local, remote) = match (negotiated.selectors.as_slice(), mode) {
            // The peers themselves.
            ([], Mode::Transport) => (Vec::new(), Vec::new()),
            ([], Mode::Tunnel) => (everything(), everything()),
            (selectors, _) => sides(selectors),
        };
        ChildPolicy {
            name: Arc::clone(name),
            proposals: sets.iter().map(|set| suites::esp_proposal(set, negotiation.pfs)).collect(),
            mode,
            local,
            remote,
            lifetime: self.config.lifetime(negotiation),
        }
    }
}

/// One end of a connection to be.
struct Whom<'k> {
    title: String,
    local: IpAddr,
    remote: Vec<Prefix>,
    wanted: IdentityMatch,
    shared: Option<&'k KeyringPeer>,
}

fn everything() -> Vec<TrafficSelector> {
    let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let prefixes = all.into_iter().filter_map(|any| Prefix::new(any, 0).ok());
    let any = |prefix| TrafficSelector::from_prefix(prefix, model::Protocol::Any, model::PortRange::ANY);
    prefixes.map(any).collect()
}

/// The two ends of what an access list permits, each once.
fn sides(selectors: &[Selector]) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
    let (mut local, mut remote): (Vec<TrafficSelector>, Vec<TrafficSelector>) = (Vec::new(), Vec::new());
    let add = |side: &mut Vec<TrafficSelector>, one: TrafficSelector| {
        if !side.iter().any(|known| known.covers(&one)) {
            side.retain(|known| !one.covers(known));
            side.push(one);
        }
    };
    for selector in selectors {
        let (source, destination) = ends(selector);
        add(&mut local, source);
        add(&mut remote, destination);
    }
    (local, remote)
}

fn ends(selector: &Selector) -> (TrafficSelector, TrafficSelector) {
    let protocol = selector.protocol();
    let source = TrafficSelector::from_prefix(selector.source(), protocol, selector.source_port());
    (source, TrafficSelector::from_prefix(selector.destination(), protocol, selector.destination_port()))
}

/// What an SA is for: of what was agreed on, that which our access list permits, as the outbound SA sees it. `None` if it is more
/// than an SA has room for, or nothing.
pub fn selectors(
    permits: &[Selector],
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
) -> Option<Vec<Selector>> {
    const MOST: usize = Config::MAX_SELECTORS;
    if permits.is_empty() {
        return ike::outbound_selectors(local, remote, MOST).filter(|all| !all.is_empty());
    }
    let mut all: Vec<Selector> = Vec::new();
    for permit in permits {
        let (source, destination) = ends(permit);
        let local: Vec<_> = local.iter().filter_map(|one| one.meet(&source)).collect();
        let remote: Vec<_> = remote.iter().filter_map(|one| one.meet(&destination)).collect();
        for selector in ike::outbound_selectors(&local, &remote, MOST)? {
            if !all.contains(&selector) {
                all.push(selector);
            }
        }
    }
    (!all.is_empty() && all.len() <= MOST).then_some(all)
}

fn secret(key: &SharedKey) -> Secret {
    Secret::new(key.expose().to_vec())
}

fn identity(identity: &IkeIdentity) -> Identity {
    match identity {
        IkeIdentity::Address(address) => Identity::Address(*address),
        IkeIdentity::Fqdn(name) => Identity::Fqdn(name.clone()),
        IkeIdentity::Email(name) => Identity::Email(name.clone()),
        IkeIdentity::KeyId(id) => Identity::KeyId(id.clone().into_bytes()),
    }
}

fn identity_match(profile: &IkeProfile) -> IdentityMatch {
    let rule = |rule: &IdentityRule| match rule {
        IdentityRule::Any => IdentityMatch::Any,
        IdentityRule::Address(prefix) => IdentityMatch::Within(*prefix),
        IdentityRule::Fqdn(name) => IdentityMatch::Exactly(Identity::Fqdn(name.clone())),
        IdentityRule::FqdnDomain(domain) => IdentityMatch::Domain(domain.clone()),
        IdentityRule::Email(name) => IdentityMatch::Exactly(Identity::Email(name.clone())),
        IdentityRule::EmailDomain(domain) => IdentityMatch::EmailDomain(domain.clone()),
        IdentityRule::KeyId(id) => IdentityMatch::Exactly(Identity::KeyId(id.clone().into_bytes())),
    };
    match profile.matches.as_slice() {
        [one] => rule(one),
        several => IdentityMatch::AnyOf(several.iter().map(rule).collect()),
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
