//! What IKEv2 agrees on and how peers prove themselves: proposals, policies, keyrings, profiles, trustpoints.

use crate::Name;
use model::{Hmac, KeyLen, Prefix};
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// A cipher of an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum IkeCipher {
    /// `3des`. Weak.
    TripleDes,
    /// `aes-cbc-BITS`.
    AesCbc(KeyLen),
    /// `aes-gcm-BITS`, which brings its own integrity (RFC 5282).
    AesGcm(KeyLen),
}

impl IkeCipher {
    /// Every one.
    pub const ALL: [IkeCipher; 7] = [
        IkeCipher::TripleDes,
        IkeCipher::AesCbc(KeyLen::Aes128),
        IkeCipher::AesCbc(KeyLen::Aes192),
        IkeCipher::AesCbc(KeyLen::Aes256),
        IkeCipher::AesGcm(KeyLen::Aes128),
        IkeCipher::AesGcm(KeyLen::Aes192),
        IkeCipher::AesGcm(KeyLen::Aes256),
    ];

    /// Whether it brings its own integrity, so that a proposal has none beside it.
    pub const fn is_aead(self) -> bool {
        matches!(self, IkeCipher::AesGcm(_))
    }

    /// As the configuration writes it.
    pub const fn word(self) -> &'static str {
        match self {
            IkeCipher::TripleDes => "3des",
            IkeCipher::AesCbc(KeyLen::Aes128) => "aes-cbc-128",
            IkeCipher::AesCbc(KeyLen::Aes192) => "aes-cbc-192",
            IkeCipher::AesCbc(KeyLen::Aes256) => "aes-cbc-256",
            IkeCipher::AesGcm(KeyLen::Aes128) => "aes-gcm-128",
            IkeCipher::AesGcm(KeyLen::Aes192) => "aes-gcm-192",
            IkeCipher::AesGcm(KeyLen::Aes256) => "aes-gcm-256",
        }
    }
}

/// A Diffie-Hellman group, by its number in IKE's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct DhGroup(u16);

impl DhGroup {
    /// Every one that there is here.
    pub const ALL: [DhGroup; 9] = [
        DhGroup(2),
        DhGroup(5),
        DhGroup(14),
        DhGroup(15),
        DhGroup(16),
        DhGroup(19),
        DhGroup(20),
        DhGroup(21),
        DhGroup(31),
    ];

    /// By its number; `None` if it is not here.
    pub fn new(number: u16) -> Option<DhGroup> {
        DhGroup::ALL.into_iter().find(|group| group.0 == number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// MODP of 1024 or 1536 bits (RFC 8247, section 2.4).
    pub const fn is_weak(self) -> bool {
        self.0 < 14
    }
}

/// `crypto ikev2 proposal`: of each list one is to be chosen, and earlier ones are preferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IkeProposal {
    /// Its name.
    pub name: Name,
    /// At least one.
    pub encryption: Vec<IkeCipher>,
    /// Beside encryption that has none of its own; empty where none needs it.
    pub integrity: Vec<Hmac>,
    /// Pseudorandom functions; empty: those of `integrity`.
    pub prf: Vec<Hmac>,
    /// At least one.
    pub groups: Vec<DhGroup>,
}

/// `crypto ikev2 policy`: the proposals of IKE SAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IkePolicy {
    /// Its name.
    pub name: Name,
    /// Names of proposals, at least one.
    pub proposals: Vec<Name>,
    /// `match address local`: for IKE SAs of these addresses of ours; empty: of all.
    pub local: Vec<IpAddr>,
}

/// A pre-shared key. Wiped when dropped; `Debug` and serde show nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey(Zeroizing<Vec<u8>>);

impl SharedKey {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> SharedKey {
        SharedKey(Zeroizing::new(bytes))
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({} bytes)", self.0.len())
    }
}

/// Who one end says it is (RFC 7296, section 3.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IkeIdentity {
    /// `address`.
    Address(IpAddr),
    /// `fqdn`.
    Fqdn(String),
    /// `email`.
    Email(String),
    /// `key-id`.
    KeyId(String),
}

/// `match identity remote`: whom a profile is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityRule {
    /// Whoever says that its address is one of these.
    Address(Prefix),
    /// `fqdn`.
    Fqdn(String),
    /// `fqdn domain`: every name below it.
    FqdnDomain(String),
    /// `email`.
    Email(String),
    /// `email domain`: everybody at it.
    EmailDomain(String),
    /// `key-id`.
    KeyId(String),
    /// Whoever has the key.
    Any,
}

impl IdentityRule {
    /// Whether that identity is meant.
    pub fn accepts(&self, identity: &IkeIdentity) -> bool {
        let below = |name: &str, domain: &str, separator: char| {
            let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
            name.strip_suffix(&domain).is_some_and(|host| host.len() > 1 && host.ends_with(separator))
        };
        match (self, identity) {
            (IdentityRule::Any, _) => true,
            (IdentityRule::Address(prefix), IkeIdentity::Address(address)) => prefix.contains(address),
            (IdentityRule::Fqdn(wanted), IkeIdentity::Fqdn(name))
            | (IdentityRule::Email(wanted), IkeIdentity::Email(name)) => wanted.eq_ignore_ascii_case(name),
            (IdentityRule::FqdnDomain(domain), IkeIdentity::Fqdn(name)) => below(name, domain, '.'),
            (IdentityRule::EmailDomain(domain), IkeIdentity::Email(name)) => {
                below(name, domain, '@') || below(name, domain, '.')
            }
            (IdentityRule::KeyId(wanted), IkeIdentity::KeyId(id)) => wanted == id,
            _ => false,
        }
    }
}

/// A peer of a keyring: whose key it is, and the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyringPeer {
    /// `peer NAME`; the keys of `crypto keyring` and `crypto isakmp key` have none.
    pub name: Option<Name>,
    /// Where it is; `None`: anywhere, and then it has an identity.
    pub address: Option<Prefix>,
    /// Who it says it is; `None`: whoever the profile is for.
    pub identity: Option<IkeIdentity>,
    /// With which we prove ourselves.
    #[serde(skip)]
    pub local: SharedKey,
    /// With which the peer has to.
    #[serde(skip)]
    pub remote: SharedKey,
}

impl KeyringPeer {
    /// The key is for whoever has it, wherever from.
    pub fn is_wildcard(&self) -> bool {
        self.identity.is_none() && self.address.is_none_or(|prefix| prefix.prefix_len() == 0)
    }
}

/// `crypto ikev2 keyring`, or `crypto keyring` of IKEv1's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keyring {
    /// Its name.
    pub name: Name,
    /// It was written as `crypto ikev2 keyring`, with peers that have names.
    pub ikev2: bool,
    /// In their order.
    pub peers: Vec<KeyringPeer>,
}

/// How one end proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// `pre-share`.
    PreShare,
    /// `rsa-sig` or `ecdsa-sig`: a signature by the key of a certificate (RFC 7427), whatever its kind.
    Signature,
}

/// `crypto ikev2 profile`: who the peer is, who we are, and how both prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IkeProfile {
    /// Its name.
    pub name: Name,
    /// At least one.
    pub matches: Vec<IdentityRule>,
    /// Who we say we are; `None`: our address.
    pub identity: Option<IkeIdentity>,
    /// How we prove it.
    pub local: Proof,
    /// How the peer has to.
    pub remote: Proof,
    /// Name of the keyring; there is one if either proof is a pre-shared key.
    pub keyring: Option<Name>,
    /// Name of the trustpoint; there is one if either proof is a signature.
    pub trustpoint: Option<Name>,
    /// How long an IKE SA may serve, in seconds.
    pub lifetime: u32,
    /// `reauth`: how long the proofs of both are good for, in seconds; `None`: as long as the IKE SA is rekeyed.
    pub reauth: Option<u32>,
    /// `dpd`: after how many seconds of silence to ask whether the peer is alive; `None`: the gateway's
    /// ([`crate::Config::dpd`]).
    pub dpd: Option<u16>,
}

impl IkeProfile {
    /// `lifetime` where nothing is said: a day, as on IOS.
    pub const DEFAULT_LIFETIME: u32 = 86_400;

    /// Whether the profile is for that peer.
    pub fn accepts(&self, identity: &IkeIdentity) -> bool {
        self.matches.iter().any(|rule| rule.accepts(identity))
    }
}

/// `crypto pki trustpoint`: files of certificates, as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trustpoint {
    /// Its name.
    pub name: Name,
    /// `ca-certificate`: of the authorities that are believed.
    pub authorities: String,
    /// `certificate`: our own, and those between it and an authority that the peer believes.
    pub certificate: Option<String>,
    /// `private-key`: that of our certificate; there is one exactly if there is a certificate.
    pub private_key: Option<String>,
    /// `crl`: what authorities have revoked.
    pub revoked: Vec<String>,
}
