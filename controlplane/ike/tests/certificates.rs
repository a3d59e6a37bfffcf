//! Proof by certificates: every kind of key, and all that can be wrong with them.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod common;

use common::certificates::{Authority, Key, key};
use common::*;
use ike::auth::{CertificateError, Credential, Trust};
use ike::connection::{LocalProof, RemoteProof};
use ike::endpoint::Failed;
use ike::negotiate::Cause;
use ike::{Connection, Identity, Settings};
use openssl::x509::{X509, X509Crl};
use std::sync::Arc;

fn pem(certificates: &[&X509]) -> Vec<u8> {
    certificates.iter().flat_map(|one| one.to_pem().unwrap()).collect()
}

/// One side's proof: certificates, and a key.
fn credential(chain: &[&X509], key: &openssl::pkey::PKey<openssl::pkey::Private>, pss: bool) -> LocalProof {
    let key = key.private_key_to_pem_pkcs8().unwrap();
    LocalProof::Certificate(Arc::new(Credential::from_pem(&pem(chain), &key, pss).unwrap()))
}

fn trust(authority: &Authority, lists: &[&X509Crl]) -> RemoteProof {
    let lists: Vec<Vec<u8>> = lists.iter().map(|list| list.to_pem().unwrap()).collect();
    let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
    RemoteProof::Certificate(Arc::new(Trust::from_pem(&pem(&[&authority.certificate]), &lists).unwrap()))
}

fn side(us: &str, local_proof: LocalProof, remote_proof: RemoteProof) -> Connection {
    Connection { local_proof, remote_proof, ..connection(us) }
}

const HOSTS: [&str; 2] = ["gw-a.example.net", "gw-b.example.net"];

#[test]
fn every_kind_of_key_with_an_authority_between() {
    let root = Authority::new("root");
    let between = root.below("between");
    for kind in [Key::Rsa, Key::P256, Key::P384, Key::P521, Key::Ed25519] {
        for pss in [false, true] {
            let sides = HOSTS.map(|host| {
                let key = key(kind);
                let own = between.issue(host, &key, (-1, 30));
                credential(&[&own, &between.certificate], &key, pss)
            });
            let [a, b] = sides;
            // Certificates are long: they go in fragments.
            let settings = Settings { fragment_above: 576, jobs: true, ..Settings::default() };
            let a = side("a", a, trust(&root, &[]));
            let b = side("b", b, trust(&root, &[]));
            let mut world = World::with_settings(settings, vec![a], vec![b]);
            world.slow = 100;
            world.a_initiates();
            world.run_seconds(5);
            assert!(
                world.b.failures.is_empty() && world.a.failures.is_empty(),
                "{kind:?} {:?}",
                world.b.failures
            );
            world.assert_paired(1);
            world.assert_others_computed();
            assert!(world.largest <= 576);
        }
    }
}

#[test]
fn one_side_by_certificate_and_the_other_by_key() {
    let root = Authority::new("root");
    let key = key(Key::P256);
    let own = root.issue(HOSTS[1], &key, (-1, 30));
    let a = Connection { remote_proof: trust(&root, &[]), ..connection("a") };
    let b = Connection { local_proof: credential(&[&own], &key, false), ..connection("b") };
    let mut world = World::new(vec![a], vec![b]);
    world.a_initiates();
    world.run_seconds(5);
    world.assert_paired(1);
}

/// What B says of A, which proves itself by that chain; A believes B in any case.
fn refused(
    chain: &[&X509],
    key: &openssl::pkey::PKey<openssl::pkey::Private>,
    believed: RemoteProof,
) -> Failed {
    let a = Connection { local_proof: credential(chain, key, false), ..connection("a") };
    let b = Connection { remote_proof: believed, ..connection("b") };
    let mut world = World::new(vec![a], vec![b]);
    world.a_initiates();
    world.run_seconds(5);
    world.assert_paired(0);
    assert_eq!(world.a.ike_up + world.b.ike_up, 0);
    world.b.failures.pop().expect("B says why")
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_at_home() {
    let (root, stranger) = (Authority::new("root"), Authority::new("root"));
    let key = key(Key::P256);
    let cases = [
        (root.issue(HOSTS[0], &key, (-30, -1)), vec![], "certificate has expired"),
        (root.issue(HOSTS[0], &key, (1, 30)), vec![], "certificate is not yet valid"),
        (root.issue("gw-x.example.net", &key, (-1, 30)), vec![], "it is not for this identity"),
        (stranger.issue(HOSTS[0], &key, (-1, 30)), vec![], "certificate signature failure"),
    ];
    for (own, lists, why) in cases {
        let failed = refused(&[&own], &key, trust(&root, &lists));
        let identity = Identity::Fqdn(HOSTS[0].into());
        assert_eq!(failed.explanation.cause, Cause::Certificate { identity, reason: why.into() });
    }
    let own = root.issue(HOSTS[0], &key, (-1, 30));
    let other = root.issue(HOSTS[1], &key, (-1, 30));
    let lists = [
        (root.revoke(&[&own], 30), "it is revoked"),
        (root.revoke(&[&other], -2), "the CRL of its authority is out of date"),
        (stranger.revoke(&[&other], 30), "the CRL of its authority is not signed by that"),
    ];
    for (list, why) in lists {
        let failed = refused(&[&own], &key, trust(&root, &[&list]));
        assert!(failed.explanation.to_string().ends_with(why), "{}", failed.explanation);
    }
    // A CRL that does not name it does no harm.
    let list = root.revoke(&[&other], 30);
    let a = Connection { local_proof: credential(&[&own], &key, false), ..connection("a") };
    let b = Connection { remote_proof: trust(&root, &[&list]), ..connection("b") };
    let mut world = World::new(vec![a], vec![b]);
    world.a_initiates();
    world.run_seconds(5);
    world.assert_paired(1);
}

#[test]
fn a_key_where_a_certificate_is_wanted_and_the_other_way_round() {
    let root = Authority::new("root");
    let b = Connection { remote_proof: trust(&root, &[]), ..connection("b") };
    let mut world = World::new(vec![connection("a")], vec![b]);
    world.a_initiates();
    world.run_seconds(5);
    assert_eq!(
        world.b.failures[0].explanation.cause,
        Cause::Method { wanted: "certificate", presented: "SHARED_KEY".into() }
    );
    let key = key(Key::P256);
    let own = root.issue(HOSTS[0], &key, (-1, 30));
    let failed = refused(&[&own], &key, connection("b").remote_proof);
    assert!(matches!(failed.explanation.cause, Cause::Method { wanted: "pre-shared key", .. }));
}

#[test]
fn files_that_will_not_do_are_refused() {
    let root = Authority::new("root");
    let (key, other) = (key(Key::P256), key(Key::P256));
    let own = root.issue(HOSTS[0], &key, (-1, 30));
    let other = other.private_key_to_pem_pkcs8().unwrap();
    let refused =
        |certificates: &[u8], key: &[u8]| Credential::from_pem(certificates, key, false).unwrap_err();
    assert_eq!(refused(&pem(&[&own]), &other), CertificateError::NotItsKey);
    assert_eq!(refused(b"", &other), CertificateError::NotPem("a certificate"));
    assert!(matches!(refused(&pem(&[&own]), b"no key"), CertificateError::NotPem(_)));
    assert!(Trust::from_pem(b"nothing", &[]).is_err());
    assert!(Trust::from_pem(&pem(&[&root.certificate]), &[b"no list"]).is_err());
}
