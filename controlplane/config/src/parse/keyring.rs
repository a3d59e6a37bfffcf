//! Pre-shared keys and certificates: `crypto ikev2 keyring`, `crypto keyring`, `crypto isakmp key`, `crypto pki trustpoint`.

use super::cursor::{Cursor, Found};
use super::draft::{KeyringDraft, PeerDraft, Setting, TrustpointDraft};
use super::ikev2::{identity, not_under, prefix};
use super::interface::last;
use super::secret::shared_key;
use super::{Mode, Reader};
use crate::source::{At, Fault};
use crate::{IkeIdentity, Name};

impl Reader<'_, '_> {
    pub(super) fn open_keyring(&mut self, name: Name, ikev2: bool, at: At) -> Result<(), Fault> {
        let keyring = self
            .draft
            .keyrings
            .entry(name.clone())
            .or_insert_with(|| KeyringDraft { ikev2, peers: Vec::new() });
        if keyring.ikev2 != ikev2 {
            let fault = Fault::new(at, format!("there is a keyring `{name}` of the other kind already"));
            return Err(fault.help("give one of them another name"));
        }
        self.mode = if ikev2 { Mode::Keyring(name) } else { Mode::OldKeyring(name) };
        Ok(())
    }

    /// `crypto keyring NAME`, of IKEv1's words.
    pub(super) fn crypto_keyring(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let whole = cursor.whole();
        cursor.accept("crypto");
        cursor.accept("keyring");
        let name = last(cursor, |cursor| cursor.name("a keyring's name"))?;
        self.open_keyring(name.value, false, whole)
    }

    /// `crypto isakmp key KEY address ADDRESS [MASK]`, or `hostname NAME`.
    pub(super) fn isakmp_key(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::Top;
        let whole = cursor.whole();
        for word in ["crypto", "isakmp", "key"] {
            cursor.accept(word);
        }
        let key = shared_key(cursor)?;
        let mut peer = PeerDraft::new(whole, None);
        whose(&mut peer, cursor)?;
        cursor.accept("no-xauth");
        cursor.end()?;
        give(&mut peer, key)?;
        self.draft.keys.push(peer);
        Ok(())
    }

    pub(super) fn in_old_keyring(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(keyring) = self.draft.keyrings.get_mut(name) else { return Ok(()) };
        let whole = cursor.whole();
        let keyword = cursor.next("a command")?;
        if keyword.is("description") {
            return cursor.rest("the description", 200).map(drop);
        }
        if !keyword.is("pre-shared-key") {
            return Err(not_under(keyword, "crypto keyring", &["pre-shared-key"]));
        }
        let mut peer = PeerDraft::new(whole, None);
        whose(&mut peer, cursor)?;
        cursor.one_of(&["key"])?;
        let key = last(cursor, shared_key)?;
        give(&mut peer, key)?;
        keyring.peers.push(peer);
        Ok(())
    }

    pub(super) fn in_keyring(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(keyring) = self.draft.keyrings.get_mut(name) else { return Ok(()) };
        let whole = cursor.whole();
        if cursor.accept("peer") {
            let named = last(cursor, |cursor| cursor.name("the peer's name"))?;
            if let Some(first) = keyring.peers.iter().find(|peer| peer.name.as_ref() == Some(&named.value)) {
                let fault = Fault::new(named.at, format!("the keyring has a peer `{}` already", named.value));
                return Err(fault.related(first.at, "this one").help("give each peer a name of its own"));
            }
            keyring.peers.push(PeerDraft::new(whole, Some(named.value)));
            return Ok(());
        }
        let Some(peer) = keyring.peers.last_mut() else {
            let word = cursor.next("a command")?;
            return Err(not_under(word, "crypto ikev2 keyring", &["peer"]).help("write `peer NAME` first"));
        };
        let done = peer_line(peer, cursor);
        peer.faulty |= done.is_err();
        done
    }

    pub(super) fn trustpoint(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        self.mode = Mode::refused(cursor, true);
        let whole = cursor.whole();
        for word in ["crypto", "pki", "trustpoint"] {
            cursor.accept(word);
        }
        let name = last(cursor, |cursor| cursor.name("a trustpoint's name"))?.value;
        self.mode = Mode::Trustpoint(name.clone());
        self.draft.trustpoints.entry(name).or_insert_with(|| TrustpointDraft {
            at: whole,
            authorities: Setting::Missing,
            certificate: Setting::Missing,
            private_key: Setting::Missing,
            revoked: Vec::new(),
            faulty: false,
        });
        Ok(())
    }

    pub(super) fn in_trustpoint(&mut self, name: &Name, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
        let Some(trustpoint) = self.draft.trustpoints.get_mut(name) else { return Ok(()) };
        let done = trustpoint_line(trustpoint, cursor);
        trustpoint.faulty |= done.is_err();
        done
    }
}

/// `address PREFIX` or `hostname NAME`.
fn whose(peer: &mut PeerDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    match cursor.one_of(&["address", "hostname"])?.value {
        "address" => peer.address.fill(prefix(cursor, "the peer's address")),
        _ => {
            let name = cursor.name("the peer's name")?;
            let value = IkeIdentity::Fqdn(name.value.to_string());
            peer.identity.fill(Ok(Found { value, at: name.at }))
        }
    }
}

/// The same key for both ends.
fn give(peer: &mut PeerDraft, key: Found<crate::SharedKey>) -> Result<(), Fault> {
    peer.local.fill(Ok(Found { value: key.value.clone(), at: key.at }))?;
    peer.remote.fill(Ok(key))
}

fn peer_line(peer: &mut PeerDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    let keyword = cursor.next("a command")?;
    match keyword.text.to_ascii_lowercase().as_str() {
        "description" => cursor.rest("the description", 200).map(drop),
        "address" => peer.address.fill(last(cursor, |cursor| prefix(cursor, "the peer's address"))),
        "hostname" => {
            let fault =
                Fault::new(keyword.at, "names are not looked up, so that a host name is nobody's address");
            Err(fault.help("write `address`, or `identity fqdn` if the peer says that this is its name"))
        }
        "identity" => peer.identity.fill(last(cursor, identity)),
        "pre-shared-key" => {
            if cursor.left() > 1 && cursor.accept("local") {
                peer.local.fill(last(cursor, shared_key))
            } else if cursor.left() > 1 && cursor.accept("remote") {
                peer.remote.fill(last(cursor, shared_key))
            } else {
                let key = last(cursor, shared_key)?;
                give(peer, key)
            }
        }
        _ => Err(not_under(
            keyword,
            "crypto ikev2 keyring",
            &["peer", "address", "identity", "pre-shared-key", "description"],
        )),
    }
}

fn trustpoint_line(trustpoint: &mut TrustpointDraft, cursor: &mut Cursor<'_, '_>) -> Result<(), Fault> {
    const LINES: [&str; 4] = ["ca-certificate", "certificate", "private-key", "crl"];
    const FILES: &str =
        "write `ca-certificate FILE`, and `certificate FILE` and `private-key FILE` for our own";
    let keyword = cursor.next("a command")?;
    let mut file = || last(cursor, |cursor| path(cursor));
    match keyword.text.to_ascii_lowercase().as_str() {
        "ca-certificate" => trustpoint.authorities.fill(file()),
        "certificate" => trustpoint.certificate.fill(file()),
        "private-key" => trustpoint.private_key.fill(file()),
        "crl" => {
            trustpoint.revoked.push(file()?.value);
            Ok(())
        }
        "enrollment" | "rsakeypair" | "subject-name" | "revocation-check" | "fqdn" | "eckeypair" => {
            let message =
                format!("{} is not available in Espalier: certificates come from files", keyword.quoted());
            Err(Fault::new(keyword.at, message).help(FILES))
        }
        _ => Err(not_under(keyword, "crypto pki trustpoint", &LINES)),
    }
}

fn path(cursor: &mut Cursor<'_, '_>) -> Result<Found<String>, Fault> {
    let word = cursor.next("a file")?;
    if !word.text.starts_with('/') {
        let fault = Fault::new(word.at, format!("{} is no path from the root", word.quoted()));
        return Err(fault.help("write it whole, such as `/etc/espalier/ca.pem`"));
    }
    Ok(Found { value: word.text.to_owned(), at: word.at })
}
