//! What is measured: which way packets go, how long they are, how many tunnels they are spread over, and of what kind.

use clap::ValueEnum;
use model::{Cipher, Hmac, IcvLen, KeyLen, Suite};
use serde::{Serialize, Serializer};
use std::fmt;

/// What the gateway does with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Routes it past the policy: it leaves as it came.
    Forward,
    /// Puts it into a tunnel.
    Encrypt,
    /// Takes it out of one.
    Decrypt,
}

/// Lengths of the inner packets, their headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of this length, in bytes.
    Bytes(usize),
    /// A mixture, in random order: see [`IMIX`].
    Imix,
}

/// Length in bytes, and how many of twelve packets have it: the simple IMIX, its longest packets short enough for a
/// tunnel through a path of 1500 bytes.
pub const IMIX: [(usize, usize); 3] = [(64, 7), (576, 4), (1420, 1)];

impl Size {
    /// The lengths in their proportion.
    pub fn lengths(self) -> Vec<usize> {
        match self {
            Size::Bytes(bytes) => vec![bytes],
            Size::Imix => IMIX.iter().flat_map(|&(bytes, times)| vec![bytes; times]).collect(),
        }
    }

    /// Bytes of a packet, on average.
    pub fn mean(self) -> f64 {
        let lengths = self.lengths();
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes}"),
            Size::Imix => f.write_str("imix"),
        }
    }
}

impl Serialize for Size {
    /// A number, or `"imix"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Size::Bytes(bytes) => serializer.serialize_u64(*bytes as u64),
            Size::Imix => serializer.serialize_str("imix"),
        }
    }
}

/// Which headers are inside of ESP, and which outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// IPv4 in IPv4.
    FourInFour,
    /// The same with a UDP header between them (RFC 3948).
    FourInUdp,
    /// IPv6 in IPv4.
    SixInFour,
    /// IPv4 in IPv6.
    FourInSix,
    /// IPv6 in IPv6.
    SixInSix,
}

impl Headers {
    /// Whether the inner packets are of IPv6.
    pub fn inner_is_v6(self) -> bool {
        matches!(self, Headers::SixInFour | Headers::SixInSix)
    }

    /// Whether the tunnels' ends are of IPv6.
    pub fn outer_is_v6(self) -> bool {
        matches!(self, Headers::FourInSix | Headers::SixInSix)
    }

    /// The peer's UDP port.
    pub fn udp_port(self) -> Option<u16> {
        (self == Headers::FourInUdp).then_some(esp::udp::PORT)
    }

    /// Its name; the usual ones have none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Headers::FourInFour => None,
            Headers::FourInUdp => Some("udp"),
            Headers::SixInFour => Some("6in4"),
            Headers::FourInSix => Some("4in6"),
            Headers::SixInSix => Some("6in6"),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What happens to packets.
    pub way: Way,
    /// Their lengths.
    pub size: Size,
    /// Tunnels that they are spread over in random order, each with a policy rule, an SA each way and a peer of its own.
    pub tunnels: u32,
    /// Of each SA.
    pub suite: Suite,
    /// Of each tunnel.
    pub headers: Headers,
    /// Workers of the gateway, each on a core of its own and with a queue of every port.
    pub workers: u32,
}

/// Which cases there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// AES-GCM with 128 and 256 bits in IPv4, by size and number of SAs; and forwarding.
    Usual,
    /// Every other kind of suite.
    Suites,
    /// AES-GCM in UDP, and with IPv6 inside, outside and both.
    Headers,
    /// AES-GCM by two workers, with all packets in one SA and with many, beside one worker in the same run.
    Workers,
}

const SIZES: [Size; 7] = [
    Size::Bytes(64),
    Size::Bytes(128),
    Size::Bytes(256),
    Size::Bytes(512),
    Size::Bytes(1024),
    Size::Bytes(1420),
    Size::Imix,
];
/// Those that show most, and those of `--quick`.
const FEW_SIZES: [Size; 3] = [Size::Bytes(64), Size::Bytes(1420), Size::Imix];
const QUICK_SIZES: [Size; 2] = [Size::Bytes(64), Size::Bytes(1420)];
/// Tunnels where there are many.
pub const MANY: u32 = 1000;

impl Group {
    /// Its cases, or the few that show most.
    pub fn cases(self, quick: bool) -> Vec<Case> {
        let sizes: &[Size] = match (quick, self) {
            (true, _) => &QUICK_SIZES,
            (false, Group::Usual) => &SIZES,
            (false, _) => &FEW_SIZES,
        };
        let tunnels = |tunnels, suite, headers| (tunnels, suite, headers);
        let (gcm, usual) = (Suite::AES_GCM_128, Headers::FourInFour);
        let (forward, protects) = match self {
            Group::Usual => {
                let mut protects = vec![tunnels(1, gcm, usual), tunnels(MANY, gcm, usual)];
                if !quick {
                    protects.push(tunnels(1, Suite::AES_GCM_256, usual));
                }
                (vec![tunnels(1, gcm, usual)], protects)
            }
            Group::Suites => {
                (Vec::new(), other_suites().into_iter().map(|suite| tunnels(1, suite, usual)).collect())
            }
            Group::Headers => {
                let headers = [Headers::FourInUdp, Headers::SixInFour, Headers::FourInSix, Headers::SixInSix];
                (Vec::new(), headers.map(|headers| tunnels(1, gcm, headers)).to_vec())
            }
            Group::Workers => (Vec::new(), vec![tunnels(1, gcm, usual), tunnels(MANY, gcm, usual)]),
        };
        let workers = if self == Group::Workers { 2 } else { 1 };
        let ways = [(Way::Forward, &forward), (Way::Encrypt, &protects), (Way::Decrypt, &protects)];
        let mut cases = Vec::new();
        for (way, tunnels) in ways {
            for &(tunnels, suite, headers) in tunnels {
                cases.extend(sizes.iter().map(|&size| Case { way, size, tunnels, suite, headers, workers }));
            }
        }
        cases
    }
}

/// Beside AES-GCM with 128 and 256 bits: each cipher, and with one of them each HMAC.
fn other_suites() -> Vec<Suite> {
    let with = |cipher, hmac| Suite::CipherHmac { cipher, hmac };
    let (cbc, ctr) = (Cipher::AesCbc, Cipher::AesCtr);
    let mut suites = vec![
        Suite::AesGcm { key: KeyLen::Aes192, icv: IcvLen::Bytes16 },
        Suite::AesGcmIiv { key: KeyLen::Aes128 },
        Suite::AesGmac { key: KeyLen::Aes128 },
        Suite::ChaCha20Poly1305,
        Suite::ChaCha20Poly1305Iiv,
    ];
    suites.extend(Hmac::ALL.map(|hmac| with(cbc(KeyLen::Aes128), hmac)));
    suites.extend([
        with(cbc(KeyLen::Aes256), Hmac::Sha256),
        with(ctr(KeyLen::Aes128), Hmac::Sha1),
        with(ctr(KeyLen::Aes128), Hmac::Sha256),
        with(Cipher::TripleDesCbc, Hmac::Sha1),
        with(Cipher::Null, Hmac::Sha1),
        with(Cipher::Null, Hmac::Sha256),
    ]);
    suites
}

impl Case {
    /// SAs that the packets go through: none where they only pass by.
    pub fn sas(&self) -> u32 {
        if self.way == Way::Forward { 0 } else { self.tunnels }
    }

    /// Bits of the ciphers' keys that the packets meet: 0 where they only pass by, and where nothing is encrypted.
    pub fn key_bits(&self) -> usize {
        if self.way == Way::Forward { 0 } else { self.suite.key_shape().cipher * 8 }
    }

    /// The suite as IOS writes it, unless it is AES-GCM, of which the bits of the key say all.
    pub fn other_suite(&self) -> Option<String> {
        let usual = matches!(self.suite, Suite::AesGcm { icv: IcvLen::Bytes16, .. });
        (!usual).then(|| self.suite.to_string())
    }
}

impl fmt::Display for Case {
    /// The name: `encrypt-64-1000sa-aes128`, `decrypt-imix-1sa-aes-128-sha256`, `encrypt-64-1sa-aes128-6in4`, or
    /// `forward-64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Forward => return write!(f, "forward-{}", self.size),
            Way::Encrypt => "encrypt",
            Way::Decrypt => "decrypt",
        };
        let suite = match self.other_suite() {
            None => format!("aes{}", self.key_bits()),
            Some(text) => text.replace("esp-", "").replace("-hmac", "").replace(' ', "-"),
        };
        write!(f, "{way}-{}-{}sa-{suite}", self.size, self.tunnels)?;
        self.headers.name().map_or(Ok(()), |name| write!(f, "-{name}"))?;
        if self.workers == 1 { Ok(()) } else { write!(f, "-{}workers", self.workers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_quick_ones_are_among_all() {
        let names = |quick| {
            let cases = Group::value_variants().iter().flat_map(move |group| group.cases(quick));
            cases.map(|case| case.to_string()).collect::<Vec<_>>()
        };
        let all: BTreeSet<String> = names(false).into_iter().collect();
        assert_eq!(all.len(), names(false).len());
        assert!(names(true).iter().all(|name| all.contains(name)));
        for name in ["encrypt-64-1sa-aes128", "decrypt-imix-1sa-aes-128-sha256", "encrypt-64-1sa-aes128-6in4"]
        {
            assert!(all.contains(name), "{name} is none of {all:?}");
        }
    }
}
