//! A model written as text reads back as the same model.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{GOOD, configs};
use config::{Config, Keying, Secrets, parse, render};
use proptest::prelude::*;

fn good(text: &str) -> Config {
    match parse("random.conf", text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{text}\n{}", render(&errors, false)),
    }
}

fn keys(config: &Config) -> Vec<String> {
    let entries = config.crypto_maps().values().flat_map(|map| map.entries.values());
    let manual = entries.filter_map(|entry| match &entry.keying {
        Keying::Manual(keys) => Some([keys.inbound.key.expose(), keys.outbound.key.expose()]),
        _ => None,
    });
    let mut keys: Vec<String> = manual.flatten().map(hex).collect();
    let keyrings = config.keyrings().values().flat_map(|keyring| &keyring.peers);
    for peer in config.isakmp_keys().iter().chain(keyrings) {
        let both = [peer.local.expose(), peer.remote.expose()];
        let ends = if peer.local == peer.remote { &both[..1] } else { &both[..] };
        keys.extend(ends.iter().map(|key| String::from_utf8((*key).to_vec()).unwrap_or_else(|_| hex(key))));
    }
    keys
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn survives(text: &str) {
    let config = good(text);
    let written = config.to_text(Secrets::Shown);
    let (again, warnings) = parse("written.conf", &written)
        .unwrap_or_else(|errors| panic!("{}\n{}", &*written, render(&errors, false)));
    assert_eq!(again, config, "{}", &*written);
    assert_eq!(again.to_text(Secrets::Shown), written);
    assert!(warnings.iter().all(|warning| !warning.message.contains("behind its mask")), "{}", &*written);
}

/// A masked text cannot be taken for a configuration: each of its keys is an error, and it holds none.
fn masks(text: &str) {
    let config = good(text);
    let masked = config.to_text(Secrets::Masked);
    let keys = keys(&config);
    // A short key may be a word of the language.
    let long = keys.iter().filter(|key| key.len() >= 16);
    let seen =
        { long }.find(|key| masked.contains(key.as_str()) || format!("{config:?}").contains(key.as_str()));
    assert_eq!(seen, None);
    let errors = match parse("masked.conf", &masked) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => {
            diagnostics.into_iter().filter(|d| d.severity == config::Severity::Error).collect()
        }
    };
    assert_eq!(errors.len(), keys.len(), "{}", render(&errors, false));
    assert!(errors.iter().all(|error| error.message.contains("masked")), "{}", render(&errors, false));
}

#[test]
fn the_repository_s_configurations_survive() {
    for text in GOOD {
        survives(text);
        masks(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_model_survives(text in configs()) {
        survives(&text);
        masks(&text);
    }
}
