//! An IKEv2 peer for tests against other people's implementations: the endpoint, two UDP sockets and a clock, and nothing
//! that carries traffic. It takes commands on its standard input and says on its standard output what happens, a line of
//! JSON each:
//!
//!     initiate | child | rekey | rekey-child | delete-child | delete | show | quit
//!
//! With `--show-keys yes` it also says the keys of child SAs, which only a test may want.
//!
//! A suite is named by its algorithms with `/` between: `aes-gcm-256/prf-hmac-sha256/group31` for IKE,
//! `aes-cbc-128/hmac-sha256-128/group14` for ESP.

mod common;

use common::{Arguments, Failure};
use ike::auth::{Credential, Trust};
use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
use ike::crypto::{Encryption, Group, Integrity, Prf, Secret};
use ike::endpoint::State;
use ike::negotiate::{EspProposal, IkeProposal};
use ike::{Endpoint, Identity, IdentityMatch, Output, Settings, TrafficSelector};
use model::{IcvLen, KeyLen, KeyMaterial, Lifetime, Mode, PortRange, Protocol};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

impl Arguments {
    fn or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        self.0.get(name).map(|text| Ok(Duration::from_secs(text.parse()?))).transpose()
    }
}

fn encryptions() -> Vec<Encryption> {
    let mut all = vec![Encryption::TripleDes, Encryption::ChaCha20Poly1305, Encryption::Null];
    all.push(Encryption::ChaCha20Poly1305Iiv);
    for key in [KeyLen::Aes128, KeyLen::Aes192, KeyLen::Aes256] {
        all.extend([Encryption::AesCbc(key), Encryption::AesCtr(key), Encryption::AesGmac(key)]);
        all.push(Encryption::AesGcmIiv(key));
        all.extend(
            [IcvLen::Bytes8, IcvLen::Bytes12, IcvLen::Bytes16].map(|icv| Encryption::AesGcm(key, icv)),
        );
    }
    all
}

/// Those of a kind that a suite names.
fn named<T: Copy + ToString>(suite: &str, all: &[T]) -> Vec<T> {
    suite.split('/').filter_map(|word| all.iter().copied().find(|one| one.to_string() == word)).collect()
}

fn ike_proposal(suite: &str) -> IkeProposal {
    IkeProposal {
        encryption: named(suite, &encryptions()),
        integrity: named(suite, Integrity::ALL),
        prf: named(suite, Prf::ALL),
        groups: named(suite, Group::ALL),
    }
}

fn esp_proposal(suite: &str) -> EspProposal {
    let esn = suite.split('/').any(|word| word == "esn");
    EspProposal {
        encryption: named(suite, &encryptions()),
        integrity: named(suite, Integrity::ALL),
        groups: named(suite, Group::ALL),
        esn: if esn { vec![true, false] } else { vec![false] },
    }
}

fn subnets(text: &str) -> Result<Vec<TrafficSelector>, Failure> {
    let subnet = |text: &str| -> Result<TrafficSelector, Failure> {
        Ok(TrafficSelector::from_prefix(text.parse()?, Protocol::Any, PortRange::ANY))
    };
    text.split(',').map(subnet).collect()
}

/// By certificates where they are given, else by the key.
fn proofs(arguments: &Arguments) -> Result<(LocalProof, RemoteProof), Failure> {
    let key = Secret::new(arguments.get("psk")?.as_bytes().to_vec());
    let Ok(certificates) = arguments.get("certificates") else {
        return Ok((LocalProof::SharedKey(key.clone()), RemoteProof::SharedKey(key)));
    };
    let read = std::fs::read;
    let pss = arguments.or("pss", "no") == "yes";
    let credential = Credential::from_pem(&read(certificates)?, &read(arguments.get("key")?)?, pss)?;
    let trust = Trust::from_pem(&read(arguments.get("authorities")?)?, &[])?;
    Ok((LocalProof::Certificate(Arc::new(credential)), RemoteProof::Certificate(Arc::new(trust))))
}

fn connection(arguments: &Arguments) -> Result<Connection, Failure> {
    let (local_proof, remote_proof) = proofs(arguments)?;
    let remote: IpAddr = arguments.get("remote")?.parse()?;
    let mode = if arguments.or("mode", "tunnel") == "transport" { Mode::Transport } else { Mode::Tunnel };
    Ok(Connection {
        name: "peer".into(),
        local: None,
        remote: vec![remote.into()],
        proposals: arguments.get("ike")?.split(',').map(ike_proposal).collect(),
        local_identity: Identity::Fqdn(arguments.get("id")?.to_owned()),
        remote_identity: IdentityMatch::Exactly(Identity::Fqdn(arguments.get("peer-id")?.to_owned())),
        local_proof,
        remote_proof,
        children: vec![Arc::new(ChildPolicy {
            name: "net".into(),
            proposals: arguments.get("esp")?.split(',').map(esp_proposal).collect(),
            mode,
            local: subnets(arguments.get("local-net")?)?,
            remote: subnets(arguments.get("remote-net")?)?,
            lifetime: Lifetime { time: arguments.seconds("child-lifetime")?, ..Lifetime::default() },
        })],
        lifetime: arguments.seconds("ike-lifetime")?,
        reauth: None,
        dpd: arguments.seconds("dpd")?,
    })
}

fn hex(key: &KeyMaterial) -> String {
    key.expose().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Peer {
    endpoint: Endpoint,
    sockets: [UdpSocket; 2],
    local: SocketAddr,
    remote: SocketAddr,
    show_keys: bool,
}

impl Peer {
    fn new(arguments: &Arguments) -> Result<Peer, Failure> {
        let local: IpAddr = arguments.get("local")?.parse()?;
        let remote: IpAddr = arguments.get("remote")?.parse()?;
        let mut settings = Settings::default();
        if let Some(bytes) = arguments.0.get("fragment-above") {
            settings.fragment_above = bytes.parse()?;
        }
        let sockets = [UdpSocket::bind((local, 500))?, UdpSocket::bind((local, 4500))?];
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let mut endpoint =
            Endpoint::new(settings, Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?)?;
        endpoint.set_connections(vec![Arc::new(connection(arguments)?)]);
        Ok(Peer {
            endpoint,
            sockets,
            local: (local, 500).into(),
            remote: (remote, 500).into(),
            show_keys: arguments.or("show-keys", "no") == "yes",
        })
    }

    /// Does what the endpoint wants done, and tells.
    fn drain(&mut self) -> Result<(), Failure> {
        while let Some(output) = self.endpoint.poll() {
            let told = match output {
                Output::Transmit { from, to, bytes } => {
                    let socket = &self.sockets[usize::from(from.port() == 4500)];
                    // What cannot be sent is sent again.
                    let _ = socket.send_to(&bytes, to);
                    continue;
                }
                Output::Compute(job) => {
                    self.endpoint.handle_done(Instant::now(), job.run());
                    continue;
                }
                Output::IkeUp(up) => json!({"event": "ike-up", "sa": up}),
                Output::IkeRekeyed { old, new } => json!({"event": "ike-rekeyed", "old": old, "new": new}),
                Output::IkeDown { ike, reason, .. } => {
                    json!({"event": "ike-down", "ike": ike, "reason": reason})
                }
                Output::ChildUp(up) => json!({
                    "event": "child-up",
                    "inbound": up.inbound.0,
                    "outbound": up.outbound.0,
                    "suite": up.suite,
                    "udp": up.udp,
                    "local": up.local_selectors,
                    "remote": up.remote_selectors,
                    "replaces": up.replaces,
                    "keys": self.show_keys.then(|| [hex(&up.inbound.1), hex(&up.outbound.1)]),
                }),
                Output::ChildSend { inbound } => json!({"event": "child-send", "inbound": inbound}),
                Output::ChildDown { inbound, reason, .. } => {
                    json!({"event": "child-down", "inbound": inbound, "reason": reason})
                }
                Output::PeerMoved { remote, .. } => json!({"event": "peer-moved", "remote": remote}),
                Output::Failed(failed) => json!({
                    "event": "failed",
                    "text": failed.explanation.to_string(),
                    "explanation": failed.explanation,
                }),
            };
            say(&told)?;
        }
        Ok(())
    }

    fn receive(&mut self) {
        let mut buffer = vec![0; 65536];
        for (socket, port) in self.sockets.iter().zip([500, 4500]) {
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let to = SocketAddr::new(self.local.ip(), port);
                self.endpoint.handle_datagram(Instant::now(), from, to, &buffer[..len]);
            }
        }
    }

    /// Carries out a command; says whether to go on.
    fn command(&mut self, words: &str) -> Result<bool, Failure> {
        let now = Instant::now();
        let standing = self.endpoint.ike_sas(now).find(|sa| sa.state == State::Established);
        let ike = standing.as_ref().map(|sa| sa.ike);
        let child = standing.as_ref().and_then(|sa| sa.children.first()).map(|child| child.inbound);
        let done = match (words, ike, child) {
            ("initiate", ..) => {
                self.endpoint.initiate(now, "peer", Some("net"), self.local, self.remote).map(drop)
            }
            ("child", Some(ike), _) => self.endpoint.create_child(now, ike, "net"),
            ("rekey", Some(ike), _) => self.endpoint.rekey(now, ike),
            ("delete", Some(ike), _) => self.endpoint.delete(now, ike),
            ("rekey-child", _, Some(child)) => self.endpoint.rekey_child(now, child),
            ("delete-child", _, Some(child)) => self.endpoint.delete_child(now, child),
            ("show", ..) => {
                let sas: Vec<_> = self.endpoint.ike_sas(now).collect();
                say(&json!({"event": "show", "sas": sas, "counters": self.endpoint.counters()}))?;
                Ok(())
            }
            ("quit", ..) => return Ok(false),
            _ => {
                say(&json!({"event": "refused", "command": words}))?;
                Ok(())
            }
        };
        if let Err(error) = done {
            say(&json!({"event": "refused", "command": words, "why": error.to_string()}))?;
        }
        Ok(true)
    }

    fn run(&mut self) -> Result<(), Failure> {
        // Not by `Stdin`, which would keep lines from `poll`.
        let input = std::fs::File::open("/dev/stdin")?;
        say(&json!({"event": "ready"}))?;
        loop {
            self.drain()?;
            let now = Instant::now();
            let wait = self.endpoint.next_timeout().map(|at| at.saturating_duration_since(now));
            let wait =
                wait.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(1)) + Duration::from_millis(1);
            let [one, other] = &self.sockets;
            let mut ready = [
                PollFd::new(one, PollFlags::IN),
                PollFd::new(other, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            poll(&mut ready, Some(&wait.try_into()?))?;
            let commanded = !ready[2].revents().is_empty();
            self.receive();
            self.endpoint.handle_timeout(Instant::now());
            self.drain()?;
            if commanded {
                let mut bytes = [0; 4096];
                let len = (&input).read(&mut bytes)?;
                if len == 0 {
                    return self.drain();
                }
                for line in String::from_utf8_lossy(&bytes[..len]).lines() {
                    if !self.command(line.trim())? {
                        return self.drain();
                    }
                }
            }
        }
    }
}

fn say(value: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

fn main() -> Result<(), Failure> {
    Peer::new(&Arguments::read()?)?.run()
}
