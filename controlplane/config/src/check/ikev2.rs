//! Proposals, policies, keyrings, trustpoints and profiles: each is whole, and every name leads somewhere.

use crate::parse::{Draft, PeerDraft, ProfileDraft, ProposalDraft, Setting, hash_word};
use crate::source::{At, Fault, Report};
use crate::{Config, IkePolicy, IkeProfile, IkeProposal, Keyring, KeyringPeer, Proof, Trustpoint};
use model::Hmac;

/// Takes them over into the configuration.
pub(super) fn check(draft: &Draft, config: &mut Config, report: &mut Report<'_, '_>) {
    let named = draft.proposals.iter().map(|(name, written)| (name, proposal(written, report)));
    config.ike_proposals = named
        .map(|(name, (encryption, integrity, prf, groups))| {
            let name = name.clone();
            (name.clone(), IkeProposal { name, encryption, integrity, prf, groups })
        })
        .collect();
    policies(draft, config, report);
    config.keys = draft.keys.iter().filter_map(|peer| keyring_peer(peer, report)).collect();
    for (name, written) in &draft.keyrings {
        let peers = written.peers.iter().filter_map(|peer| keyring_peer(peer, report)).collect();
        let keyring = Keyring { name: name.clone(), ikev2: written.ikev2, peers };
        config.keyrings.insert(name.clone(), keyring);
    }
    trustpoints(draft, config, report);
    for (name, written) in &draft.profiles {
        not_whole(
            written.at,
            &format!("crypto ikev2 profile `{name}`"),
            written.faulty,
            &lacking(written),
            report,
        );
        profile_names(draft, written, report);
        let profile = || {
            Some(IkeProfile {
                name: name.clone(),
                matches: written.matches.iter().map(|found| found.value.clone()).collect(),
                identity: written.identity.value().cloned(),
                local: *written.local.value()?,
                remote: *written.remote.value()?,
                keyring: written.keyring.value().cloned(),
                trustpoint: written.trustpoint.value().cloned(),
                lifetime: written.lifetime.value().copied().unwrap_or(IkeProfile::DEFAULT_LIFETIME),
                reauth: written.reauth.value().copied(),
                dpd: written.dpd.value().copied(),
            })
        };
        config.ike_profiles.extend(profile().map(|profile| (name.clone(), profile)));
    }
    config.dpd = draft.dpd.value().copied();
}

/// The error of something that lacks lines, unless one of its lines was not understood, which may have been what is missing.
pub(super) fn not_whole(at: At, what: &str, faulty: bool, missing: &[&str], report: &mut Report<'_, '_>) {
    if !missing.is_empty() && !faulty {
        let fault = Fault::new(at, format!("{what} is not whole"));
        report.error(fault.help(format!("write {} under it", missing.join(", "))));
    }
}

fn missing<'w>(lines: &[(bool, &'w str)]) -> Vec<&'w str> {
    lines.iter().filter(|(missing, _)| *missing).map(|(_, line)| *line).collect()
}

type Algorithms = (Vec<crate::IkeCipher>, Vec<Hmac>, Vec<Hmac>, Vec<crate::DhGroup>);

fn proposal(written: &ProposalDraft, report: &mut Report<'_, '_>) -> Algorithms {
    let aead = written.encryption.iter().any(|cipher| cipher.value.is_aead());
    let plain = written.encryption.iter().any(|cipher| !cipher.value.is_aead());
    let lines = missing(&[
        (written.encryption.is_empty(), "`encryption aes-gcm-256`"),
        (plain && written.integrity.is_empty(), "`integrity sha256`"),
        (aead && written.prf.is_empty(), "`prf sha256`"),
        (written.groups.is_empty(), "`group 19`"),
    ]);
    not_whole(written.at, "the proposal", written.faulty, &lines, report);
    if let (true, false, Some(integrity)) = (aead, plain, written.integrity.first()) {
        let fault = Fault::new(integrity.at, "ciphers of the kind `aes-gcm` bring their own integrity");
        report.error(fault.help("write `prf` in the place of `integrity`"));
    }
    let mut weak = |at: At, what: String| {
        let fault = Fault::new(at, format!("this is weak: {what} (RFC 8247)"));
        report.warn(fault.help("remove it, here and on the peer, if that has something better"));
    };
    for cipher in written.encryption.iter().filter(|cipher| cipher.value == crate::IkeCipher::TripleDes) {
        weak(cipher.at, "3DES has blocks of 64 bits".to_owned());
    }
    for hash in written.integrity.iter().chain(&written.prf).filter(|hash| hash.value == Hmac::Sha1) {
        weak(hash.at, format!("{} is on its way out", hash_word(hash.value)));
    }
    for group in written.groups.iter().filter(|group| group.value.is_weak()) {
        weak(group.at, format!("group {} is too small", group.value.number()));
    }
    (values(&written.encryption), values(&written.integrity), values(&written.prf), values(&written.groups))
}

fn values<T: Clone>(found: &[crate::parse::Found<T>]) -> Vec<T> {
    found.iter().map(|found| found.value.clone()).collect()
}

fn policies(draft: &Draft, config: &mut Config, report: &mut Report<'_, '_>) {
    let own = super::own_addresses(draft);
    for (name, written) in &draft.policies {
        let lines = missing(&[(written.proposals.is_empty(), "`proposal NAME`")]);
        not_whole(written.at, &format!("crypto ikev2 policy `{name}`"), written.faulty, &lines, report);
        for proposal in &written.proposals {
            if !draft.proposals.contains_key(&proposal.value) {
                let mend = "write it by `crypto ikev2 proposal NAME`";
                report.nowhere(proposal.at, "proposal", &proposal.value, draft.proposals.keys(), mend);
            }
        }
        for local in written.local.iter().filter(|local| !own.contains_key(&local.value)) {
            let fault = Fault::new(local.at, format!("`{}` is no address of this gateway", local.value));
            report.error(fault.help("take the address of an interface, or remove the line"));
        }
        let policy = IkePolicy {
            name: name.clone(),
            proposals: values(&written.proposals),
            local: values(&written.local),
        };
        config.ike_policies.insert(name.clone(), policy);
    }
    for (name, written) in &draft.proposals {
        let used = |policy: &IkePolicy| policy.proposals.contains(name);
        if !config.ike_policies.values().any(used) {
            let fault = Fault::new(
                written.at,
                format!("proposal `{name}` is in no policy, so that nobody is offered it"),
            );
            report.warn(
                fault.help(format!("write `crypto ikev2 policy NAME`, and `proposal {name}` under it")),
            );
        }
    }
}

fn keyring_peer(written: &PeerDraft, report: &mut Report<'_, '_>) -> Option<KeyringPeer> {
    let nobody = written.address.is_missing() && written.identity.is_missing();
    let lines = missing(&[
        (nobody, "`address ADDRESS` or `identity fqdn NAME`"),
        (written.local.is_missing() || written.remote.is_missing(), "`pre-shared-key KEY`"),
    ]);
    not_whole(written.at, "the peer", written.faulty, &lines, report);
    for key in [&written.local, &written.remote].into_iter().filter_map(Setting::found).take(1) {
        if key.value.expose().len() < 8 {
            let fault =
                Fault::new(key.at, "the key is so short that whoever sees one negotiation can guess it");
            report.warn(fault.help("draw a long one: `openssl rand -base64 32` makes one"));
        }
    }
    Some(KeyringPeer {
        name: written.name.clone(),
        address: written.address.value().copied(),
        identity: written.identity.value().cloned(),
        local: written.local.value()?.clone(),
        remote: written.remote.value()?.clone(),
    })
}

fn trustpoints(draft: &Draft, config: &mut Config, report: &mut Report<'_, '_>) {
    for (name, written) in &draft.trustpoints {
        let (certificate, key) = (written.certificate.is_missing(), written.private_key.is_missing());
        let lines = missing(&[
            (written.authorities.is_missing(), "`ca-certificate FILE`"),
            (certificate && !key, "`certificate FILE`"),
            (key && !certificate, "`private-key FILE`"),
        ]);
        not_whole(written.at, &format!("crypto pki trustpoint `{name}`"), written.faulty, &lines, report);
        let Some(authorities) = written.authorities.value().cloned() else { continue };
        let trustpoint = Trustpoint {
            name: name.clone(),
            authorities,
            certificate: written.certificate.value().cloned(),
            private_key: written.private_key.value().cloned(),
            revoked: written.revoked.clone(),
        };
        config.trustpoints.insert(name.clone(), trustpoint);
    }
}

fn lacking(written: &ProfileDraft) -> Vec<&'static str> {
    let proofs = [&written.local, &written.remote];
    let wants = |proof| proofs.iter().any(|side| side.value() == Some(&proof));
    missing(&[
        (written.matches.is_empty(), "`match identity remote address PEER`"),
        (written.local.is_missing(), "`authentication local pre-share`"),
        (written.remote.is_missing(), "`authentication remote pre-share`"),
        (wants(Proof::PreShare) && written.keyring.is_missing(), "`keyring local NAME`"),
        (wants(Proof::Signature) && written.trustpoint.is_missing(), "`pki trustpoint NAME`"),
    ])
}

/// The keyring and the trustpoint of a profile are there, and have what it needs of them.
fn profile_names(draft: &Draft, written: &ProfileDraft, report: &mut Report<'_, '_>) {
    if let Some(name) = written.keyring.found()
        && !draft.keyrings.contains_key(&name.value)
    {
        let mend = "write it by `crypto ikev2 keyring NAME`";
        report.nowhere(name.at, "keyring", &name.value, draft.keyrings.keys(), mend);
    }
    let Some(name) = written.trustpoint.found() else { return };
    let Some(trustpoint) = draft.trustpoints.get(&name.value) else {
        let mend = "write it by `crypto pki trustpoint NAME`";
        return report.nowhere(name.at, "trustpoint", &name.value, draft.trustpoints.keys(), mend);
    };
    if let Some(proof) = written.local.found()
        && proof.value == Proof::Signature
        && trustpoint.certificate.is_missing()
        && !trustpoint.faulty
    {
        let fault =
            Fault::new(proof.at, format!("trustpoint `{}` has no certificate to sign with", name.value));
        report.error(
            fault
                .related(trustpoint.at, "this one")
                .help("write `certificate FILE` and `private-key FILE` under it"),
        );
    }
}
