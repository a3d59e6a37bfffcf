//! `esp SPI cipher KEY authenticator KEY`: an SPI and keys that somebody wrote down.

use super::cursor::{Cursor, Found, parse_decimal};
use super::draft::KeyDraft;
use crate::source::{Fault, MASK, Word};
use model::{KeyMaterial, Spi};
use zeroize::Zeroize;

const SHAPE: &str = "write `esp SPI cipher KEY`, and `authenticator KEY` behind it where the set has an HMAC";

/// `esp SPI cipher KEY authenticator KEY`, of which a suite may want one only.
pub(super) fn session_key(cursor: &mut Cursor<'_, '_>) -> Result<Found<KeyDraft>, Fault> {
    if let Some(word) = cursor.peek().filter(|word| word.is("ah")) {
        return Err(Fault::new(word.at, "`ah` is not available in Espalier")
            .help("write `esp`, here and on the peer"));
    }
    cursor.one_of(&["esp"])?;
    let word = cursor.next("the SPI")?;
    let number = match word.text.strip_prefix("0x").or_else(|| word.text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => parse_decimal(word.text),
    };
    let Some(number) = number else {
        return Err(Fault::new(
            word.at,
            format!("{} is no SPI, a number from 256 to 4294967295", word.quoted()),
        )
        .help(SHAPE));
    };
    let spi = Spi::new(number).map_err(|error| {
        Fault::new(word.at, format!("SPI {} is reserved (RFC 4303, section 2.1)", error.0))
            .help("take one from 256 to 4294967295")
    })?;
    let fault = |fault: Fault| if fault.help.is_some() { fault } else { fault.help(SHAPE) };
    let first = cursor.one_of(&["cipher", "authenticator"]).map_err(fault)?;
    let first_key = key(cursor.next("the key")?)?;
    let (cipher, authenticator) = match first.value {
        "authenticator" => (None, Some(first_key)),
        _ if cursor.accept("authenticator") => (Some(first_key), Some(key(cursor.next("the key")?)?)),
        _ => (Some(first_key), None),
    };
    let spi = Found { value: spi, at: word.at };
    Ok(Found { value: KeyDraft { spi, cipher, authenticator }, at: word.at })
}

/// Hexadecimal digits, as many as there are; what an entry's suite wants is asked when all is read.
fn key(word: &Word<'_>) -> Result<Found<KeyMaterial>, Fault> {
    const SHAPE: &str = "write two hexadecimal digits for each byte, as many as the transform set wants";
    if word.text.starts_with(MASK) {
        let fault = Fault::new(word.at, "this key is masked, as a running configuration shows it");
        return Err(fault.help("write the key itself"));
    }
    let digits = word.text.strip_prefix("0x").or_else(|| word.text.strip_prefix("0X")).unwrap_or(word.text);
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::new(word.at, "the key has characters that are no hexadecimal digits").help(SHAPE));
    }
    if digits.len() % 2 == 1 {
        return Err(Fault::new(
            word.at,
            format!("the key has {} hexadecimal digits, an odd number", digits.len()),
        )
        .help(SHAPE));
    }
    let mut bytes = [0u8; KeyMaterial::MAX];
    if digits.len() > 2 * bytes.len() {
        return Err(Fault::new(
            word.at,
            format!("the key has {} hexadecimal digits, which is too long", digits.len()),
        )
        .help(SHAPE));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, digit| value << 4 | nibble(*digit));
    }
    let key = bytes.get(..digits.len() / 2).and_then(KeyMaterial::new);
    bytes.zeroize();
    let value = key.ok_or_else(|| Fault::new(word.at, "the key is too long").help(SHAPE))?;
    Ok(Found { value, at: word.at })
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}
