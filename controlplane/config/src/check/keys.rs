//! Session keys: of the parts and lengths that their transform set wants, and none that serves twice.

use super::crypto::session_keys;
use crate::parse::{Draft, Found, KeyDraft};
use crate::source::{Fault, Report};
use model::{KeyMaterial, Suite};
use zeroize::Zeroizing;

/// Whether the keys are those of the suite. `set` is where that stands.
pub(super) fn fit(key: &KeyDraft, suite: Suite, set: crate::source::At, report: &mut Report<'_, '_>) {
    let shape = suite.key_shape();
    let cipher = match shape.salt {
        0 => format!("a cipher key of {} bytes", shape.cipher),
        _ => format!("a cipher key of {} bytes and 4 bytes of salt behind it", shape.cipher),
    };
    let integrity = format!("an authenticator key of {} bytes", shape.integrity);
    let parts = [
        ("cipher", &key.cipher, shape.cipher + shape.salt, cipher),
        ("authenticator", &key.authenticator, shape.integrity, integrity),
    ];
    for (word, key_part, wanted, what) in parts {
        let fault =
            match key_part {
                None if wanted > 0 => Fault::new(key.spi.at, format!("there is no {word} key")).help(
                    format!("`{suite}` wants {what}: write `{word}` and {} hexadecimal digits", wanted * 2),
                ),
                Some(found) if wanted == 0 => Fault::new(found.at, format!("`{suite}` has no {word} key"))
                    .help(match word {
                        "cipher" => "write `authenticator` and its key right behind the SPI",
                        _ => "end the line behind the key of `cipher`",
                    }),
                Some(found) if found.value.expose().len() != wanted => {
                    let digits = found.value.expose().len() * 2;
                    Fault::new(found.at, format!("the {word} key has {digits} hexadecimal digits"))
                        .help(format!("`{suite}` wants {what}, {} hexadecimal digits in all", wanted * 2))
                }
                _ => continue,
            };
        report.error(fault.related(set, "the transform set"));
    }
}

/// Both keys as one, in the order of [`model::KeyShape`]. `None` if they are longer than any suite's, which has been said.
pub(super) fn material(key: &KeyDraft) -> Option<KeyMaterial> {
    let mut bytes = Zeroizing::new([0; 2 * KeyMaterial::MAX]);
    let mut len = 0;
    for part in [&key.cipher, &key.authenticator].into_iter().flatten() {
        let part = part.value.expose();
        bytes.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    KeyMaterial::new(bytes.get(..len)?)
}

/// A cipher's key that serves twice makes IVs repeat, and then counter modes protect nothing (RFC 4106, section 9), in
/// whichever direction. With an HMAC's key that serves twice, packets of one SA can be passed off as another's.
pub(super) fn once(draft: &Draft, report: &mut Report<'_, '_>) {
    let all = || session_keys(draft, true).chain(session_keys(draft, false)).map(|(_, key)| key);
    let ciphers = all().filter_map(|key| key.cipher.as_ref()).map(|key| (key, true));
    let authenticators = all().filter_map(|key| key.authenticator.as_ref()).map(|key| (key, false));
    let mut keys: Vec<(&Found<KeyMaterial>, bool)> = ciphers.chain(authenticators).collect();
    keys.sort_by(|(a, _), (b, _)| a.value.expose().cmp(b.value.expose()).then(a.at.cmp(&b.at)));
    for pair in keys.windows(2) {
        if let [(first, cipher), (second, also_cipher)] = pair
            && first.value == second.value
        {
            let message = match (cipher, also_cipher) {
                (true, true) => "another SA has the same key and salt, which lays both SAs' packets open",
                (false, false) => {
                    "another SA has the same authenticator key, so that packets pass for its own"
                }
                _ => "the same key is a cipher's and an authenticator's, and neither can be trusted then",
            };
            let fault = Fault::new(second.at, message).related(first.at, "this one");
            report.error(fault.help("draw a fresh key for every SA, for each direction, too"));
        }
    }
}
