//! The slow twin: whole packets, copied, allocated, written line by line from RFC 4303, 4106, 4301, 6040 and 3948.
//!
//! It shares nothing with the quick way but the types of the parameters, so that a test that finds both equal has found
//! something. Not for the packet path.

mod decapsulate;
mod encapsulate;

pub use decapsulate::decapsulate;
pub use encapsulate::encapsulate;

/// A cipher with a key in it, such as AES-GCM.
pub trait Aead {
    /// Ciphertext, then the ICV at its full length of 16 bytes.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &[u8]) -> Vec<u8>;
    /// Plaintext of a ciphertext that ends with its ICV of `icv_len` bytes; `None` if the ICV does not verify.
    fn open(&self, nonce: [u8; 12], aad: &[u8], text_and_icv: &[u8], icv_len: usize) -> Option<Vec<u8>>;
}

/// What becomes of an ESP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No ESP is in it, or it is too short.
    Truncated,
    /// The ICV does not verify.
    BadIcv,
    /// The padding is wrong.
    BadPadding,
    /// Not an IP packet in tunnel mode.
    BadNextHeader(u8),
    /// Next header 59.
    Dummy,
    /// The inner packet is malformed.
    BadInner,
    /// Dropped by RFC 6040.
    Congestion,
}

/// RFC 4106, section 5, figures 2 and 3.
fn aad(spi: u32, sequence: u64, esn: bool) -> Vec<u8> {
    let mut aad = spi.to_be_bytes().to_vec();
    if esn {
        aad.extend(((sequence >> 32) as u32).to_be_bytes());
    }
    aad.extend((sequence as u32).to_be_bytes());
    aad
}

/// RFC 1071, byte by byte.
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, pair| {
        let word = u16::from(pair[0]) * 256 + u16::from(*pair.get(1).unwrap_or(&0));
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

/// A packet's own headers, as far as ESP leaves them alone, and what is behind them.
struct Divided {
    headers: Vec<u8>,
    rest: Vec<u8>,
    /// Number of what is behind.
    next: u8,
}

/// Divides a whole IP packet in front of the first header that `stop` wants, or of the next layer.
///
/// `stop` sees a header's number, and the numbers of all headers behind it.
fn divide(packet: &[u8], stop: impl Fn(u8, &[u8]) -> bool) -> Option<Divided> {
    if packet.first()? >> 4 == 4 {
        let header_len = usize::from(packet[0] & 15) * 4;
        let total = usize::from(packet[2]) * 256 + usize::from(packet[3]);
        let whole = packet.get(..total)?;
        if packet[6] & 0x3F != 0 || packet[7] != 0 {
            return None;
        }
        return Some(Divided {
            headers: whole.get(..header_len)?.to_vec(),
            rest: whole.get(header_len..)?.to_vec(),
            next: packet[9],
        });
    }
    let total = 40 + usize::from(*packet.get(4)?) * 256 + usize::from(*packet.get(5)?);
    let whole = packet.get(..total)?;
    // Each header: its number, and where it begins.
    let mut headers = vec![(whole[6], 40)];
    while let Some(&(number @ (0 | 43 | 44 | 60), at)) = headers.last() {
        let length = if number == 44 { 8 } else { 8 + 8 * usize::from(*whole.get(at + 1)?) };
        let fragment = number == 44 && (*whole.get(at + 2)? != 0 || *whole.get(at + 3)? & !0b110 != 0);
        if fragment || headers.len() > 8 || at + length > whole.len() || number == 0 && headers.len() > 1 {
            return None;
        }
        headers.push((whole[at], at + length));
    }
    let numbers: Vec<u8> = headers.iter().map(|(number, _)| *number).collect();
    let place =
        (0..headers.len()).find(|&i| i + 1 == headers.len() || stop(numbers[i], &numbers[i + 1..]))?;
    let (next, at) = headers[place];
    Some(Divided { headers: whole[..at].to_vec(), rest: whole[at..].to_vec(), next })
}

/// Headers with `next` behind them, and `length` bytes of it.
fn renamed(mut headers: Vec<u8>, next: u8, length: usize) -> Option<Vec<u8>> {
    if headers[0] >> 4 == 4 {
        let total = u16::try_from(headers.len() + length).ok()?;
        headers[2..4].copy_from_slice(&total.to_be_bytes());
        headers[9] = next;
        headers[10..12].fill(0);
        let checksum = !ones_complement_sum(&headers);
        headers[10..12].copy_from_slice(&checksum.to_be_bytes());
        return Some(headers);
    }
    let payload = u16::try_from(headers.len() - 40 + length).ok()?;
    headers[4..6].copy_from_slice(&payload.to_be_bytes());
    // Where the last of them begins: its first byte names what is next, and so does the sixth of the fixed header.
    let (mut names, mut number, mut at) = (6, headers[6], 40);
    while at < headers.len() {
        let length = if number == 44 { 8 } else { 8 + 8 * usize::from(headers[at + 1]) };
        (names, number, at) = (at, headers[at], at + length);
    }
    headers[names] = next;
    Some(headers)
}

/// The sum over the pseudo-header and the next layer (RFC 768; RFC 8200, section 8.1).
fn next_layer_sum(headers: &[u8], number: u8, bytes: &[u8]) -> u16 {
    let addresses = if headers[0] >> 4 == 4 { &headers[12..20] } else { &headers[8..40] };
    let length = (bytes.len() as u32).to_be_bytes();
    ones_complement_sum(&[addresses, &length, &[0, number], bytes].concat())
}
