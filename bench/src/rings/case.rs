//! What is measured over which rings.

use crate::case::{self, Headers, MANY, Size, Way};
use crate::tunnels::Devices;
use clap::ValueEnum;
use model::Suite;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// What lies between the generator and the gateway: two of them, for one direction each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Ring {
    /// `net_memif` on both sides.
    Memif,
    /// The gateway's `net_vhost`, as of a hypervisor, and the generator's `net_virtio_user`, as of a guest.
    Vhost,
}

/// Descriptors of a ring.
const DESCRIPTORS: u32 = 1024;

impl Ring {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Ring::Memif => "memif",
            Ring::Vhost => "vhost",
        }
    }

    /// The gateway's ports, which listen at sockets in `folder`.
    pub fn gateway(self, folder: &Path) -> Devices {
        let port = |number: u32, socket: &str| {
            let socket = folder.join(socket);
            let socket = socket.display();
            match self {
                Ring::Memif => {
                    let log = DESCRIPTORS.ilog2();
                    format!("net_memif{number},role=server,socket={socket},socket-abstract=no,rsize={log}")
                }
                Ring::Vhost => format!("net_vhost{number},iface={socket},queues=1"),
            }
        };
        Devices { lan: port(0, LAN_SOCKET), wan: port(1, WAN_SOCKET) }
    }

    /// The generator's ports, which connect to those.
    pub fn generator(self, folder: &Path) -> Devices {
        let port = |number: u32, socket: &str| {
            let socket = folder.join(socket);
            let socket = socket.display();
            match self {
                Ring::Memif => {
                    let log = DESCRIPTORS.ilog2();
                    format!(
                        "net_memif{number},role=client,socket={socket},socket-abstract=no,rsize={log},zero-copy=yes"
                    )
                }
                Ring::Vhost => {
                    format!("net_virtio_user{number},path={socket},queues=1,queue_size={DESCRIPTORS}")
                }
            }
        };
        Devices { lan: port(0, LAN_SOCKET), wan: port(1, WAN_SOCKET) }
    }
}

/// Tunnels of the case that shows how well a gateway does with memory alone to find its SAs in.
const VERY_MANY: u32 = 100_000;

const LAN_SOCKET: &str = "lan";
const WAN_SOCKET: &str = "wan";

/// A gateway of one worker behind rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which.
    pub ring: Ring,
    /// What goes through them.
    pub traffic: case::Case,
}

impl Case {
    /// All of the rings that are wanted, or the few that show most.
    pub fn all(rings: &[Ring], quick: bool) -> Vec<Case> {
        let sizes: &[Size] = if quick {
            &[Size::Bytes(64), Size::Bytes(1420)]
        } else {
            &[Size::Bytes(64), Size::Imix, Size::Bytes(1420)]
        };
        let many: &[u32] = if quick { &[1] } else { &[1, MANY, VERY_MANY] };
        let ways = [(Way::Forward, &[1][..]), (Way::Encrypt, many), (Way::Decrypt, many)];
        let mut cases = Vec::new();
        for &ring in rings {
            for (way, tunnels) in ways {
                for &tunnels in tunnels {
                    let (suite, headers) = (Suite::AES_GCM_128, Headers::FourInFour);
                    let sizes: &[Size] = if tunnels == VERY_MANY { &[Size::Imix] } else { sizes };
                    cases.extend(sizes.iter().map(|&size| Case {
                        ring,
                        traffic: case::Case { way, size, tunnels, suite, headers, workers: 1 },
                    }));
                }
            }
        }
        cases
    }
}

impl fmt::Display for Case {
    /// The name: `memif-encrypt-64-1sa-aes128`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ring.name(), self.traffic)
    }
}
