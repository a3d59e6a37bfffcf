//! Authorities and certificates, made for a test.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use super::TODAY;
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{
    X509, X509Builder, X509Crl, X509CrlBuilder, X509Extension, X509Name, X509NameBuilder, X509RevokedBuilder,
};

const DAY: i64 = 24 * 3600;

/// Days from [`TODAY`].
fn day(days: i64) -> Asn1Time {
    Asn1Time::from_unix(TODAY.as_secs() as i64 + days * DAY).unwrap()
}

fn name(text: &str) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", text).unwrap();
    name.build()
}

#[derive(Clone, Copy, Debug)]
pub enum Key {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

pub fn key(kind: Key) -> PKey<Private> {
    let curve =
        |nid| PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap()).unwrap();
    match kind {
        Key::Rsa => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
        Key::P256 => curve(Nid::X9_62_PRIME256V1),
        Key::P384 => curve(Nid::SECP384R1),
        Key::P521 => curve(Nid::SECP521R1),
        Key::Ed25519 => PKey::generate_ed25519().unwrap(),
    }
}

fn digest(key: &PKey<Private>) -> MessageDigest {
    if key.id() == Id::ED25519 { MessageDigest::null() } else { MessageDigest::sha256() }
}

/// Whoever signs certificates.
pub struct Authority {
    pub certificate: X509,
    key: PKey<Private>,
    serial: std::cell::Cell<u32>,
}

impl Authority {
    pub fn new(common_name: &str) -> Authority {
        let key = key(Key::P256);
        let certificate =
            build(&name(common_name), &key, &name(common_name), &key, 1, (-10, 1000), true, None);
        Authority { certificate, key, serial: std::cell::Cell::new(2) }
    }

    /// An authority below this one.
    pub fn below(&self, common_name: &str) -> Authority {
        let key = key(Key::P256);
        let issuer = self.certificate.subject_name().to_owned().unwrap();
        let certificate =
            build(&name(common_name), &key, &issuer, &self.key, self.next(), (-10, 1000), true, None);
        Authority { certificate, key, serial: std::cell::Cell::new(2) }
    }

    fn next(&self) -> u32 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// A certificate for a host, good between these days from today.
    pub fn issue(&self, host: &str, key: &PKey<Private>, days: (i64, i64)) -> X509 {
        let issuer = self.certificate.subject_name().to_owned().unwrap();
        build(&name(host), key, &issuer, &self.key, self.next(), days, false, Some(host))
    }

    /// A CRL with these certificates in it, good until that day.
    pub fn revoke(&self, certificates: &[&X509], until: i64) -> X509Crl {
        let mut list = X509CrlBuilder::new().unwrap();
        list.set_issuer_name(self.certificate.subject_name()).unwrap();
        list.set_last_update(&day(-5)).unwrap();
        list.set_next_update(&day(until)).unwrap();
        for certificate in certificates {
            let mut revoked = X509RevokedBuilder::new().unwrap();
            revoked.set_serial_number(certificate.serial_number()).unwrap();
            revoked.set_revocation_date(&day(-1)).unwrap();
            list.add_revoked(revoked.build()).unwrap();
        }
        // OpenSSL's builder insists on these two: any key identifier, and number 1.
        let extensions: [(&str, &[u8]); 2] =
            [("2.5.29.35", &[0x30, 6, 0x80, 4, 1, 2, 3, 4]), ("2.5.29.20", &[2, 1, 1])];
        for (oid, der) in extensions {
            let oid = Asn1Object::from_str(oid).unwrap();
            let der = Asn1OctetString::new_from_bytes(der).unwrap();
            list.append_extension(X509Extension::new_from_der(&oid, false, &der).unwrap()).unwrap();
        }
        list.sign(&self.key, MessageDigest::sha256()).unwrap();
        list.build().unwrap()
    }
}

#[expect(clippy::too_many_arguments, reason = "all that a certificate is made of")]
fn build(
    subject: &X509Name,
    key: &PKey<Private>,
    issuer: &X509Name,
    issuer_key: &PKey<Private>,
    serial: u32,
    days: (i64, i64),
    is_authority: bool,
    host: Option<&str>,
) -> X509 {
    let mut certificate: X509Builder = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
    certificate.set_subject_name(subject).unwrap();
    certificate.set_issuer_name(issuer).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&day(days.0)).unwrap();
    certificate.set_not_after(&day(days.1)).unwrap();
    if is_authority {
        certificate.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    if let Some(host) = host {
        let names = SubjectAlternativeName::new().dns(host).build(&certificate.x509v3_context(None, None));
        certificate.append_extension(names.unwrap()).unwrap();
    }
    certificate.sign(issuer_key, digest(issuer_key)).unwrap();
    certificate.build()
}
