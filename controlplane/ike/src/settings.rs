//! What holds for the whole endpoint.

use std::time::Duration;

/// Ports, patience and bounds. The default is for a headend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where IKE listens (RFC 7296, section 2).
    pub port: u16,
    /// Where it listens once there is a NAT between, beside ESP in UDP; messages there begin with four zeros (section 2.23).
    pub nat_port: u16,
    /// How long to wait for an answer before a request is sent again; each time twice as long as before.
    pub retransmit_after: Duration,
    /// How often a request is sent before the peer is given up.
    pub tries: u32,
    /// From how many half-open IKE SAs on a peer must first return a cookie (section 2.6).
    pub cookie_threshold: usize,
    /// How many half-open IKE SAs there may be.
    pub most_half_open: usize,
    /// How long a peer may take from its first request to its proof.
    pub half_open_for: Duration,
    /// How long an IKE SA that is over still answers retransmissions.
    pub linger: Duration,
    /// How often a side behind a NAT says something (RFC 3948, section 4).
    pub keepalive: Duration,
    /// How long to wait before doing again what the peer had no time for (section 2.25).
    pub retry_after: Duration,
    /// The longest datagram that is not cut into fragments (RFC 7383), in bytes of UDP payload.
    pub fragment_above: usize,
    /// Whether Diffie-Hellman and signatures are the caller's to do ([`crate::Output::Compute`]); else they are done at once.
    pub jobs: bool,
    /// How many of these may be under way. What would be one more is dropped, and comes again. Of first requests, half as
    /// many.
    pub most_jobs: usize,
    /// What decides by chance when SAs are rekeyed; for tests, which want to see the same again. `None` for any.
    pub seed: Option<u64>,
    /// How many requests may wait for their turn in one IKE SA.
    pub most_tasks: usize,
    /// How many child SAs one IKE SA may have.
    pub most_children: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            port: 500,
            nat_port: 4500,
            retransmit_after: Duration::from_secs(1),
            tries: 6,
            cookie_threshold: 100,
            most_half_open: 10_000,
            half_open_for: Duration::from_secs(30),
            linger: Duration::from_secs(10),
            keepalive: Duration::from_secs(20),
            retry_after: Duration::from_secs(3),
            fragment_above: 1232,
            jobs: false,
            most_jobs: 1024,
            seed: None,
            most_tasks: 256,
            most_children: 256,
        }
    }
}
