//! A negotiation that fails says at either end what each side wanted and where they part first.

mod common;

use common::*;
use ike::connection::{LocalProof, RemoteProof};
use ike::crypto::{Encryption, Group, Integrity, Prf, Secret};
use ike::endpoint::{Down, Failed};
use ike::negotiate::{Cause, Field, IkeProposal, Stage};
use ike::{Connection, Identity, IdentityMatch};
use model::{KeyLen, Mode};

/// What both ends have to say when A begins; neither has a child SA.
fn fail(a: Connection, b: Connection) -> (Failed, Failed) {
    let mut world = World::new(vec![a], vec![b]);
    world.a_initiates();
    world.run_seconds(30);
    world.assert_paired(0);
    let mut failures = [std::mem::take(&mut world.a.failures), std::mem::take(&mut world.b.failures)];
    let one = |failures: &mut Vec<Failed>| {
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures.pop().expect("one")
    };
    (one(&mut failures[0]), one(&mut failures[1]))
}

fn difference(failed: &Failed) -> (Field, Vec<String>, Vec<String>) {
    match &failed.explanation.cause {
        Cause::Proposals { difference: Some(one), theirs: Some(_), .. } => {
            (one.field, one.ours.clone(), one.theirs.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn with_ike(side: &str, change: impl FnOnce(&mut IkeProposal)) -> Connection {
    let mut connection = connection(side);
    change(&mut connection.proposals[0]);
    connection
}

#[test]
fn proposals_of_the_ike_sa() {
    let cbc = |side, change: fn(&mut IkeProposal)| {
        with_ike(side, |proposal| {
            proposal.encryption = vec![Encryption::AesCbc(KeyLen::Aes256)];
            proposal.integrity = vec![Integrity::HmacSha256];
            change(proposal);
        })
    };
    type Change = fn(&mut IkeProposal);
    let cases: [(Change, Field, &str, &str); 4] = [
        (
            |one| one.encryption = vec![Encryption::AesCbc(KeyLen::Aes128)],
            Field::Encryption,
            "aes-cbc-256",
            "aes-cbc-128",
        ),
        (|one| one.prf = vec![Prf::HmacSha1], Field::Prf, "prf-hmac-sha256", "prf-hmac-sha1"),
        (
            |one| one.integrity = vec![Integrity::HmacSha1],
            Field::Integrity,
            "hmac-sha256-128",
            "hmac-sha1-96",
        ),
        (|one| one.groups = vec![Group::Modp1024], Field::Group, "group31", "group2"),
    ];
    for (change, field, at_a, at_b) in cases {
        let (a, b) = fail(cbc("a", |_| {}), cbc("b", change));
        assert_eq!(difference(&a), (field, vec![at_a.into()], vec![at_b.into()]));
        assert_eq!(difference(&b), (field, vec![at_b.into()], vec![at_a.into()]));
        assert!(a.explanation.by_peer && !b.explanation.by_peer);
        assert_eq!(a.explanation.stage, Stage::Init);
    }
}

#[test]
fn the_most_alike_of_several_proposals_is_compared() {
    let mut a = connection("a");
    a.proposals.insert(
        0,
        IkeProposal {
            encryption: vec![Encryption::TripleDes],
            integrity: vec![Integrity::HmacSha1],
            prf: vec![Prf::HmacSha1],
            groups: vec![Group::Modp1024],
        },
    );
    let (_, b) = fail(a, with_ike("b", |one| one.groups = vec![Group::P384]));
    assert_eq!(difference(&b), (Field::Group, vec!["group20".into()], vec!["group31".into()]));
    assert_eq!(
        b.explanation.to_string(),
        "IKE_SA_INIT: refused: no proposal in common: first difference in dh-group: ours group20, theirs group31; \
         we offer (encryption aes-gcm-256, prf prf-hmac-sha256, dh-group group20); \
         they offer (encryption 3des, prf prf-hmac-sha1, integrity hmac-sha1-96, dh-group group2) or \
         (encryption aes-gcm-256, prf prf-hmac-sha256, dh-group group31)"
    );
}

#[test]
fn transform_sets() {
    let b = with_policy(connection("b"), |policy| policy.proposals = vec![cbc_proposal(Integrity::HmacSha1)]);
    let a =
        with_policy(connection("a"), |policy| policy.proposals = vec![cbc_proposal(Integrity::HmacSha512)]);
    let (a, b) = fail(a, b);
    assert_eq!(
        difference(&a),
        (Field::Integrity, vec!["hmac-sha512-256".into()], vec!["hmac-sha1-96".into()])
    );
    assert_eq!(
        difference(&b),
        (Field::Integrity, vec!["hmac-sha1-96".into()], vec!["hmac-sha512-256".into()])
    );
    assert_eq!((a.explanation.stage, a.policy.as_deref()), (Stage::Child, Some("net")));
    // Extended sequence numbers are a part of them.
    let a = with_policy(connection("a"), |policy| policy.proposals[0].esn = vec![true]);
    let b = with_policy(connection("b"), |policy| policy.proposals[0].esn = vec![false]);
    let (a, _) = fail(a, b);
    assert_eq!(difference(&a), (Field::Esn, vec!["on".into()], vec!["off".into()]));
}

#[test]
fn traffic_selectors() {
    let b = with_policy(connection("b"), |policy| policy.remote = vec![subnet("172.16.0.0/12")]);
    let (a, b) = fail(connection("a"), b);
    assert_eq!(
        a.explanation.cause.to_string(),
        "no traffic selectors in common: we want (local 10.1.0.0/16 remote 10.2.0.0/16); \
         they want (local 172.16.0.0/12 remote 10.2.0.0/16)"
    );
    assert_eq!(
        b.explanation.cause.to_string(),
        "no traffic selectors in common: we want (local 10.2.0.0/16 remote 172.16.0.0/12); \
         they want (local 10.2.0.0/16 remote 10.1.0.0/16)"
    );
}

#[test]
fn modes() {
    let transport = |side| with_policy(connection(side), |policy| policy.mode = Mode::Transport);
    let mut world = World::new(vec![transport("a")], vec![connection("b")]);
    world.a_initiates();
    world.run_seconds(30);
    // B has it in tunnel mode for a moment, until A says that this will not do.
    world.assert_paired(0);
    let cause = &world.a.failures[0].explanation.cause;
    assert_eq!(*cause, Cause::Mode { ours: Mode::Transport, theirs: Mode::Tunnel });
    let (_, b) = fail(connection("a"), transport("b"));
    assert_eq!(b.explanation.cause, Cause::Mode { ours: Mode::Transport, theirs: Mode::Tunnel });
}

#[test]
fn keys_and_identities_are_explained_at_home_only() {
    let other = Secret::new(b"another key".to_vec());
    let wrong_key = Connection { local_proof: LocalProof::SharedKey(other), ..connection("a") };
    let gw = |side: &str| Identity::Fqdn(format!("gw-{side}.example.net"));
    let wrong_name = Connection { local_identity: gw("x"), ..connection("a") };
    let wrong_peer = Connection { remote_identity: IdentityMatch::Exactly(gw("y")), ..connection("a") };
    let cases = [
        (wrong_key, Cause::SharedKey { identity: gw("a") }),
        (wrong_name, Cause::Identity { wanted: "fqdn gw-a.example.net".into(), presented: gw("x") }),
        (wrong_peer, Cause::OurIdentity { ours: gw("b"), wanted: gw("y") }),
    ];
    for (a, cause) in cases {
        let (a, b) = fail(a, connection("b"));
        assert_eq!(b.explanation.cause, cause);
        assert_eq!(
            a.explanation.to_string(),
            "IKE_AUTH: the peer refused: AUTHENTICATION_FAILED: to the peer, our identity or our proof of it is wrong; \
             its log says which"
        );
    }
}

#[test]
fn a_responder_with_another_key_is_not_believed() {
    let other = Secret::new(b"another key".to_vec());
    let a = Connection { remote_proof: RemoteProof::SharedKey(other), ..connection("a") };
    let mut world = World::new(vec![a], vec![connection("b")]);
    world.a_initiates();
    world.run_seconds(30);
    world.assert_paired(0);
    assert!(matches!(world.a.failures[0].explanation.cause, Cause::SharedKey { .. }));
    assert_eq!(world.a.ike_up, 0);
    assert_eq!(
        (world.a.ike_down.as_slice(), world.b.ike_down.as_slice()),
        (&[Down::Failed][..], &[Down::Peer][..])
    );
}

#[test]
fn a_peer_that_does_not_answer_or_that_nobody_expects() {
    let mut world = World::new(vec![connection("a")], vec![]);
    world.faults.lost = 100;
    world.a_initiates();
    world.run_seconds(300);
    assert_eq!(world.a.failures[0].explanation.cause, Cause::Timeout { tries: 6 });
    let (a, b) = fail(
        connection("a"),
        Connection { remote: vec!["203.0.113.0/24".parse().unwrap()], ..connection("b") },
    );
    assert_eq!(b.explanation.cause, Cause::NoConnection);
    assert!(a.explanation.by_peer);
}

#[test]
fn explanations_are_json_and_secrets_are_nowhere() {
    let (a, b) = fail(connection("a"), with_ike("b", |one| one.groups = vec![Group::P384]));
    for failed in [a, b] {
        let json = serde_json::to_value(&failed).unwrap();
        assert_eq!(json["explanation"]["cause"]["proposals"]["difference"]["field"], "group");
    }
    let text = format!("{:?}", connection("a"));
    assert!(!text.contains("a key that both know") && text.contains("Secret(20 bytes)"), "{text}");
}
