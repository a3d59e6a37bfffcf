//! Initialisation vectors of AES-GCM in ESP (RFC 4106, sections 3 and 4).
//!
//! One IV must never be used twice with a key. Ours is a counter: a base that the SA was given, plus the packet's sequence
//! number, which is never used twice within an SA. So IVs of two SAs with one key (manual keys, before and after a
//! restart) differ as long as their bases are farther apart than the packets sent.

/// Bytes of explicit IV in each packet.
pub const LEN: usize = 8;

/// Bytes of the nonce: salt and IV.
pub const NONCE_LEN: usize = 12;

/// The IV of the packet with this sequence number; it goes on the wire big-endian.
#[inline]
pub const fn at(base: u64, sequence: u64) -> u64 {
    base.wrapping_add(sequence)
}

/// The nonce: the salt, which is a part of the keying material, then the IV.
#[inline]
pub const fn nonce(salt: [u8; 4], iv: [u8; LEN]) -> [u8; NONCE_LEN] {
    let [a, b, c, d] = salt;
    let [e, f, g, h, i, j, k, l] = iv;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_then_counter() {
        assert_eq!(at(u64::MAX, 2), 1);
        let iv = at(0x0102_0304_0506_0700, 8).to_be_bytes();
        assert_eq!(nonce([9, 8, 7, 6], iv), [9, 8, 7, 6, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
