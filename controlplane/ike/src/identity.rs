//! Who a peer says it is (RFC 7296, section 3.5), and who we want it to be.

use crate::message::IdBody;
use model::Prefix;
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    Address(IpAddr),
    /// ID_FQDN.
    Fqdn(String),
    /// ID_RFC822_ADDR.
    Email(String),
    /// ID_DER_ASN1_DN: an encoded distinguished name.
    DistinguishedName(Vec<u8>),
    /// ID_KEY_ID: bytes that only the two ends understand.
    KeyId(Vec<u8>),
    /// Of a type that we do not know, or malformed: it equals itself, and nobody wants it.
    Unknown(u8, Vec<u8>),
}

impl Identity {
    /// Out of a payload.
    pub fn parse(IdBody(body): IdBody<'_>) -> Identity {
        let (kind, data) = match body {
            [kind, _, _, _, data @ ..] => (*kind, data),
            _ => (0, body),
        };
        let text = || std::str::from_utf8(data).ok().filter(|text| !text.is_empty()).map(str::to_owned);
        let known = match kind {
            1 => <[u8; 4]>::try_from(data).ok().map(|ip| Identity::Address(Ipv4Addr::from(ip).into())),
            2 => text().map(Identity::Fqdn),
            3 => text().map(Identity::Email),
            5 => <[u8; 16]>::try_from(data).ok().map(|ip| Identity::Address(Ipv6Addr::from(ip).into())),
            9 => Some(Identity::DistinguishedName(data.to_vec())),
            11 => Some(Identity::KeyId(data.to_vec())),
            _ => None,
        };
        known.unwrap_or_else(|| Identity::Unknown(kind, data.to_vec()))
    }

    /// The body of a payload: type, three zeros, data.
    pub fn to_body(&self) -> Vec<u8> {
        let (kind, data): (u8, Vec<u8>) = match self {
            Identity::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
            Identity::Fqdn(name) => (2, name.as_bytes().to_vec()),
            Identity::Email(name) => (3, name.as_bytes().to_vec()),
            Identity::Address(IpAddr::V6(ip)) => (5, ip.octets().to_vec()),
            Identity::DistinguishedName(der) => (9, der.clone()),
            Identity::KeyId(id) => (11, id.clone()),
            Identity::Unknown(kind, data) => (*kind, data.clone()),
        };
        [vec![kind, 0, 0, 0], data].concat()
    }
}

/// As people write it; what is not text, in hex. Nothing in it can steer a terminal.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().take(64).try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Identity::Address(ip) => write!(f, "address {ip}"),
            Identity::Fqdn(name) => write!(f, "fqdn {}", name.escape_debug()),
            Identity::Email(name) => write!(f, "email {}", name.escape_debug()),
            Identity::DistinguishedName(der) => match crate::auth::distinguished_name(der) {
                Some(text) => write!(f, "dn {}", text.escape_debug()),
                None => f.write_str("dn ").and_then(|()| hex(f, der)),
            },
            Identity::KeyId(id) => match std::str::from_utf8(id) {
                Ok(text) => write!(f, "key-id {}", text.escape_debug()),
                Err(_) => f.write_str("key-id 0x").and_then(|()| hex(f, id)),
            },
            Identity::Unknown(kind, data) => write!(f, "type {kind} 0x").and_then(|()| hex(f, data)),
        }
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which identities of a peer will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityMatch {
    /// Whoever has the key. With a pre-shared key and peers of any address, that is a hole for whoever learns the key.
    Any,
    /// This one.
    Exactly(Identity),
    /// Whoever says that it is one of these addresses.
    Within(Prefix),
    /// Any FQDN below this domain, such as `example.net`.
    Domain(String),
    /// Any e-mail address at this domain or below it.
    EmailDomain(String),
    /// What any of these accepts.
    AnyOf(Vec<IdentityMatch>),
}

impl IdentityMatch {
    /// Whether that one will do.
    pub fn accepts(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (_, Identity::Unknown(..)) => false,
            (IdentityMatch::Any, _) => true,
            (IdentityMatch::Exactly(wanted), _) => is_same(wanted, identity),
            (IdentityMatch::AnyOf(wanted), _) => wanted.iter().any(|wanted| wanted.accepts(identity)),
            (IdentityMatch::Within(prefix), Identity::Address(address)) => prefix.contains(address),
            (IdentityMatch::Domain(domain), Identity::Fqdn(name)) => is_below(name, domain, '.'),
            (IdentityMatch::EmailDomain(domain), Identity::Email(name)) => {
                is_below(name, domain, '.') || is_below(name, domain, '@')
            }
            (IdentityMatch::Within(_) | IdentityMatch::Domain(_) | IdentityMatch::EmailDomain(_), _) => false,
        }
    }
}

impl fmt::Display for IdentityMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityMatch::Any => f.write_str("any"),
            IdentityMatch::Exactly(identity) => write!(f, "{identity}"),
            IdentityMatch::Within(prefix) => write!(f, "address {prefix}"),
            IdentityMatch::Domain(domain) => write!(f, "fqdn domain {domain}"),
            IdentityMatch::EmailDomain(domain) => write!(f, "email domain {domain}"),
            IdentityMatch::AnyOf(wanted) => {
                let names: Vec<String> = wanted.iter().map(IdentityMatch::to_string).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

/// Names of hosts are compared without regard to case (RFC 4343).
fn is_same(one: &Identity, other: &Identity) -> bool {
    match (one, other) {
        (Identity::Fqdn(one), Identity::Fqdn(other)) | (Identity::Email(one), Identity::Email(other)) => {
            one.eq_ignore_ascii_case(other)
        }
        _ => one == other,
    }
}

fn is_below(name: &str, domain: &str, separator: char) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|host| host.len() > 1 && host.ends_with(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_go_over_the_wire() {
        for identity in [
            Identity::Address("192.0.2.1".parse().unwrap()),
            Identity::Address("2001:db8::1".parse().unwrap()),
            Identity::Fqdn("gw.example.net".into()),
            Identity::Email("a@example.net".into()),
            Identity::KeyId(vec![0, 255]),
            Identity::Unknown(77, vec![1]),
        ] {
            assert_eq!(Identity::parse(IdBody(&identity.to_body())), identity);
        }
        assert_eq!(Identity::parse(IdBody(&[1, 0, 0, 0, 10, 0, 0])), Identity::Unknown(1, vec![10, 0, 0]));
    }

    #[test]
    fn matches_are_as_wide_as_they_say() {
        let name = |text: &str| Identity::Fqdn(text.into());
        assert!(IdentityMatch::Exactly(name("GW.example.net")).accepts(&name("gw.EXAMPLE.net")));
        assert!(
            !IdentityMatch::Exactly(name("gw.example.net"))
                .accepts(&Identity::KeyId(b"gw.example.net".into()))
        );
        let domain = IdentityMatch::Domain("example.net".into());
        let email = Identity::Email("x@example.net".into());
        assert!(domain.accepts(&name("a.example.net")) && !domain.accepts(&email));
        assert!(IdentityMatch::EmailDomain("example.net".into()).accepts(&email));
        let within = IdentityMatch::Within("192.0.2.0/24".parse().unwrap());
        let address = |text: &str| Identity::Address(text.parse().unwrap());
        assert!(within.accepts(&address("192.0.2.9")) && !within.accepts(&address("192.0.3.9")));
        let either = IdentityMatch::AnyOf(vec![domain.clone(), within]);
        assert!(either.accepts(&address("192.0.2.9")) && either.accepts(&name("a.example.net")));
        assert!(!either.accepts(&email));
        assert!(!domain.accepts(&name("example.net")) && !domain.accepts(&name("badexample.net")));
        assert!(!IdentityMatch::Any.accepts(&Identity::Unknown(1, Vec::new())));
        assert_eq!(name("a\u{1b}[31m").to_string(), "fqdn a\\u{1b}[31m");
    }
}
