//! A pre-shared key that somebody wrote down.

use super::cursor::{Cursor, Found};
use crate::SharedKey;
use crate::source::{Fault, MASK};
use zeroize::Zeroizing;

/// `[0] KEY` or `hex DIGITS`. What follows the key is left.
pub(super) fn shared_key(cursor: &mut Cursor<'_, '_>) -> Result<Found<SharedKey>, Fault> {
    let word = *cursor.next("the key")?;
    let (word, hex) = match (word.text, cursor.peek()) {
        ("0", Some(next)) => {
            cursor.next("the key")?;
            (*next, false)
        }
        ("6", Some(_)) => {
            let fault =
                Fault::new(word.at, "this key is encrypted with the router's own key, which is not here");
            return Err(fault.help("write the key itself, behind `0` or alone"));
        }
        ("hex", Some(next)) => {
            cursor.next("the key")?;
            (*next, true)
        }
        _ => (word, false),
    };
    if word.text.starts_with(MASK) {
        let fault = Fault::new(word.at, "this key is masked, as a running configuration shows it");
        return Err(fault.help("write the key itself"));
    }
    if !hex {
        return Ok(Found { value: SharedKey::new(word.text.as_bytes().to_vec()), at: word.at });
    }
    let digits = word.text.strip_prefix("0x").unwrap_or(word.text);
    if digits.is_empty() || digits.len() % 2 == 1 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        let fault = Fault::new(word.at, "the key is not of hexadecimal digits, two for each byte");
        return Err(
            fault.help("write two hexadecimal digits for each byte; or leave `hex` out, if it is text")
        );
    }
    // Room for all of it from the start: a buffer that grows leaves copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    bytes.extend(
        digits.as_bytes().chunks_exact(2).map(|pair| pair.iter().fold(0, |v, &d| v << 4 | nibble(d))),
    );
    Ok(Found { value: SharedKey::new(std::mem::take(&mut bytes)), at: word.at })
}
