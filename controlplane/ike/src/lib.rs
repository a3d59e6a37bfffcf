//! Sans-IO IKEv2 (RFC 7296), both roles: bytes, time and requests in; bytes, timers and SA operations out.
//!
//! It knows the words of crate `model`, and OpenSSL for every primitive; it may not know sockets, clocks, threads, the
//! data plane, or how a configuration is written. Whoever drives an [`Endpoint`] gives it datagrams and the time, and does
//! what it says.
//!
//! Read in this order: [`message`] is what goes over the wire; [`crypto`] and `keys` what protects it; `identity` and
//! [`auth`] who is there; [`negotiate`] what is agreed on, and why not; [`connection`] what we are willing to; `sa` one IKE
//! SA through all its exchanges; [`endpoint`] all of them.
//!
//! Two endpoints, and what carries datagrams from one to the other:
//!
//! ```
//! use ike::connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
//! use ike::crypto::{Encryption, Group, Prf, Secret};
//! use ike::negotiate::{EspProposal, IkeProposal};
//! use ike::{Endpoint, Identity, IdentityMatch, Output, Settings};
//! use model::{IcvLen, KeyLen, Lifetime, Mode};
//! use std::{sync::Arc, time::{Duration, Instant}};
//!
//! // Transport mode between the two gateways themselves.
//! let connection = |us: &str, them: &str| {
//!     let gcm = Encryption::AesGcm(KeyLen::Aes256, IcvLen::Bytes16);
//!     let key = Secret::new(b"a key that both know".to_vec());
//!     Arc::new(Connection {
//!         name: "peer".into(),
//!         local: None,
//!         remote: vec!["192.0.2.0/24".parse().unwrap()],
//!         proposals: vec![IkeProposal {
//!             encryption: vec![gcm],
//!             integrity: vec![],
//!             prf: vec![Prf::HmacSha256],
//!             groups: vec![Group::X25519],
//!         }],
//!         local_identity: Identity::Fqdn(us.into()),
//!         remote_identity: IdentityMatch::Exactly(Identity::Fqdn(them.into())),
//!         local_proof: LocalProof::SharedKey(key.clone()),
//!         remote_proof: RemoteProof::SharedKey(key),
//!         children: vec![Arc::new(ChildPolicy {
//!             name: "all".into(),
//!             proposals: vec![EspProposal {
//!                 encryption: vec![gcm],
//!                 integrity: vec![],
//!                 groups: vec![],
//!                 esn: vec![true, false],
//!             }],
//!             mode: Mode::Transport,
//!             local: vec![],
//!             remote: vec![],
//!             lifetime: Lifetime::default(),
//!         })],
//!         lifetime: Some(Duration::from_secs(86_400)),
//!         reauth: None,
//!         dpd: Some(Duration::from_secs(30)),
//!     })
//! };
//! let now = Instant::now();
//! let endpoint = |us, them| {
//!     let mut endpoint = Endpoint::new(Settings::default(), now, Duration::from_secs(1_767_225_600)).unwrap();
//!     endpoint.set_connections(vec![connection(us, them)]);
//!     endpoint
//! };
//! let (mut a, mut b) = (endpoint("gw-a", "gw-b"), endpoint("gw-b", "gw-a"));
//! a.initiate(now, "peer", Some("all"), "192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap()).unwrap();
//! let mut installed = 0;
//! for _ in 0..4 {
//!     for of_a in [true, false] {
//!         let (sender, receiver) = if of_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
//!         while let Some(output) = sender.poll() {
//!             match output {
//!                 Output::Transmit { from, to, bytes } => receiver.handle_datagram(now, from, to, &bytes),
//!                 Output::ChildUp(up) => installed += usize::from(up.mode == Mode::Transport),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!(installed, 2);
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod auth;
pub mod connection;
pub mod crypto;
pub mod endpoint;
mod identity;
mod keys;
pub mod message;
pub mod negotiate;
mod sa;
mod selector;
mod settings;

pub use connection::{ChildPolicy, Connection, LocalProof, RemoteProof};
pub use endpoint::{Endpoint, Output, RequestError};
pub use identity::{Identity, IdentityMatch};
pub use selector::{TrafficSelector, outbound_selectors};
pub use settings::Settings;
