//! What IKE is told, as text.

use super::Secrets;
use crate::parse::hash_word;
use crate::source::MASK;
use crate::{
    Config, Entry, IdentityRule, IkeIdentity, IkeProfile, IkeProposal, Keying, Keyring, KeyringPeer,
    Negotiation, Proof, SaLifetime, SharedKey, TfcSettings, Trustpoint,
};
use model::{Dummies, Prefix, TfcPadding};
use std::fmt::{self, Write as _};

/// All of it but crypto maps.
pub(super) fn write(text: &mut String, config: &Config, secrets: Secrets) -> fmt::Result {
    for proposal in config.ike_proposals.values() {
        write_proposal(text, proposal)?;
    }
    for policy in config.ike_policies.values() {
        writeln!(text, "crypto ikev2 policy {}", policy.name)?;
        policy.local.iter().try_for_each(|local| writeln!(text, " match address local {local}"))?;
        policy.proposals.iter().try_for_each(|proposal| writeln!(text, " proposal {proposal}"))?;
        writeln!(text, "!")?;
    }
    for key in &config.keys {
        write!(text, "crypto isakmp key ")?;
        write_key(text, &key.remote, secrets)?;
        write_whose(text, key)?;
        writeln!(text, "\n!")?;
    }
    for keyring in config.keyrings.values() {
        write_keyring(text, keyring, secrets)?;
    }
    for trustpoint in config.trustpoints.values() {
        write_trustpoint(text, trustpoint)?;
    }
    for profile in config.ike_profiles.values() {
        write_profile(text, profile)?;
    }
    if let Some(seconds) = config.dpd {
        writeln!(text, "crypto ikev2 dpd {seconds} 2 on-demand\n!")?;
    }
    write_lifetime(text, "crypto ipsec security-association", config.lifetime)?;
    write_tfc(text, "crypto ipsec security-association", config.tfc)
}

/// IPsec profiles and dynamic maps, which name transform sets.
pub(super) fn write_templates(text: &mut String, config: &Config) -> fmt::Result {
    for profile in config.ipsec_profiles.values() {
        writeln!(text, "crypto ipsec profile {}", profile.name)?;
        write_negotiation(text, &profile.negotiation)?;
        writeln!(text, "!")?;
    }
    for map in config.dynamic_maps.values() {
        for (sequence, entry) in &map.entries {
            writeln!(text, "crypto dynamic-map {} {sequence}", map.name)?;
            write_entry(text, entry)?;
        }
        writeln!(text, "!")?;
    }
    Ok(())
}

/// The lines of an entry whose keys are not manual.
pub(super) fn write_entry(text: &mut String, entry: &Entry) -> fmt::Result {
    if let Some(description) = &entry.description {
        writeln!(text, " description {description}")?;
    }
    if let Keying::Negotiated(negotiation) = &entry.keying {
        write_negotiation(text, negotiation)?;
    }
    entry.access_lists.iter().try_for_each(|name| writeln!(text, " match address {name}"))
}

/// Bytes of text that the keys come to, at most.
pub(super) fn keys_length(config: &Config) -> usize {
    let keyrings = config.keyrings.values().flat_map(|keyring| &keyring.peers);
    let length = |key: &SharedKey| 2 * key.expose().len() + 8;
    config.keys.iter().chain(keyrings).map(|peer| length(&peer.local) + length(&peer.remote)).sum()
}

fn write_proposal(text: &mut String, proposal: &IkeProposal) -> fmt::Result {
    writeln!(text, "crypto ikev2 proposal {}", proposal.name)?;
    let mut line = |keyword: &str, words: Vec<String>| match words.as_slice() {
        [] => Ok(()),
        words => writeln!(text, " {keyword} {}", words.join(" ")),
    };
    let hashes = |hashes: &[model::Hmac]| hashes.iter().map(|hash| hash_word(*hash).to_owned()).collect();
    line("encryption", proposal.encryption.iter().map(|cipher| cipher.word().to_owned()).collect())?;
    line("integrity", hashes(&proposal.integrity))?;
    line("prf", hashes(&proposal.prf))?;
    line("group", proposal.groups.iter().map(|group| group.number().to_string()).collect())?;
    writeln!(text, "!")
}

/// Text as text, and what is not, in hexadecimal.
fn write_key(text: &mut String, key: &SharedKey, secrets: Secrets) -> fmt::Result {
    let bytes = key.expose();
    let as_text = std::str::from_utf8(bytes).ok().filter(|text| {
        !text.is_empty()
            && !text.starts_with(MASK)
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    match (secrets, as_text) {
        (Secrets::Masked, _) => text.write_str(MASK),
        (Secrets::Shown, Some(key)) => write!(text, "0 {key}"),
        (Secrets::Shown, None) => {
            text.write_str("hex ")?;
            bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}"))
        }
    }
}

fn write_whose(text: &mut String, key: &KeyringPeer) -> fmt::Result {
    match (key.address, &key.identity) {
        (Some(prefix), _) => write!(text, " address {prefix}"),
        (None, Some(IkeIdentity::Fqdn(name))) => write!(text, " hostname {name}"),
        (None, _) => Ok(()),
    }
}

fn write_keyring(text: &mut String, keyring: &Keyring, secrets: Secrets) -> fmt::Result {
    writeln!(text, "crypto {}keyring {}", if keyring.ikev2 { "ikev2 " } else { "" }, keyring.name)?;
    for peer in &keyring.peers {
        let Some(name) = &peer.name else {
            write!(text, " pre-shared-key")?;
            write_whose(text, peer)?;
            write!(text, " key ")?;
            write_key(text, &peer.remote, secrets)?;
            writeln!(text)?;
            continue;
        };
        writeln!(text, " peer {name}")?;
        if let Some(prefix) = peer.address {
            writeln!(text, "  address {prefix}")?;
        }
        if let Some(identity) = &peer.identity {
            writeln!(text, "  identity {}", identity_text(identity))?;
        }
        if peer.local == peer.remote {
            write!(text, "  pre-shared-key ")?;
            write_key(text, &peer.remote, secrets)?;
            writeln!(text)?;
            continue;
        }
        for (side, key) in [("local", &peer.local), ("remote", &peer.remote)] {
            write!(text, "  pre-shared-key {side} ")?;
            write_key(text, key, secrets)?;
            writeln!(text)?;
        }
    }
    writeln!(text, "!")
}

fn identity_text(identity: &IkeIdentity) -> String {
    match identity {
        IkeIdentity::Address(address) => format!("address {address}"),
        IkeIdentity::Fqdn(name) => format!("fqdn {name}"),
        IkeIdentity::Email(name) => format!("email {name}"),
        IkeIdentity::KeyId(id) => format!("key-id {id}"),
    }
}

fn write_trustpoint(text: &mut String, trustpoint: &Trustpoint) -> fmt::Result {
    writeln!(text, "crypto pki trustpoint {}\n ca-certificate {}", trustpoint.name, trustpoint.authorities)?;
    if let (Some(certificate), Some(key)) = (&trustpoint.certificate, &trustpoint.private_key) {
        writeln!(text, " certificate {certificate}\n private-key {key}")?;
    }
    trustpoint.revoked.iter().try_for_each(|file| writeln!(text, " crl {file}"))?;
    writeln!(text, "!")
}

fn write_profile(text: &mut String, profile: &IkeProfile) -> fmt::Result {
    writeln!(text, "crypto ikev2 profile {}", profile.name)?;
    for rule in &profile.matches {
        let rule = match rule {
            IdentityRule::Address(Prefix::V4(prefix)) => {
                format!("address {} {}", prefix.addr(), prefix.netmask())
            }
            IdentityRule::Address(prefix) => format!("address {prefix}"),
            IdentityRule::Fqdn(name) => format!("fqdn {name}"),
            IdentityRule::FqdnDomain(name) => format!("fqdn domain {name}"),
            IdentityRule::Email(name) => format!("email {name}"),
            IdentityRule::EmailDomain(name) => format!("email domain {name}"),
            IdentityRule::KeyId(id) => format!("key-id {id}"),
            IdentityRule::Any => "any".to_owned(),
        };
        writeln!(text, " match identity remote {rule}")?;
    }
    if let Some(identity) = &profile.identity {
        writeln!(text, " identity local {}", identity_text(identity))?;
    }
    for (side, proof) in [("remote", profile.remote), ("local", profile.local)] {
        let word = if proof == Proof::PreShare { "pre-share" } else { "rsa-sig" };
        writeln!(text, " authentication {side} {word}")?;
    }
    if let Some(keyring) = &profile.keyring {
        writeln!(text, " keyring local {keyring}")?;
    }
    if let Some(trustpoint) = &profile.trustpoint {
        writeln!(text, " pki trustpoint {trustpoint}")?;
    }
    if profile.lifetime != IkeProfile::DEFAULT_LIFETIME {
        writeln!(text, " lifetime {}", profile.lifetime)?;
    }
    if let Some(seconds) = profile.reauth {
        writeln!(text, " reauth {seconds}")?;
    }
    if let Some(seconds) = profile.dpd {
        writeln!(text, " dpd {seconds} 2 on-demand")?;
    }
    writeln!(text, "!")
}

fn write_negotiation(text: &mut String, negotiation: &Negotiation) -> fmt::Result {
    negotiation.peers.iter().try_for_each(|peer| writeln!(text, " set peer {peer}"))?;
    let sets: Vec<&str> = negotiation.transform_sets.iter().map(crate::Name::as_str).collect();
    writeln!(text, " set transform-set {}", sets.join(" "))?;
    if let Some(group) = negotiation.pfs {
        writeln!(text, " set pfs group{}", group.number())?;
    }
    if let Some(profile) = &negotiation.profile {
        writeln!(text, " set ikev2-profile {profile}")?;
    }
    write_lifetime(text, " set security-association", negotiation.lifetime)?;
    write_tfc(text, " set security-association", negotiation.tfc)
}

pub(super) fn write_tfc(text: &mut String, what: &str, tfc: TfcSettings) -> fmt::Result {
    match tfc.padding {
        None => {}
        Some(TfcPadding::None) => writeln!(text, "{what} tfc-padding disable")?,
        Some(TfcPadding::UpTo(bytes)) => writeln!(text, "{what} tfc-padding {bytes}")?,
        Some(TfcPadding::Mtu) => writeln!(text, "{what} tfc-padding mtu")?,
    }
    match tfc.dummies {
        None => Ok(()),
        Some(Dummies::None) => writeln!(text, "{what} dummy disable"),
        Some(Dummies::PerSecond(rate)) => writeln!(text, "{what} dummy pps {rate}"),
        Some(Dummies::Seconds(seconds)) => writeln!(text, "{what} dummy seconds {seconds}"),
    }
}

fn write_lifetime(text: &mut String, what: &str, lifetime: SaLifetime) -> fmt::Result {
    if let Some(seconds) = lifetime.seconds {
        writeln!(text, "{what} lifetime seconds {seconds}")?;
    }
    match lifetime.kilobytes {
        None => Ok(()),
        Some(None) => writeln!(text, "{what} lifetime kilobytes disable"),
        Some(Some(kilobytes)) => writeln!(text, "{what} lifetime kilobytes {kilobytes}"),
    }
}
