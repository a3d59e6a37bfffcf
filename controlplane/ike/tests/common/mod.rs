//! Two endpoints in virtual time, the wire between them, and what their data planes would hold.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod certificates;

use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
use ike::crypto::{Encryption, Group, Integrity, Prf, Secret};
use ike::endpoint::{ChildUp, Down, Failed, IkeView, Job, State};
use ike::negotiate::{EspProposal, IkeProposal};
use ike::{Endpoint, Identity, IdentityMatch, Output, Settings, TrafficSelector};
use model::{IcvLen, KeyLen, Lifetime, Mode, PortRange, Protocol, Spi};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const GCM: Encryption = Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16);

/// What time it is in the world when a test begins: 1 January 2026, or what a test's certificates were made for.
pub const TODAY: Duration = Duration::from_secs(1_767_225_600);

/// A xorshift generator: the same numbers for the same seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Whether something happens that does so `percent` times of a hundred.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What a wire does to datagrams, in percent of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
    pub changed: u64,
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// What is to happen.
enum Coming {
    Datagram(Datagram),
    /// Arithmetic of A or of B is done.
    Computed(bool, Job),
}

/// What a gateway leaves to the world.
enum Left {
    Datagram(Datagram),
    Job(Job),
}

/// One gateway: its endpoint, and what came of it.
pub struct Gateway {
    pub endpoint: Endpoint,
    /// By inbound SPI: what its data plane holds.
    pub installed: BTreeMap<u32, ChildUp>,
    /// By inbound SPI: what it may send on.
    pub sends: BTreeMap<u32, bool>,
    pub ike_up: usize,
    pub ike_down: Vec<Down>,
    pub child_down: Vec<Down>,
    pub failures: Vec<Failed>,
    pub moved: Vec<SocketAddr>,
}

impl Gateway {
    fn new(settings: Settings, connections: Vec<Connection>, now: Instant) -> Gateway {
        let mut endpoint = Endpoint::new(settings, now, TODAY).expect("OpenSSL works");
        endpoint.set_connections(connections.into_iter().map(Arc::new).collect());
        Gateway {
            endpoint,
            installed: BTreeMap::new(),
            sends: BTreeMap::new(),
            ike_up: 0,
            ike_down: Vec::new(),
            child_down: Vec::new(),
            failures: Vec::new(),
            moved: Vec::new(),
        }
    }

    fn note(&mut self, output: Output) -> Option<Left> {
        match output {
            Output::Compute(job) => return Some(Left::Job(job)),
            Output::Transmit { from, to, bytes } => {
                return Some(Left::Datagram(Datagram { from, to, bytes }));
            }
            Output::IkeUp(_) => self.ike_up += 1,
            Output::IkeRekeyed { .. } => {}
            Output::IkeDown { reason, .. } => self.ike_down.push(reason),
            Output::ChildUp(up) => {
                let spi = up.inbound.0.get();
                self.sends.insert(spi, up.send);
                assert!(self.installed.insert(spi, *up).is_none(), "installed twice");
            }
            Output::ChildSend { inbound } => {
                // The one that was to take over may have gone again before.
                if let Some(sends) = self.sends.get_mut(&inbound.get()) {
                    *sends = true;
                }
            }
            Output::ChildDown { inbound, reason, .. } => {
                self.child_down.push(reason);
                self.sends.remove(&inbound.get());
                assert!(self.installed.remove(&inbound.get()).is_some(), "removed what was not there");
            }
            Output::PeerMoved { remote, .. } => self.moved.push(remote),
            Output::Failed(failed) => self.failures.push(*failed),
        }
        None
    }

    /// Those that stand.
    pub fn standing(&self, now: Instant) -> Vec<IkeView> {
        self.endpoint.ike_sas(now).filter(|sa| sa.state == State::Established).collect()
    }

    pub fn inbound(&self) -> Vec<Spi> {
        self.installed.values().map(|up| up.inbound.0).collect()
    }
}

/// Both, and the wire.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub a: Gateway,
    pub b: Gateway,
    pub faults: Faults,
    pub chance: Chance,
    /// Where the world sees A, if there is a NAT before it.
    pub nat: Option<SocketAddr>,
    /// The longest time that arithmetic takes, in milliseconds; where it takes none, it is done at once.
    pub slow: u64,
    coming: BTreeMap<(Instant, u64), Coming>,
    count: u64,
    pub delivered: u64,
    pub largest: usize,
    /// What was sent since it was set.
    pub record: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
}

pub fn a_address() -> SocketAddr {
    "192.0.2.1:500".parse().expect("an address")
}

pub fn b_address() -> SocketAddr {
    "192.0.2.2:500".parse().expect("an address")
}

impl World {
    pub fn new(a: Vec<Connection>, b: Vec<Connection>) -> World {
        World::with_settings(Settings::default(), a, b)
    }

    pub fn with_settings(settings: Settings, a: Vec<Connection>, b: Vec<Connection>) -> World {
        let now = Instant::now();
        World {
            now,
            start: now,
            a: Gateway::new(settings.clone(), a, now),
            b: Gateway::new(Settings { seed: settings.seed.map(|seed| !seed), ..settings }, b, now),
            faults: Faults::default(),
            chance: Chance(0x9E37_79B9_7F4A_7C15),
            nat: None,
            slow: 0,
            coming: BTreeMap::new(),
            count: 0,
            delivered: 0,
            largest: 0,
            record: None,
        }
    }

    pub fn a_initiates(&mut self) {
        let ike = self.a.endpoint.initiate(self.now, "peer", Some("net"), a_address(), b_address());
        ike.expect("it can begin");
        self.drain();
    }

    pub fn b_initiates(&mut self) {
        let ike = self.b.endpoint.initiate(self.now, "peer", Some("net"), b_address(), a_address());
        ike.expect("it can begin");
        self.drain();
    }

    /// Puts what both want sent on the wire.
    pub fn drain(&mut self) {
        for of_a in [true, false] {
            loop {
                let gateway = if of_a { &mut self.a } else { &mut self.b };
                let Some(output) = gateway.endpoint.poll() else { break };
                match gateway.note(output) {
                    Some(Left::Datagram(datagram)) => self.put_on_wire(datagram),
                    Some(Left::Job(job)) if self.slow == 0 => {
                        gateway.endpoint.handle_done(self.now, job.run())
                    }
                    Some(Left::Job(job)) => {
                        let takes = Duration::from_millis(self.chance.next() % self.slow);
                        self.comes(self.now + takes, Coming::Computed(of_a, job));
                    }
                    None => {}
                }
            }
        }
    }

    fn put_on_wire(&mut self, mut datagram: Datagram) {
        self.largest = self.largest.max(datagram.bytes.len());
        if let Some(record) = &mut self.record {
            record.push((datagram.from, datagram.to, datagram.bytes.clone()));
        }
        if let Some(outside) = self.nat {
            // Two ports outside for the two inside.
            if datagram.from.ip() == a_address().ip() {
                let port = outside.port() + u16::from(datagram.from.port() == 4500);
                datagram.from = SocketAddr::new(outside.ip(), port);
            }
            if datagram.to.ip() == outside.ip() {
                let inside = if datagram.to.port() == outside.port() { 500 } else { 4500 };
                datagram.to = SocketAddr::new(a_address().ip(), inside);
            }
        }
        let copies = if self.chance.happens(self.faults.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance.happens(self.faults.lost) {
                continue;
            }
            let mut bytes = datagram.bytes.clone();
            if self.chance.happens(self.faults.changed) && !bytes.is_empty() {
                let place = self.chance.next() as usize % bytes.len();
                bytes[place] ^= 1 << (self.chance.next() % 8);
            }
            let late = if self.chance.happens(self.faults.late) { self.chance.next() % 3000 } else { 0 };
            let at = self.now + Duration::from_millis(10 + late);
            self.comes(at, Coming::Datagram(Datagram { from: datagram.from, to: datagram.to, bytes }));
        }
    }

    fn comes(&mut self, at: Instant, what: Coming) {
        self.count += 1;
        self.coming.insert((at, self.count), what);
    }

    /// The next thing to happen happens; says whether there was any before `until`.
    fn step(&mut self, until: Instant) -> bool {
        let next = self.coming.first_key_value().map(|((at, _), _)| *at);
        let timers = [self.a.endpoint.next_timeout(), self.b.endpoint.next_timeout()];
        let Some(at) = timers.into_iter().chain([next]).flatten().min().filter(|at| *at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        if next == Some(at) {
            match self.coming.pop_first() {
                Some((_, Coming::Datagram(Datagram { from, to, bytes }))) => {
                    self.delivered += 1;
                    if to.ip() == a_address().ip() {
                        self.a.endpoint.handle_datagram(self.now, from, to, &bytes);
                    } else if to.ip() == b_address().ip() {
                        self.b.endpoint.handle_datagram(self.now, from, to, &bytes);
                    }
                }
                Some((_, Coming::Computed(of_a, job))) => {
                    let gateway = if of_a { &mut self.a } else { &mut self.b };
                    gateway.endpoint.handle_done(self.now, job.run());
                }
                None => {}
            }
        } else {
            self.a.endpoint.handle_timeout(self.now);
            self.b.endpoint.handle_timeout(self.now);
        }
        self.drain();
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        self.drain();
        let until = self.now + time;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 100_000, "it never comes to rest");
        }
        self.now = until;
    }

    pub fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Puts a datagram on the wire that nobody sent.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.comes(self.now, Coming::Datagram(Datagram { from, to, bytes }));
    }

    /// No endpoint did any arithmetic itself.
    pub fn assert_others_computed(&self) {
        for gateway in [&self.a, &self.b] {
            assert_eq!(gateway.endpoint.counters().computed_at_once, 0);
        }
    }

    /// Both ends hold the same pairs, with the same keys, and each sends on one that the other receives.
    pub fn assert_paired(&self, pairs: usize) {
        assert_eq!(self.a.installed.len(), pairs, "A's pairs");
        assert_eq!(self.b.installed.len(), pairs, "B's pairs");
        for up in self.a.installed.values() {
            let other = self.b.installed.get(&up.outbound.0.get()).expect("B has the other half");
            assert_eq!(other.outbound.0, up.inbound.0);
            assert_eq!((&other.inbound.1, &other.outbound.1), (&up.outbound.1, &up.inbound.1));
            assert_eq!(other.suite, up.suite);
            assert_eq!(other.mode, up.mode);
            assert_eq!(other.udp, up.udp);
            assert_eq!(other.local_selectors, up.remote_selectors);
            assert_eq!(other.remote_selectors, up.local_selectors);
        }
        for gateway in [&self.a, &self.b] {
            for (spi, sends) in &gateway.sends {
                assert!(sends, "nobody ever sends on {spi:x}");
            }
        }
    }
}

pub fn subnet(text: &str) -> TrafficSelector {
    TrafficSelector::from_prefix(text.parse().expect("a prefix"), Protocol::Any, PortRange::ANY)
}

pub fn ike_proposal() -> IkeProposal {
    IkeProposal {
        encryption: vec![GCM],
        integrity: Vec::new(),
        prf: vec![Prf::HmacSha256],
        groups: vec![Group::X25519],
    }
}

pub fn esp_proposal() -> EspProposal {
    EspProposal { encryption: vec![GCM], integrity: Vec::new(), groups: Vec::new(), esn: vec![true, false] }
}

pub fn cbc_proposal(integrity: Integrity) -> EspProposal {
    EspProposal {
        encryption: vec![Encryption::AesCbc(KeyLen::Aes128)],
        integrity: vec![integrity],
        ..esp_proposal()
    }
}

/// Side `us` of two: "a" has 10.1.0.0/16, "b" has 10.2.0.0/16.
pub fn connection(us: &str) -> Connection {
    let name = |side: &str| Identity::Fqdn(format!("gw-{side}.example.net"));
    let net = |side: &str| subnet(if side == "a" { "10.1.0.0/16" } else { "10.2.0.0/16" });
    let them = if us == "a" { "b" } else { "a" };
    let key = Secret::new(b"a key that both know".to_vec());
    Connection {
        name: "peer".into(),
        local: None,
        remote: vec!["0.0.0.0/0".parse().expect("a prefix")],
        proposals: vec![ike_proposal()],
        local_identity: name(us),
        remote_identity: IdentityMatch::Exactly(name(them)),
        local_proof: LocalProof::SharedKey(key.clone()),
        remote_proof: RemoteProof::SharedKey(key),
        children: vec![Arc::new(ChildPolicy {
            name: "net".into(),
            proposals: vec![esp_proposal()],
            mode: Mode::Tunnel,
            local: vec![net(us)],
            remote: vec![net(them)],
            lifetime: Lifetime::default(),
        })],
        lifetime: None,
        reauth: None,
        dpd: None,
    }
}

/// Changes the first child policy.
pub fn with_policy(mut connection: Connection, change: impl FnOnce(&mut ChildPolicy)) -> Connection {
    change(Arc::make_mut(&mut connection.children[0]));
    connection
}
