//! Whom we believe: authorities, what they have revoked, and whether a certificate is for an identity.

use super::CertificateError;
use crate::identity::Identity;
use openssl::asn1::Asn1Time;
use openssl::pkey::{PKey, Public};
use openssl::sha::sha1;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{CrlStatus, X509, X509Crl, X509Ref, X509StoreContext};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The most certificates of a peer that we look at.
const MOST_CERTIFICATES: usize = 8;

/// Certification authorities, and lists of what they have revoked.
pub struct Trust {
    authorities: Vec<X509>,
    lists: Vec<X509Crl>,
    /// SHA-1 of each authority's public key: what a CERTREQ payload names.
    hashes: Vec<u8>,
}

impl Trust {
    /// Out of PEM: certificates of authorities, and any number of CRLs, each by itself. Where there is a CRL of an
    /// authority, it counts; where there is none, nothing of that authority is taken for revoked.
    ///
    /// # Errors
    /// [`CertificateError`] if one of them is not what it should be.
    pub fn from_pem(authorities: &[u8], lists: &[&[u8]]) -> Result<Trust, CertificateError> {
        let authorities =
            X509::stack_from_pem(authorities).map_err(|_| CertificateError::NotPem("a certificate"))?;
        if authorities.is_empty() {
            return Err(CertificateError::NotPem("a certificate"));
        }
        let lists = lists.iter().map(|pem| X509Crl::from_pem(pem)).collect::<Result<_, _>>();
        let mut hashes = Vec::new();
        for authority in &authorities {
            let key = authority.public_key().and_then(|key| key.public_key_to_der());
            hashes.extend(sha1(&key.map_err(|_| CertificateError::KeyType)?));
        }
        Ok(Trust { authorities, lists: lists.map_err(|_| CertificateError::NotPem("a CRL"))?, hashes })
    }

    /// The data of a CERTREQ payload.
    pub(crate) fn hashes(&self) -> &[u8] {
        &self.hashes
    }

    /// The public key of the peer's certificate, the first of `certificates` (DER), if an authority of ours stands behind it
    /// at that time (since 1970) and it is for that identity; else why not.
    pub(crate) fn check(
        &self,
        certificates: &[&[u8]],
        identity: &Identity,
        now: Duration,
    ) -> Result<PKey<Public>, String> {
        let parsed = certificates.iter().take(MOST_CERTIFICATES).map(|der| X509::from_der(der));
        let mut parsed = parsed.collect::<Result<Vec<X509>, _>>().map_err(|_| "it is malformed")?.into_iter();
        let own = parsed.next().ok_or("the peer sent none")?;
        let broken = |_| "OpenSSL cannot check it".to_owned();
        let mut between = Stack::new().map_err(broken)?;
        for certificate in parsed {
            between.push(certificate).map_err(broken)?;
        }
        let store = self.store(now).map_err(broken)?;
        let mut context = X509StoreContext::new().map_err(broken)?;
        let checked = context.init(&store, &own, &between, |context| {
            let right = context.verify_cert()?;
            let chain = context.chain().map(|chain| chain.iter().map(X509Ref::to_owned).collect());
            Ok((right, context.error(), chain.unwrap_or_else(Vec::new)))
        });
        let (right, error, chain) = checked.map_err(broken)?;
        if !right {
            return Err(error.error_string().to_owned());
        }
        self.check_revoked(&chain, now)?;
        if !is_for(&own, identity) {
            return Err("it is not for this identity".to_owned());
        }
        own.public_key().map_err(|_| "its key is of a kind that we do not know".to_owned())
    }

    fn store(&self, now: Duration) -> Result<X509Store, openssl::error::ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in &self.authorities {
            store.add_cert(authority.clone())?;
        }
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_time(now.as_secs().try_into().unwrap_or(i64::MAX));
        store.set_param(&parameters)?;
        Ok(store.build())
    }

    /// Looks each certificate of a chain up in the CRL of who issued it, which is the next in the chain.
    fn check_revoked(&self, chain: &[X509], now: Duration) -> Result<(), String> {
        let now = Asn1Time::from_unix(now.as_secs().try_into().unwrap_or(i64::MAX));
        let now = now.map_err(|_| "the time makes no sense".to_owned())?;
        for pair in chain.windows(2) {
            let [certificate, issuer] = pair else { continue };
            let name = issuer.subject_name().to_der().unwrap_or_default();
            let of_issuer = |list: &&X509Crl| list.issuer_name().to_der().is_ok_and(|list| list == name);
            for list in self.lists.iter().filter(of_issuer) {
                let signed = issuer.public_key().is_ok_and(|key| list.verify(&key).unwrap_or(false));
                if !signed {
                    return Err("the CRL of its authority is not signed by that".to_owned());
                }
                if list.next_update().is_some_and(|next| next < now) {
                    return Err("the CRL of its authority is out of date".to_owned());
                }
                if let CrlStatus::Revoked(_) = list.get_by_cert(certificate) {
                    return Err("it is revoked".to_owned());
                }
            }
        }
        Ok(())
    }
}

/// The same authorities, and the same lists.
impl PartialEq for Trust {
    fn eq(&self, other: &Trust) -> bool {
        let certificates =
            |trust: &Trust| -> Vec<_> { trust.authorities.iter().map(|one| one.to_der().ok()).collect() };
        let lists = |trust: &Trust| -> Vec<_> { trust.lists.iter().map(|one| one.to_der().ok()).collect() };
        certificates(self) == certificates(other) && lists(self) == lists(other)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} authorities, {} CRLs)", self.authorities.len(), self.lists.len())
    }
}

/// Whether a certificate is for an identity: its subject, or one of its alternative names (RFC 7296, section 3.5; RFC 4945,
/// section 3.1).
fn is_for(certificate: &X509, identity: &Identity) -> bool {
    if let Identity::DistinguishedName(der) = identity {
        return certificate.subject_name().to_der().is_ok_and(|subject| subject == *der);
    }
    let Some(names) = certificate.subject_alt_names() else { return false };
    names.iter().any(|name| match identity {
        Identity::Fqdn(wanted) => name.dnsname().is_some_and(|name| name.eq_ignore_ascii_case(wanted)),
        Identity::Email(wanted) => name.email().is_some_and(|name| name.eq_ignore_ascii_case(wanted)),
        Identity::Address(IpAddr::V4(wanted)) => name.ipaddress() == Some(&wanted.octets()),
        Identity::Address(IpAddr::V6(wanted)) => name.ipaddress() == Some(&wanted.octets()),
        _ => false,
    })
}
