//! Finding a NAT between the peers (RFC 7296, section 2.23).

use crate::message::{IkeSpi, NotifyType, Payload};
use openssl::sha::Sha1;
use std::net::{IpAddr, SocketAddr};

/// Who stands behind a NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nat {
    pub(crate) ours: bool,
    pub(crate) theirs: bool,
}

impl Nat {
    pub(crate) fn any(self) -> bool {
        self.ours || self.theirs
    }
}

/// SHA-1 of SPIs, address and port: it hides nothing and proves nothing, it only has to be equal at both ends.
pub(crate) fn hash(initiator: IkeSpi, responder: IkeSpi, at: SocketAddr) -> [u8; 20] {
    let mut sha = Sha1::new();
    sha.update(&initiator.0.to_be_bytes());
    sha.update(&responder.0.to_be_bytes());
    match at.ip() {
        IpAddr::V4(ip) => sha.update(&ip.octets()),
        IpAddr::V6(ip) => sha.update(&ip.octets()),
    }
    sha.update(&at.port().to_be_bytes());
    sha.finish()
}

/// What a message says of it, as it came: `from` and `to` as we see them. A peer may name several sources.
pub(crate) fn detect(
    payloads: &[Payload<'_>],
    initiator: IkeSpi,
    responder: IkeSpi,
    from: SocketAddr,
    to: SocketAddr,
) -> Nat {
    let said = |kind: NotifyType, at: SocketAddr| {
        let hash = hash(initiator, responder, at);
        let mut hashes = payloads.iter().filter_map(|payload| match payload {
            Payload::Notify(notify) if notify.kind == kind => Some(notify.data),
            _ => None,
        });
        let mut any = false;
        let equal = hashes.any(|said| {
            any = true;
            said == hash
        });
        any && !equal
    };
    Nat {
        theirs: said(NotifyType::NAT_DETECTION_SOURCE_IP, from),
        ours: said(NotifyType::NAT_DETECTION_DESTINATION_IP, to),
    }
}
