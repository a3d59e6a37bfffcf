//! Many initiators at once, to measure a responder by: one endpoint that raises tunnels, each with an IKE SA and a child SA of
//! its own, a bounded number at a time. `scripts/bench ike` runs it.
//!
//!     ike-crowd --local ADDRESS --remote ADDRESS --count N --burst N --group GROUP
//!               --psk KEY | --certificate PEM --key PEM --authority PEM
//!
//! It says on its standard output, in a line of JSON, how many came up and how long that took. Then it keeps them up and
//! answers what the responder asks, until it is ended.

mod common;

use common::{Arguments, Failure};
use ike::auth::{Credential, Trust};
use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
use ike::crypto::{Encryption, Group, Prf, Secret};
use ike::negotiate::{EspProposal, IkeProposal};
use ike::{Endpoint, Identity, IdentityMatch, Output, Settings, TrafficSelector};
use model::{IcvLen, KeyLen, Lifetime, Mode, PortRange, Prefix, Protocol};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The first of the hosts behind us, of which each tunnel has one.
const FIRST_HOST: u32 = u32::from_be_bytes([10, 128, 0, 0]);

impl Arguments {
    fn file(&self, name: &str) -> Result<Vec<u8>, Failure> {
        Ok(std::fs::read(self.get(name)?)?)
    }

    fn proofs(&self) -> Result<(LocalProof, RemoteProof), Failure> {
        if let Ok(key) = self.get("psk") {
            let key = Secret::new(key.as_bytes().to_vec());
            return Ok((LocalProof::SharedKey(key.clone()), RemoteProof::SharedKey(key)));
        }
        let credential = Credential::from_pem(&self.file("certificate")?, &self.file("key")?, false)?;
        let trust = Trust::from_pem(&self.file("authority")?, &[])?;
        Ok((LocalProof::Certificate(Arc::new(credential)), RemoteProof::Certificate(Arc::new(trust))))
    }
}

fn subnet(prefix: Prefix) -> TrafficSelector {
    TrafficSelector::from_prefix(prefix, Protocol::Any, PortRange::ANY)
}

fn policy(number: u32) -> Result<Arc<ChildPolicy>, Failure> {
    let host = IpAddr::from(Ipv4Addr::from(FIRST_HOST + number));
    Ok(Arc::new(ChildPolicy {
        name: number.to_string().into(),
        proposals: vec![EspProposal {
            encryption: vec![Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16)],
            integrity: Vec::new(),
            groups: Vec::new(),
            esn: vec![false],
        }],
        mode: Mode::Tunnel,
        local: vec![subnet(host.into())],
        remote: vec![subnet("10.1.0.0/24".parse()?)],
        lifetime: Lifetime::default(),
    }))
}

fn connection(arguments: &Arguments, count: u32) -> Result<Connection, Failure> {
    let (local_proof, remote_proof) = arguments.proofs()?;
    let group = arguments.get("group")?;
    let groups: Vec<Group> = Group::ALL.iter().copied().filter(|one| one.to_string() == group).collect();
    let remote: IpAddr = arguments.get("remote")?.parse()?;
    Ok(Connection {
        name: "hub".into(),
        local: None,
        remote: vec![remote.into()],
        proposals: vec![IkeProposal {
            encryption: vec![Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16)],
            integrity: Vec::new(),
            prf: vec![Prf::HmacSha256],
            groups,
        }],
        local_identity: Identity::Fqdn("spoke.example.net".to_owned()),
        remote_identity: IdentityMatch::Exactly(Identity::Fqdn("hub.example.net".to_owned())),
        local_proof,
        remote_proof,
        children: (0..count).map(policy).collect::<Result<_, _>>()?,
        lifetime: None,
        reauth: None,
        dpd: None,
    })
}

struct Crowd {
    endpoint: Endpoint,
    sockets: [UdpSocket; 2],
    local: SocketAddr,
    remote: SocketAddr,
    /// How many were begun, came up, and came to nothing.
    begun: u32,
    up: u32,
    failed: u32,
    why: Option<String>,
}

impl Crowd {
    fn new(arguments: &Arguments, count: u32) -> Result<Crowd, Failure> {
        let local: IpAddr = arguments.get("local")?.parse()?;
        let remote: IpAddr = arguments.get("remote")?.parse()?;
        let sockets = [UdpSocket::bind((local, 500))?, UdpSocket::bind((local, 4500))?];
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut endpoint = Endpoint::new(Settings::default(), Instant::now(), now)?;
        endpoint.set_connections(vec![Arc::new(connection(arguments, count)?)]);
        let (local, remote) = ((local, 500).into(), (remote, 500).into());
        Ok(Crowd { endpoint, sockets, local, remote, begun: 0, up: 0, failed: 0, why: None })
    }

    /// Raises tunnels until so many have been begun, a bounded number at a time.
    fn raise(&mut self, until: u32, burst: u32) -> Result<(), Failure> {
        while self.up + self.failed < until {
            while self.begun < until && self.begun - self.up - self.failed < burst {
                let policy = self.begun.to_string();
                self.endpoint.initiate(Instant::now(), "hub", Some(&policy), self.local, self.remote)?;
                self.begun += 1;
            }
            self.step()?;
        }
        Ok(())
    }

    /// Waits for something, and does what it brings.
    fn step(&mut self) -> Result<(), Failure> {
        self.drain();
        let now = Instant::now();
        let wait = self.endpoint.next_timeout().map(|at| at.saturating_duration_since(now));
        let wait = wait.unwrap_or(Duration::MAX).min(Duration::from_secs(1)) + Duration::from_millis(1);
        let [one, other] = &self.sockets;
        let mut ready = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
        poll(&mut ready, Some(&wait.try_into()?))?;
        let mut buffer = [0; 4096];
        for (socket, port) in self.sockets.iter().zip([500, 4500]) {
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let to = SocketAddr::new(self.local.ip(), port);
                self.endpoint.handle_datagram(Instant::now(), from, to, &buffer[..len]);
            }
        }
        self.endpoint.handle_timeout(Instant::now());
        self.drain();
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { from, to, bytes } => {
                    // What cannot be sent is sent again.
                    let _ = self.sockets[usize::from(from.port() == 4500)].send_to(&bytes, to);
                }
                Output::ChildUp(_) => self.up += 1,
                Output::Failed(failed) => {
                    self.failed += 1;
                    self.why.get_or_insert_with(|| failed.explanation.to_string());
                }
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read()?;
    let (count, burst) = (arguments.get("count")?.parse()?, arguments.get("burst")?.parse()?);
    let mut crowd = Crowd::new(&arguments, count)?;
    // One alone, which says that we are here anew (INITIAL_CONTACT): the others would end each other.
    crowd.raise(1, 1)?;
    let begun = Instant::now();
    crowd.raise(count, burst)?;
    let seconds = begun.elapsed().as_secs_f64();
    let counters = crowd.endpoint.counters();
    let said = json!({
        "up": crowd.up, "failed": crowd.failed, "why": crowd.why, "seconds": seconds, "retransmitted": counters.retransmitted,
    });
    writeln!(std::io::stdout(), "{said}")?;
    loop {
        crowd.step()?;
    }
}
