use super::*;

const TEXT: &str = include_str!("../../config/testdata/ikev2.conf");

fn config(text: &str) -> Config {
    match config::parse("test.conf", text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", config::render(&errors, false)),
    }
}

/// Without the entries that want certificates.
fn shared(text: &str) -> Config {
    config(
        &text
            .replace("crypto map SITES 65000 ipsec-isakmp dynamic SPOKES\n", "")
            .replace("\n pki trustpoint CA\n", "\n")
            .replace(
                " authentication remote rsa-sig\n authentication local rsa-sig\n",
                " authentication remote pre-share\n authentication local pre-share\n keyring local PEERS\n",
            ),
    )
}

fn connections(config: &Config) -> Connections {
    let none = |_: &str| Err(io::ErrorKind::NotFound.into());
    Connections::new(config, &none).unwrap()
}

#[test]
fn each_peer_of_an_entry_is_a_way_with_its_own_key() {
    let connections = connections(&shared(TEXT));
    let names: Vec<&str> = connections.all.iter().map(|one| &*one.name).collect();
    assert_eq!(
        names,
        ["192.0.2.1 to 192.0.2.2 by SITES", "192.0.2.1 to 198.51.100.2 by SITES", "192.0.2.1 to 203.0.113.9"]
    );
    let [site, third, old] = connections.all.as_slice() else { panic!("{names:?}") };
    assert_eq!(site.local_identity.to_string(), "fqdn gw-a.example.net");
    assert_eq!(site.remote_identity.to_string(), "address 192.0.2.0/24 or fqdn gw-c.example.net");
    assert_eq!(third.remote_identity.to_string(), "fqdn gw-c.example.net");
    assert_eq!(old.remote_identity.to_string(), "address 203.0.113.9");
    assert!(matches!(&site.local_proof, LocalProof::SharedKey(key) if key.expose() == b"5ec2e7-of-the-two"));
    assert!(matches!(&third.remote_proof, RemoteProof::SharedKey(key) if key.expose().len() == 8));
    assert_eq!((site.lifetime, site.dpd), (Some(Duration::from_secs(28_800)), Some(Duration::from_secs(30))));
    assert_eq!(site.proposals.len(), 2);
    let policy = &site.children[0];
    assert_eq!((&*policy.name, policy.proposals.len(), policy.mode), ("SITES 10", 2, Mode::Tunnel));
    assert_eq!(
        (policy.local[0].to_string(), policy.remote[0].to_string()),
        ("10.1.0.0/24".into(), "10.2.0.0/24".into())
    );
    assert_eq!(connections.peers("SITES 10"), 2);
    assert_eq!(connections.by_entry.len(), 2);
    assert!(!format!("{connections:?}").contains("5ec2e7"));
}

#[test]
fn what_did_not_change_stays_the_very_same() {
    let before = connections(&shared(TEXT));
    let mut same = connections(&shared(TEXT));
    assert_eq!(same.keep(&before), Vec::<Arc<str>>::new());
    assert!(Arc::ptr_eq(&same.all[0], &before.all[0]));
    let mut other = connections(&shared(&TEXT.replace("5ec2e7-of-the-two", "5ec2e7-of-the-2")));
    assert_eq!(other.keep(&before), [before.all[0].name.clone()]);
    assert!(Arc::ptr_eq(&other.all[1], &before.all[1]));
    let mut gone = connections(&shared(&TEXT.replace(" set peer 198.51.100.2\n", "")));
    assert_eq!(gone.keep(&before), [before.all[1].name.clone()]);
}

#[test]
fn a_spoke_is_known_by_its_own_key_before_it_is_anybody() {
    let text = include_str!("../../config/testdata/broken/wildcard.conf").replace(" frobnicate\n", "");
    let text = text.replace(
        "crypto ikev2 profile",
        " peer spoke\n  identity fqdn spoke.example.net\n  pre-shared-key another\ncrypto ikev2 profile",
    );
    let connections = connections(&config(&text));
    let wanted: Vec<String> = connections.all.iter().map(|one| one.remote_identity.to_string()).collect();
    assert_eq!(wanted, ["fqdn spoke.example.net", "any"]);
    assert!(connections.tunnels.values().all(|tunnel| tunnel.ways.is_empty() && tunnel.dynamic.is_some()));
    assert_eq!(connections.all[0].children[0].local.len(), 2);
    assert_eq!(connections.locals.len(), 1);
}

#[test]
fn a_trustpoint_that_cannot_be_read_is_named() {
    let none = |_: &str| Err(io::ErrorKind::NotFound.into());
    let said = Connections::new(&config(TEXT), &none).unwrap_err().to_string();
    assert!(said.starts_with("trustpoint CA: cannot read /etc/espalier/ca.pem: "), "{said}");
    let junk = |_: &str| Ok(Zeroizing::new(b"junk".to_vec()));
    let said = Connections::new(&config(TEXT), &junk).unwrap_err().to_string();
    assert!(said.contains("/etc/espalier/ca.pem: this is not PEM of a certificate"), "{said}");
}

#[test]
fn an_sa_is_for_what_both_lists_permit_and_no_more() {
    let selector = |source: &str, destination: &str| {
        let any = model::PortRange::ANY;
        Selector::new(source.parse().unwrap(), destination.parse().unwrap(), model::Protocol::Any, any, any)
            .unwrap()
    };
    let permits = [selector("10.1.0.0/24", "10.2.0.0/24"), selector("10.3.0.0/24", "10.4.0.0/24")];
    let (local, remote) = sides(&permits);
    assert_eq!((local.len(), remote.len()), (2, 2));
    // Not what goes from the one's source to the other's destination, which the selectors of IKE cannot leave out.
    assert_eq!(selectors(&permits, &local, &remote).unwrap(), permits);
    let narrow = [ends(&selector("10.1.0.128/25", "0.0.0.0/0")).0];
    assert_eq!(selectors(&permits, &narrow, &remote).unwrap(), [selector("10.1.0.128/25", "10.2.0.0/24")]);
    assert_eq!(selectors(&permits, &remote, &local), None);
    assert_eq!(selectors(&[], &narrow, &remote).unwrap().len(), 2);
}
