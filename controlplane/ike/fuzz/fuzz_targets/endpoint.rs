//! An endpoint that gets arbitrary datagrams: as they are, and inside the encrypted payload of a peer that has proved itself.
//!
//! The second is what only a peer could do that has the key and means harm. The fuzzer cannot seal; so the datagrams go
//! through an endpoint of ours, which seals them as its own requests would be.
#![no_main]

use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
use ike::crypto::{Encryption, Group, Prf, Secret};
use ike::negotiate::{EspProposal, IkeProposal};
use ike::{Endpoint, Identity, IdentityMatch, Output, Settings, TrafficSelector};
use libfuzzer_sys::fuzz_target;
use model::{IcvLen, KeyLen, Lifetime, Mode, PortRange, Protocol};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn connection(us: &str, them: &str) -> Connection {
    let gcm = Encryption::AesGcm(KeyLen::Aes128, IcvLen::Bytes16);
    let key = Secret::new(b"a key that both know".to_vec());
    let all = TrafficSelector::from_prefix("0.0.0.0/0".parse().expect("a prefix"), Protocol::Any, PortRange::ANY);
    Connection {
        name: "peer".into(),
        local: None,
        remote: vec!["0.0.0.0/0".parse().expect("a prefix")],
        proposals: vec![IkeProposal {
            encryption: vec![gcm],
            integrity: Vec::new(),
            prf: vec![Prf::HmacSha256],
            groups: vec![Group::X25519],
        }],
        local_identity: Identity::Fqdn(us.into()),
        remote_identity: IdentityMatch::Exactly(Identity::Fqdn(them.into())),
        local_proof: LocalProof::SharedKey(key.clone()),
        remote_proof: RemoteProof::SharedKey(key),
        children: vec![Arc::new(ChildPolicy {
            name: "net".into(),
            proposals: vec![EspProposal {
                encryption: vec![gcm],
                integrity: Vec::new(),
                groups: Vec::new(),
                esn: vec![false],
            }],
            mode: Mode::Tunnel,
            local: vec![all],
            remote: vec![all],
            lifetime: Lifetime::default(),
        })],
        lifetime: None,
        reauth: None,
        dpd: None,
    }
}

fn endpoint(us: &str, them: &str, now: Instant) -> Endpoint {
    let mut endpoint = Endpoint::new(Settings { jobs: true, ..Settings::default() }, now, Duration::ZERO).expect("OpenSSL works");
    endpoint.set_connections(vec![Arc::new(connection(us, them))]);
    endpoint
}

/// Carries datagrams between two endpoints until neither has any.
fn settle(now: Instant, a: &mut Endpoint, b: &mut Endpoint) {
    for _ in 0..64 {
        let mut idle = true;
        for of_a in [true, false] {
            let (sender, receiver) = if of_a { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            while let Some(output) = sender.poll() {
                match output {
                    Output::Transmit { from, to, bytes } => receiver.handle_datagram(now, from, to, &bytes),
                    Output::Compute(job) => sender.handle_done(now, job.run()),
                    _ => continue,
                }
                idle = false;
            }
        }
        if idle {
            return;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let now = Instant::now();
    let (here, there): (SocketAddr, SocketAddr) =
        (([192, 0, 2, 1], 500).into(), ([192, 0, 2, 2], 500).into());
    let (mut a, mut b) = (endpoint("a", "b", now), endpoint("b", "a", now));
    let ike = a.initiate(now, "peer", Some("net"), here, there).expect("it can begin");
    settle(now, &mut a, &mut b);
    // The first byte says how to cut the rest into datagrams and inner chains.
    let mut rest = bytes;
    while let Some((&[how, first, len], after)) = rest.split_first_chunk::<3>() {
        let (piece, after) = after.split_at(after.len().min(len.into()));
        rest = after;
        match how % 3 {
            0 => b.handle_datagram(now, here, there, piece),
            1 => a.send_raw(now, ike, how / 3, first, piece),
            _ => a.handle_datagram(now, there, here, piece),
        }
        settle(now, &mut a, &mut b);
    }
    a.handle_timeout(now + Duration::from_secs(60));
    b.handle_timeout(now + Duration::from_secs(60));
    settle(now, &mut a, &mut b);
});
