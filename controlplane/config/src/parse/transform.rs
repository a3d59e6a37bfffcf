//! The transforms of a transform set: what makes a [`Suite`].

use super::cursor::{Cursor, Found, parse_decimal, unexpected};
use crate::source::{At, Fault, Word};
use model::{Cipher, Hmac, IcvLen, KeyLen, Suite};

const MEND: &str = "write `esp-gcm 256`, or `esp-aes 256 esp-sha256-hmac`, here and on the peer";
const BITS: &str = "the length of the key, 128, 192 or 256,";
const BITS_MEND: &str = "write `esp-gcm 128`, `esp-gcm 192` or `esp-gcm 256`, here and on the peer";

/// What there is. `esp-chacha20-poly1305` and `esp-aes-ctr` are named after IOS's manner, which has none of the two.
const KNOWN: [&str; 11] = [
    "esp-gcm",
    "esp-gmac",
    "esp-chacha20-poly1305",
    "esp-aes",
    "esp-aes-ctr",
    "esp-3des",
    "esp-null",
    "esp-sha-hmac",
    "esp-sha256-hmac",
    "esp-sha384-hmac",
    "esp-sha512-hmac",
];

/// What IOS has and Espalier will not have: why, and what to write.
const REFUSED: [(&str, &str, &str); 9] = [
    ("esp-des", "DES is broken, and RFC 8221 forbids it", MEND),
    (
        "esp-md5-hmac",
        "RFC 8221 forbids HMAC-MD5",
        "write `esp-sha256-hmac`, or `esp-sha-hmac` if the peer has nothing better, here and on the peer",
    ),
    ("esp-seal", "nobody but IOS has SEAL", MEND),
    ("ah-md5-hmac", NO_AH, MEND),
    ("ah-sha-hmac", NO_AH, MEND),
    ("ah-sha256-hmac", NO_AH, MEND),
    ("ah-sha384-hmac", NO_AH, MEND),
    ("ah-sha512-hmac", NO_AH, MEND),
    ("comp-lzs", "it compresses nothing", "remove it, here and on the peer"),
];
const NO_AH: &str = "it has no AH, and ESP authenticates, too";

/// What other vendors' people write, and what it is called here.
const MISNOMERS: [(&str, &str); 5] = [
    ("esp-aes-gcm", "esp-gcm"),
    ("esp-aes-gmac", "esp-gmac"),
    ("esp-aes-cbc", "esp-aes"),
    ("esp-sha1-hmac", "esp-sha-hmac"),
    ("esp-chacha20", "esp-chacha20-poly1305"),
];

/// One word of a set, with what belongs to it.
enum Transform {
    /// Encrypts and authenticates by itself.
    Whole(Suite),
    Half(Half),
}

#[derive(Clone, Copy)]
enum Half {
    Cipher(Cipher),
    Hmac(Hmac),
}

/// All transforms up to the line's end: one that does both, or a cipher and an HMAC in either order.
pub(super) fn suite(cursor: &mut Cursor<'_, '_>) -> Result<Found<Suite>, Fault> {
    let first = transform(cursor)?;
    let half = match first.value {
        Transform::Half(half) => half,
        Transform::Whole(suite) => {
            let Some(second) = cursor.peek().filter(|word| is_transform(word)) else {
                return Ok(Found { value: suite, at: first.at });
            };
            let message = format!("`{suite}` has no second transform: it authenticates by itself");
            return Err(
                Fault::new(second.at, message).help(format!("end the line before {}", second.quoted()))
            );
        }
    };
    if cursor.peek().is_none() {
        return Err(lonely(half, first.at));
    }
    let second = transform(cursor)?;
    let (cipher, hmac) = match (half, second.value) {
        (Half::Cipher(cipher), Transform::Half(Half::Hmac(hmac)))
        | (Half::Hmac(hmac), Transform::Half(Half::Cipher(cipher))) => (cipher, hmac),
        (Half::Hmac(_), Transform::Half(_)) => return Err(twice(second.at, "an HMAC")),
        (Half::Cipher(_), Transform::Half(_)) => return Err(twice(second.at, "a cipher")),
        (_, Transform::Whole(suite)) => {
            let fault = Fault::new(first.at, format!("`{suite}` has no second transform: it does both"));
            return Err(fault.help(format!("write `{suite}` alone, here and on the peer")));
        }
    };
    Ok(Found { value: Suite::CipherHmac { cipher, hmac }, at: first.at.to(second.at) })
}

fn twice(at: At, what: &str) -> Fault {
    Fault::new(at, format!("the set has {what} already"))
        .help("keep one of the two, the one that the peer has")
}

/// The fault of half a suite.
fn lonely(half: Half, at: At) -> Fault {
    match half {
        Half::Hmac(hmac) => Fault::new(at, "the set says nothing of a cipher")
            .help(format!("write `esp-aes 256 {hmac}`; or `esp-null {hmac}`, to encrypt nothing")),
        Half::Cipher(cipher) => {
            let message = "a cipher alone lets packets be altered on their way (RFC 4303, section 3.2.1)";
            let with = format!("write `{cipher} esp-sha256-hmac`, or `esp-gcm 256`, here and on the peer");
            Fault::new(at, message).help(with)
        }
    }
}

fn is_transform(word: &Word<'_>) -> bool {
    KNOWN.iter().chain(REFUSED.iter().map(|(name, ..)| name)).any(|name| word.is(name))
}

fn transform(cursor: &mut Cursor<'_, '_>) -> Result<Found<Transform>, Fault> {
    let word = *cursor.next("a transform such as `esp-gcm 256`")?;
    if let Some((_, why, mend)) = REFUSED.iter().find(|(name, ..)| word.is(name)) {
        let message = format!("{} is not available in Espalier: {why}", word.quoted());
        return Err(Fault::new(word.at, message).help(*mend));
    }
    let found = |value, at: At| Ok(Found { value, at: word.at.to(at) });
    let alone = |value| Ok(Found { value, at: word.at });
    match word.text.to_ascii_lowercase().as_str() {
        "esp-gcm" => {
            let key = key_len(cursor)?;
            let icv = icv_len(cursor)?;
            let at = icv.as_ref().map_or(key.at, |icv| icv.at);
            let icv = icv.map_or(IcvLen::Bytes16, |icv| icv.value);
            match implicit_iv(cursor) {
                None => found(Transform::Whole(Suite::AesGcm { key: key.value, icv }), at),
                Some(at) if icv == IcvLen::Bytes16 => {
                    found(Transform::Whole(Suite::AesGcmIiv { key: key.value }), at)
                }
                Some(at) => Err(Fault::new(at, "with an implicit IV, the ICV has 16 bytes (RFC 8750)")
                    .help("remove `icv` and the number behind it, here and on the peer")),
            }
        }
        "esp-gmac" => {
            let key = key_len(cursor)?;
            found(Transform::Whole(Suite::AesGmac { key: key.value }), key.at)
        }
        "esp-chacha20-poly1305" => match implicit_iv(cursor) {
            None => alone(Transform::Whole(Suite::ChaCha20Poly1305)),
            Some(at) => found(Transform::Whole(Suite::ChaCha20Poly1305Iiv), at),
        },
        "esp-aes" => {
            let key = key_len_or_128(cursor, word.at)?;
            found(Transform::Half(Half::Cipher(Cipher::AesCbc(key.value))), key.at)
        }
        "esp-aes-ctr" => {
            let key = key_len_or_128(cursor, word.at)?;
            found(Transform::Half(Half::Cipher(Cipher::AesCtr(key.value))), key.at)
        }
        "esp-3des" => alone(Transform::Half(Half::Cipher(Cipher::TripleDesCbc))),
        "esp-null" => alone(Transform::Half(Half::Cipher(Cipher::Null))),
        "esp-sha-hmac" => alone(Transform::Half(Half::Hmac(Hmac::Sha1))),
        "esp-sha256-hmac" => alone(Transform::Half(Half::Hmac(Hmac::Sha256))),
        "esp-sha384-hmac" => alone(Transform::Half(Half::Hmac(Hmac::Sha384))),
        "esp-sha512-hmac" => alone(Transform::Half(Half::Hmac(Hmac::Sha512))),
        _ => {
            if let Some((_, known)) = MISNOMERS.iter().find(|(name, _)| word.is(name)) {
                let fault = Fault::new(word.at, format!("{} is called `{known}` here", word.quoted()));
                return Err(fault.help(format!("write `{known}`")));
            }
            let fault = unexpected(&word, "a transform", KNOWN);
            Err(if fault.help.is_some() { fault } else { fault.help(MEND) })
        }
    }
}

/// IOS takes 128 for what is not written; two ends that mean different things are better written down.
fn key_len(cursor: &mut Cursor<'_, '_>) -> Result<Found<KeyLen>, Fault> {
    let bits = cursor.next(BITS).map_err(|fault| fault.help(BITS_MEND))?;
    let len = KeyLen::ALL.into_iter().find(|len| parse_decimal(bits.text) == Some(len.bits() as u32));
    match len {
        Some(value) => Ok(Found { value, at: bits.at }),
        None => Err(unexpected(bits, BITS, []).help(BITS_MEND)),
    }
}

/// But a running configuration of IOS says `esp-aes` for `esp-aes 128`, so that this must be read.
fn key_len_or_128(cursor: &mut Cursor<'_, '_>, at: At) -> Result<Found<KeyLen>, Fault> {
    match cursor.peek() {
        Some(word) if !word.text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Found { value: KeyLen::Aes128, at })
        }
        None => Ok(Found { value: KeyLen::Aes128, at }),
        Some(_) => key_len(cursor).map_err(|fault| fault.help("write 128, 192 or 256, here and on the peer")),
    }
}

/// `implicit-iv`, which IOS does not have.
fn implicit_iv(cursor: &mut Cursor<'_, '_>) -> Option<At> {
    let at = cursor.peek()?.at;
    cursor.accept("implicit-iv").then_some(at)
}

/// `icv BYTES`, which IOS does not have: there it is always 16.
fn icv_len(cursor: &mut Cursor<'_, '_>) -> Result<Option<Found<IcvLen>>, Fault> {
    const WHAT: &str = "the length of the ICV in bytes, 8, 12 or 16,";
    if !cursor.accept("icv") {
        return Ok(None);
    }
    let bytes = cursor.next(WHAT)?;
    let len = IcvLen::ALL.into_iter().find(|len| parse_decimal(bytes.text) == Some(len.bytes() as u32));
    match len {
        Some(value) => Ok(Some(Found { value, at: bytes.at })),
        None => Err(unexpected(bytes, WHAT, []).help("write 16, here and on the peer, or nothing")),
    }
}
