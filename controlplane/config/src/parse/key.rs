//! `esp SPI cipher KEY`: an SPI and a key that somebody wrote down.

use super::cursor::{Cursor, Found, parse_decimal};
use super::draft::KeyDraft;
use crate::source::{Fault, MASK, Word};
use model::{KeyMaterial, Spi};
use zeroize::Zeroize;

/// `esp SPI cipher KEY`.
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
        .help("write `esp SPI cipher KEY`"));
    };
    let spi = Spi::new(number).map_err(|error| {
        Fault::new(word.at, format!("SPI {} is reserved (RFC 4303, section 2.1)", error.0))
            .help("take one from 256 to 4294967295")
    })?;
    cursor.one_of(&["cipher"]).map_err(|fault| match fault.help {
        Some(_) => fault,
        None => fault.help("write `esp SPI cipher KEY`"),
    })?;
    let digits = cursor.next("the key")?;
    if let Some(word) = cursor.peek().filter(|word| word.is("authenticator")) {
        let fault = Fault::new(word.at, "AES-GCM has no second key for authentication");
        return Err(fault.help("end the line behind the key of `cipher`"));
    }
    let key = key(digits)?;
    Ok(Found {
        value: KeyDraft { spi: Found { value: spi, at: word.at }, key: Found { value: key, at: digits.at } },
        at: word.at,
    })
}

/// Hexadecimal digits, as many as there are; what an entry's suite wants is asked when all is read.
fn key(word: &Word<'_>) -> Result<KeyMaterial, Fault> {
    const SHAPE: &str = "write the AES key and 4 bytes of salt as 40 or 72 hexadecimal digits";
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
    key.ok_or_else(|| Fault::new(word.at, "the key is too long").help(SHAPE))
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}
