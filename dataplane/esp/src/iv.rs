//! Initialisation vectors in ESP (RFC 4106, sections 3 and 4; RFC 3686, section 3.1; RFC 7634, section 2).
//!
//! One IV must never be used twice with a key. Ours is a counter: a base that the SA was given, plus the packet's sequence
//! number, which is never used twice within an SA. So IVs of two SAs with one key (manual keys, before and after a
//! restart) differ as long as their bases are farther apart than the packets sent.
//!
//! An implicit IV is the sequence number alone (RFC 8750, section 4), and there such a base must be 0: nothing but the key
//! tells two SAs apart, so that no key may serve two.
//!
//! That is all that a counter mode asks for. CBC asks for IVs that nobody can foresee (RFC 3602, section 2.1; RFC 2451,
//! section 3), so there the counter is encrypted before it is sent: NIST SP 800-38A, appendix C, first method. It is put
//! where the IV goes, and CBC begins one block early, from an IV of zero: what comes out in its place is the counter
//! encrypted under the SA's own key, and is the IV of all that follows. So an IV costs one block in the same pass, and no
//! second key. It never repeats, as encryption maps no two counters to one block, and it looks random to whoever has not
//! the key. (Who could choose counters could make it foreseeable, by sending one as plaintext before. Nobody can: they are
//! ours, consecutive, and what is encrypted of a plaintext block is that block and the ciphertext before it, which is not
//! known when the plaintext is written.)

/// Bytes of explicit IV in each packet of a counter mode.
pub const LEN: usize = 8;

/// Bytes of the nonce: salt and IV.
pub const NONCE_LEN: usize = 12;

/// The IV of the packet with this sequence number; it goes on the wire big-endian.
#[inline]
pub const fn at(base: u64, sequence: u64) -> u64 {
    base.wrapping_add(sequence)
}

/// Writes the counter into the field of the IV, at its end if it is longer.
#[inline]
pub fn write(field: &mut [u8], counter: u64) {
    let counter = counter.to_be_bytes();
    if let Ok(place) = <&mut [u8; LEN]>::try_from(&mut *field) {
        *place = counter;
    } else if let Some(rest) = field.len().checked_sub(LEN) {
        let (zero, place) = field.split_at_mut(rest);
        zero.fill(0);
        place.copy_from_slice(&counter);
    }
}

/// The nonce: the salt, which is a part of the keying material, then the IV.
#[inline]
pub const fn nonce(salt: [u8; 4], iv: [u8; LEN]) -> [u8; NONCE_LEN] {
    // In one word, which is written at once.
    let word = u32::from_le_bytes(salt) as u128 | (u64::from_le_bytes(iv) as u128) << 32;
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = word.to_le_bytes();
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
        let mut field = [7; 16];
        write(&mut field, 0x0102_0304_0506_0708);
        assert_eq!(field, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        write(&mut field[..8], 9);
        assert_eq!(field, [0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
        write(&mut [], 9);
    }
}
