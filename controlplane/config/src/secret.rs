//! Which words of a line are secrets, before anybody has understood the line.

use crate::nearest::is_close;
use crate::source::Word;
use std::net::IpAddr;

/// Words after which IOS writes a secret.
const BEFORE_SECRETS: [&str; 9] = [
    "authentication-key",
    "authenticator",
    "hex",
    "key",
    "key-string",
    "local-key",
    "message-digest-key",
    "psk",
    "server-private",
];

/// Such words, too, also with slips in them: what follows is as secret.
const NEARLY_BEFORE_SECRETS: [&str; 7] =
    ["cipher", "community", "passphrase", "password", "pre-shared-key", "secret", "username"];

fn is_before_secret(word: &str) -> bool {
    // Most words begin otherwise, and are not worth a comparison.
    let begins = |known: &str| {
        word.get(..1)
            .is_some_and(|first| known.get(..1).is_some_and(|known| known.eq_ignore_ascii_case(first)))
    };
    BEFORE_SECRETS.iter().any(|known| known.eq_ignore_ascii_case(word))
        || NEARLY_BEFORE_SECRETS.iter().any(|known| begins(known) && is_close(word, known))
}

/// Index of the first word that nobody may see. Rather too many are hidden than one too few: a misspelt line is printed,
/// too, and the key is in it all the same.
pub(crate) fn first_secret(words: &[Word<'_>]) -> Option<usize> {
    let after_marker = words.iter().position(|word| is_before_secret(word.text)).map(|place| place + 1);
    let long_hex = words.iter().position(|word| is_like_a_key(word.text));
    let session_key = words.iter().position(|word| is_close(word.text, "session-key"));
    let in_session_key = session_key.and_then(|start| {
        let shown = |(place, word): (usize, &Word<'_>)| match place {
            0 => true,
            // Direction, protocol, SPI: short where they are what they should be.
            1..=3 => word.text.len() <= 10,
            // `cipher`, or what was meant to be it.
            4 => {
                word.is("authenticator")
                    || word.text.len() <= 10
                        && word.text.bytes().all(|b| b.is_ascii_alphabetic())
                        && !is_hex(word.text)
            }
            _ => false,
        };
        let hidden = words.iter().skip(start).enumerate().position(|word| !shown(word));
        hidden.map(|place| start + place)
    });
    let first = [after_marker, long_hex, in_session_key].into_iter().flatten().min()?;
    (first < words.len()).then_some(first)
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// An IPv4 or IPv6 address, or what was meant to be one: few groups, and none long.
fn is_like_an_address(word: &str) -> bool {
    let address = word.split('/').next().unwrap_or(word);
    let groups = |by: char| address.split(by).count();
    let short = |by: char| address.split(by).all(|group| group.len() <= 5);
    address.parse::<IpAddr>().is_ok()
        || groups('.') == 4 && address.bytes().all(|b| b.is_ascii_digit() || b == b'.') && short('.')
        || (3..=9).contains(&groups(':')) && short(':')
}

/// At least 16 characters, three quarters of them hexadecimal digits, and no address.
pub(crate) fn is_like_a_key(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_hexdigit).count();
    word.len() >= 16 && digits * 4 >= word.chars().count() * 3 && !is_like_an_address(word)
}
