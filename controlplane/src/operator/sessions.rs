//! What only the daemon knows of IKE: its SAs, the tunnels that they are to bring up, and what came to nothing. Never a key.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Everything, for one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// `hostname`.
    pub hostname: Option<String>,
    /// By peer.
    pub ike_sas: Vec<IkeFacts>,
    /// The tunnels of the configuration, and those that peers of dynamic entries have.
    pub sessions: Vec<Session>,
    /// The last failure with each peer.
    pub failures: Vec<FailureFacts>,
    /// What the endpoint counted, by name.
    pub counters: Vec<(String, u64)>,
}

/// An IKE SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeFacts {
    /// Our SPI, 16 hexadecimal digits.
    pub spi: String,
    /// The peer's.
    pub peer_spi: String,
    /// Where it stands.
    pub state: String,
    /// Whether we began it.
    pub initiator: bool,
    /// What it was agreed on by; none while several could be meant.
    pub connection: Option<String>,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// We are behind a translator.
    pub local_nat: bool,
    /// The peer is.
    pub remote_nat: bool,
    /// Who the peer has proved to be.
    pub remote_identity: Option<String>,
    /// What protects it.
    pub suite: Option<IkeSuiteFacts>,
    /// Seconds since it stands, or since it began.
    pub age: u64,
    /// Its child SAs.
    pub children: Vec<ChildFacts>,
}

/// The algorithms of an IKE SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeSuiteFacts {
    /// Encryption.
    pub encryption: String,
    /// Integrity, where encryption has none of its own.
    pub integrity: Option<String>,
    /// Pseudorandom function.
    pub prf: String,
    /// Diffie-Hellman group.
    pub group: String,
}

/// A pair of child SAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildFacts {
    /// The crypto map's entry, and that of the dynamic map behind it if it leads to one.
    pub policy: String,
    /// SPI of what arrives.
    pub inbound_spi: u32,
    /// SPI of what leaves.
    pub outbound_spi: u32,
    /// What protects it.
    pub transform: String,
    /// Diffie-Hellman group of its own key exchange.
    pub pfs_group: Option<String>,
    /// Addresses behind us.
    pub local: Vec<String>,
    /// Addresses behind the peer.
    pub remote: Vec<String>,
    /// Seconds since it was installed.
    pub age: u64,
    /// Seconds until it is rekeyed.
    pub rekey_in: Option<u64>,
    /// Seconds until it ends, if nothing takes its place.
    pub ends_in: Option<u64>,
}

/// What a pair of SAs serves that IKE agreed on, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairFacts {
    /// Index of the inbound SA in shared memory.
    pub inbound: u32,
    /// Index of the outbound SA.
    pub outbound: u32,
    /// The crypto map.
    pub map: String,
    /// The sequence number of that map's entry.
    pub sequence: u16,
    /// The dynamic map's entry behind it, if it leads to one.
    pub dynamic: Option<String>,
    /// Seconds until it ends, if nothing takes its place; `None` if it never does, or was found in shared memory by a control
    /// plane that came later.
    pub ends_in: Option<u64>,
}

/// Where a tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Packets pass.
    Up,
    /// It is being negotiated.
    UpNegotiating,
    /// No packet has wanted it, or it came to nothing.
    Down,
}

/// A tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The crypto map's entry, and that of the dynamic map behind it if it leads to one.
    pub policy: String,
    /// Where it stands.
    pub status: Status,
    /// The peer that it is with, or that it would be with first.
    pub peer: Option<IpAddr>,
    /// Our end.
    pub local: Option<IpAddr>,
    /// SPI of what leaves.
    pub outbound_spi: Option<u32>,
    /// What it is for, as it leaves: source and destination.
    pub flows: Vec<(String, String)>,
}

/// Something that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureFacts {
    /// With whom.
    pub peer: IpAddr,
    /// Which tunnel, or else which connection, as far as it is known.
    pub about: Option<String>,
    /// Both offers and the first difference, or whatever else it was.
    pub why: String,
    /// Seconds since then.
    pub ago: u64,
    /// How often it has happened with that peer since something went right.
    pub times: u64,
}
