//! `crypto ikev2`: proposals, policies, profiles, and the lines under them.

use super::cursor::{Cursor, Found, suggest};
use super::draft::{PolicyDraft, ProfileDraft, ProposalDraft, Setting};
use super::interface::last;
use super::{Mode, Reader};
use crate::source::{Fault, Word};
use crate::{DhGroup, IdentityRule, IkeCipher, IkeIdentity, Name, Proof};
use model::{Hmac, Prefix};
use std::net::IpAddr;

impl Reader<'_, '_> {
    pub(super) fn crypto_ikev2(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let whole = cursor.whole();
        cursor.accept("crypto");
        cursor.accept("ikev2");
        let what = cursor.one_of(&["proposal", "policy", "keyring", "profile", "dpd"])?.value;
        if what == "dpd" {
            self.mode = Mode::Top;
            return self.draft.dpd.fill(last(cursor, dpd));
        }
        let name = last(cursor, |cursor| cursor.name("its name"))?.value;
        match what {
            "proposal" => {
                self.mode = Mode::Proposal(name.clone());
                self.draft.proposals.entry(name).or_insert_with(|| ProposalDraft {
                    at: whole,
                    encryption: Vec::new(),
                    integrity: Vec::new(),
                    prf: Vec::new(),
                    groups: Vec::new(),
                    faulty: false,
                });
            }
            "policy" => {
                self.mode = Mode::Policy(name.clone());
                self.draft.policies.entry(name).or_insert_with(|| PolicyDraft {
                    at: whole,
                    proposals: Vec::new(),
                    local: Vec::new(),
                    faulty: false,
                });
            }
            "keyring" => return self.open_keyring(name, true, whole),
            _ => {
                self.mode = Mode::Profile(name.clone());
                self.draft.profiles.entry(name).or_insert_with(|| ProfileDraft {
                    at: whole,
                    matches: Vec::new(),
                    identity: Setting::Missing,
                    local: Setting::Missing,
                    remote: Setting::Missing,
                    keyring: Setting::Missing,
                    trustpoint: Setting::Missing,
                    lifetime: Setting::Missing,
                    reauth: Setting::Missing,
                    dpd: Setting::Missing,
                    faulty: false,
                });
            }
        }
        Ok(())
    }

    pub(super) fn in_proposal(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(proposal) = self.draft.proposals.get_mut(name) else { return Ok(()) };
        let done = proposal_line(proposal, cursor);
        proposal.faulty |= done.is_err();
        done
    }

    pub(super) fn in_policy(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(policy) = self.draft.policies.get_mut(name) else { return Ok(()) };
        let done = policy_line(policy, cursor);
        policy.faulty |= done.is_err();
        done
    }

    pub(super) fn in_profile(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(profile) = self.draft.profiles.get_mut(name) else { return Ok(()) };
        let done = profile_line(profile, cursor);
        profile.faulty |= done.is_err();
        done
    }
}

/// The fault of a word that begins no line of a block.
pub(super) fn not_under(word: &Word<'_>, block: &str, known: &[&'static str]) -> Fault {
    let fault =
        Fault::new(word.at, format!("{} is no command that Espalier knows under `{block}`", word.quoted()));
    suggest(fault, word, known.iter().copied().chain(super::COMMANDS))
}

/// All words of the line, each one of a list, none twice.
fn several<T: PartialEq>(
    list: &mut Vec<Found<T>>,
    cursor: &mut Cursor<'_, '_>,
    read: impl Fn(&Word<'_>) -> Result<T, Fault>,
    what: &str,
) -> Result<(), Fault> {
    let mut word = cursor.next(what)?;
    loop {
        let value = read(word)?;
        if let Some(first) = list.iter().find(|found| found.value == value) {
            let fault = Fault::new(word.at, format!("{} has been said before", word.quoted()));
            return Err(fault.related(first.at, "first said here").help("keep one of the two"));
        }
        list.push(Found { value, at: word.at });
        match cursor.peek() {
            Some(_) => word = cursor.next(what)?,
            None => return Ok(()),
        }
    }
}

fn proposal_line(proposal: &mut ProposalDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    const LINES: [&str; 4] = ["encryption", "integrity", "prf", "group"];
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "encryption" => several(&mut proposal.encryption, cursor, cipher, "a cipher such as `aes-gcm-256`"),
        "integrity" => several(&mut proposal.integrity, cursor, hash, "a hash such as `sha256`"),
        "prf" => several(&mut proposal.prf, cursor, hash, "a hash such as `sha256`"),
        "group" => {
            several(&mut proposal.groups, cursor, |word| group(word, word.text), "a group such as `19`")
        }
        _ => Err(not_under(keyword, "crypto ikev2 proposal", &LINES)),
    }
}

fn cipher(word: &Word<'_>) -> Result<IkeCipher, Fault> {
    if let Some(cipher) = IkeCipher::ALL.into_iter().find(|cipher| word.is(cipher.word())) {
        return Ok(cipher);
    }
    let message = match word.is("des") {
        true => "DES is broken, and RFC 8247 forbids it".to_owned(),
        false => format!("{} is no cipher of IKEv2 that Espalier has", word.quoted()),
    };
    let fault = suggest(Fault::new(word.at, message), word, IkeCipher::ALL.map(IkeCipher::word));
    Err(if fault.help.is_some() { fault } else { fault.help("write `aes-gcm-256`, here and on the peer") })
}

/// The word of a hash.
pub(crate) const fn hash_word(hash: Hmac) -> &'static str {
    match hash {
        Hmac::Sha1 => "sha1",
        Hmac::Sha256 => "sha256",
        Hmac::Sha384 => "sha384",
        Hmac::Sha512 => "sha512",
    }
}

fn hash(word: &Word<'_>) -> Result<Hmac, Fault> {
    if let Some(hash) = Hmac::ALL.into_iter().find(|hash| word.is(hash_word(*hash))) {
        return Ok(hash);
    }
    let message = match word.is("md5") {
        true => "RFC 8247 forbids MD5".to_owned(),
        false => format!("{} is no hash that Espalier has", word.quoted()),
    };
    let fault = suggest(Fault::new(word.at, message), word, Hmac::ALL.map(hash_word));
    Err(if fault.help.is_some() { fault } else { fault.help("write `sha256`, here and on the peer") })
}

/// A Diffie-Hellman group; `number` is what of the word is its number.
pub(super) fn group(word: &Word<'_>, number: &str) -> Result<DhGroup, Fault> {
    let known = number.parse().ok().and_then(DhGroup::new);
    known.ok_or_else(|| {
        let message = match number {
            "1" => "group 1 is broken, and RFC 8247 forbids it".to_owned(),
            _ => format!("{} is no Diffie-Hellman group that Espalier has", word.quoted()),
        };
        let all = DhGroup::ALL.map(|group| group.number().to_string()).join(", ");
        Fault::new(word.at, message).help(format!("take one of {all}, here and on the peer"))
    })
}

fn policy_line(policy: &mut PolicyDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "proposal" => {
            policy.proposals.push(last(cursor, |cursor| cursor.name("a proposal's name"))?);
            Ok(())
        }
        "match" => match cursor.one_of(&["address", "fvrf"])?.value {
            "fvrf" => last(cursor, |cursor| cursor.one_of(&["any"])).map(drop),
            _ => {
                cursor.one_of(&["local"])?;
                policy.local.push(last(cursor, |cursor| address(cursor, "an address of this gateway"))?);
                Ok(())
            }
        },
        _ => Err(not_under(keyword, "crypto ikev2 policy", &["proposal", "match"])),
    }
}

fn address(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<Found<IpAddr>, Fault> {
    let word = cursor.next(what)?;
    match word.text.parse() {
        Ok(value) => Ok(Found { value, at: word.at }),
        Err(_) => Err(Fault::new(word.at, format!("{} is not {what}, such as 192.0.2.1", word.quoted()))),
    }
}

/// `ADDRESS`, `ADDRESS MASK` or `PREFIX/LENGTH`; the address of nobody alone is that of everybody.
pub(super) fn prefix(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<Found<Prefix>, Fault> {
    let word = *cursor.next(what)?;
    let wrong = || Fault::new(word.at, format!("{} is not {what}, such as 192.0.2.1", word.quoted()));
    if word.text.contains('/') {
        let value: Prefix = word.text.parse().map_err(|_| wrong())?;
        return Ok(Found { value: value.trunc(), at: word.at });
    }
    let address: IpAddr = word.text.parse().map_err(|_| wrong())?;
    let mask =
        cursor.peek().filter(|next| address.is_ipv4() && next.text.parse::<std::net::Ipv4Addr>().is_ok());
    let Some(mask) = mask else {
        // As on IOS, `0.0.0.0` alone is everybody.
        let length = if address.is_unspecified() { 0 } else { Prefix::from(address).prefix_len() };
        return Ok(Found { value: Prefix::new(address, length).map_err(|_| wrong())?, at: word.at });
    };
    let found = cursor.mask("a mask", "255.255.255.0")?;
    let length = model::Ipv4Prefix::with_netmask(std::net::Ipv4Addr::UNSPECIFIED, found.value);
    let length = length.map_err(|_| {
        Fault::new(mask.at, format!("{} is no mask: its ones are not all in front", mask.quoted()))
            .help("write a mask such as `255.255.255.0`")
    })?;
    let value = Prefix::new(address, length.prefix_len()).map_err(|_| wrong())?;
    Ok(Found { value: value.trunc(), at: word.at.to(found.at) })
}

/// `address A`, `fqdn NAME`, `email NAME` or `key-id TEXT`.
pub(super) fn identity(cursor: &mut Cursor<'_, '_>) -> Result<Found<IkeIdentity>, Fault> {
    let kind = cursor.one_of(&["address", "fqdn", "email", "key-id"])?;
    if kind.value == "address" {
        let found = address(cursor, "an address")?;
        return Ok(Found { value: IkeIdentity::Address(found.value), at: kind.at.to(found.at) });
    }
    let text = identity_text(cursor, kind.value)?;
    let value = match kind.value {
        "fqdn" => IkeIdentity::Fqdn(text.value),
        "email" => IkeIdentity::Email(text.value),
        _ => IkeIdentity::KeyId(text.value),
    };
    Ok(Found { value, at: kind.at.to(text.at) })
}

fn identity_text(cursor: &mut Cursor<'_, '_>, kind: &str) -> Result<Found<String>, Fault> {
    let word = cursor.next("who it is")?;
    let is_text = word.text.len() <= 255 && word.text.bytes().all(|b| b.is_ascii_graphic());
    let host = if kind == "email" { word.text.rsplit('@').next().unwrap_or("") } else { word.text };
    let is_host = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !is_text || host.is_empty() || kind != "key-id" && !is_host {
        let fault =
            Fault::new(word.at, format!("{} cannot be an identity of the kind `{kind}`", word.quoted()));
        return Err(fault.help("write a name such as `gw-b.example.net`"));
    }
    Ok(Found { value: word.text.to_owned(), at: word.at })
}

/// What follows `match identity remote`.
fn identity_rule(cursor: &mut Cursor<'_, '_>) -> Result<Found<IdentityRule>, Fault> {
    let kind = cursor.one_of(&["address", "fqdn", "email", "key-id", "any"])?;
    match kind.value {
        "any" => return Ok(Found { value: IdentityRule::Any, at: kind.at }),
        "address" => {
            let found = prefix(cursor, "an address")?;
            return Ok(Found { value: IdentityRule::Address(found.value), at: kind.at.to(found.at) });
        }
        _ => {}
    }
    let domain = kind.value != "key-id" && cursor.left() > 1 && cursor.accept("domain");
    let text = identity_text(cursor, if domain { "fqdn" } else { kind.value })?;
    let value = match (kind.value, domain) {
        ("fqdn", false) => IdentityRule::Fqdn(text.value),
        ("fqdn", true) => IdentityRule::FqdnDomain(text.value),
        ("email", false) => IdentityRule::Email(text.value),
        ("email", true) => IdentityRule::EmailDomain(text.value),
        _ => IdentityRule::KeyId(text.value),
    };
    Ok(Found { value, at: kind.at.to(text.at) })
}

/// `INTERVAL RETRY on-demand|periodic`. Only the interval is ours: a request is repeated as RFC 7296, section 2.4, wants.
fn dpd(cursor: &mut Cursor<'_, '_>) -> Result<Found<u16>, Fault> {
    let interval = cursor.number("seconds of silence", 10..=3600)?;
    if cursor.left() > 0 {
        cursor.number("seconds between tries", 2..=60)?;
    }
    if cursor.left() > 0 {
        cursor.one_of(&["on-demand", "periodic"])?;
    }
    Ok(Found { value: interval.value as u16, at: interval.at })
}

fn profile_line(profile: &mut ProfileDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    const LINES: [&str; 8] =
        ["match", "identity", "authentication", "keyring", "pki", "lifetime", "reauth", "dpd"];
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "match" => {
            if cursor.one_of(&["identity", "fvrf"])?.value == "fvrf" {
                return last(cursor, |cursor| cursor.one_of(&["any"])).map(drop);
            }
            cursor.one_of(&["remote"])?;
            profile.matches.push(last(cursor, identity_rule)?);
            Ok(())
        }
        "identity" => {
            cursor.one_of(&["local"])?;
            profile.identity.fill(last(cursor, identity))
        }
        "authentication" => {
            let side = cursor.one_of(&["local", "remote"])?.value;
            let read = cursor.one_of(&["pre-share", "rsa-sig", "ecdsa-sig"]);
            if let Some(key) = cursor.peek().filter(|word| word.is("key")) {
                let fault = Fault::new(key.at, "a key is written in a keyring");
                return Err(fault
                    .help("write `crypto ikev2 keyring NAME` with the key, and `keyring local NAME` here"));
            }
            let read = read.and_then(|found| cursor.end().map(|()| found)).map(|found| Found {
                value: if found.value == "pre-share" { Proof::PreShare } else { Proof::Signature },
                at: found.at,
            });
            if side == "local" { profile.local.fill(read) } else { profile.remote.fill(read) }
        }
        "keyring" => {
            cursor.one_of(&["local"])?;
            profile.keyring.fill(last(cursor, |cursor| cursor.name("a keyring's name")))
        }
        "pki" => {
            cursor.one_of(&["trustpoint"])?;
            profile.trustpoint.fill(last(cursor, |cursor| cursor.name("a trustpoint's name")))
        }
        "lifetime" => profile.lifetime.fill(last(cursor, |cursor| cursor.number("seconds", 120..=86_400))),
        "reauth" => profile.reauth.fill(last(cursor, |cursor| cursor.number("seconds", 10..=86_400))),
        "dpd" => profile.dpd.fill(last(cursor, dpd)),
        _ => Err(not_under(keyword, "crypto ikev2 profile", &LINES)),
    }
}
