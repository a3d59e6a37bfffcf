//! A model written as text reads back as the same model.

#![allow(clippy::unwrap_used)] // In a test, a panic is the report.

mod common;

use common::{GOOD, configs};
use config::{Config, Secrets, parse, render};
use proptest::prelude::*;

fn good(text: &str) -> Config {
    match parse("random.conf", text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{text}\n{}", render(&errors, false)),
    }
}

fn keys(config: &Config) -> Vec<String> {
    let entries = config.crypto_maps().values().flat_map(|map| map.entries.values());
    let keys = entries.flat_map(|entry| [&entry.inbound, &entry.outbound]);
    keys.map(|key| key.key.expose().iter().map(|byte| format!("{byte:02x}")).collect()).collect()
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
    let seen =
        keys.iter().find(|key| masked.contains(key.as_str()) || format!("{config:?}").contains(key.as_str()));
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
