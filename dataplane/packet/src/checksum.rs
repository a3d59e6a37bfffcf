//! The Internet checksum: RFC 1071, and its incremental update, RFC 1624.

/// The sum of the bytes as big-endian 16-bit words, not yet folded; an odd last byte counts as the high half of a word.
///
/// Sums of parts add up if every part but the last is of even length. Up to 2^32 words fit without overflow.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    // Four bytes at a time: the carries between the two halves of a word are made good by `fold`, as 2^16 is 1
    // modulo 0xFFFF.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum = words.iter().fold(0, |sum: u64, word| sum + u64::from(u32::from_be_bytes(*word)));
    let (halves, rest) = rest.as_chunks::<2>();
    for half in halves {
        sum += u64::from(u16::from_be_bytes(*half));
    }
    if let [last] = rest {
        sum += u64::from(*last) << 8;
    }
    sum
}

/// Folds a sum into 16 bits with end-around carries.
#[inline]
pub const fn fold(sum: u64) -> u16 {
    // The halves, and the carry of their sum, which then cannot carry again.
    let (halves, carry) = (sum as u32).overflowing_add((sum >> 32) as u32);
    let sum = halves + carry as u32;
    // In the upper half of this: the sum of its halves, and the carry of that from the lower half.
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The checksum field for bytes with this sum (RFC 1071, section 1): the complement of the folded sum.
#[inline]
pub const fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The checksum field for these bytes, in which the field itself is zero or not included.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    finish(sum(bytes))
}

/// Whether bytes that include their checksum field verify (RFC 1071, section 1: the sum is all ones).
#[inline]
pub fn verify(bytes: &[u8]) -> bool {
    fold(sum(bytes)) == 0xFFFF
}

/// The checksum after one of the words that it covers changed from `old` to `new`
/// (RFC 1624, section 3, equation 3: HC' = ~(~HC + ~m + m')).
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    finish(!checksum as u64 + !old as u64 + new as u64)
}

/// The sum of the pseudo-header of IPv4 (RFC 768) or IPv6 (RFC 8200, section 8.1): addresses of 4 or 16 bytes each,
/// the length of the upper-layer packet in bytes, and its protocol.
#[inline]
pub fn pseudo_header(source: &[u8], destination: &[u8], length: u32, protocol: u8) -> u64 {
    sum(source) + sum(destination) + u64::from(length) + u64::from(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As RFC 1071, section 4.1 writes it in C.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        // Section 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2.
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // Section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285, HC' = 0x0000.
        assert_eq!(update(0xDD2F, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn the_largest_sum_folds() {
        assert_eq!(fold(u64::MAX), 0xFFFF);
        assert_eq!(fold(0xFFFF_FFFF_0000_0001), 1);
    }

    proptest! {
        #[test]
        fn same_as_the_slow_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(checksum(&bytes), slow(&bytes));
        }

        #[test]
        fn an_update_is_a_recomputation(
            mut bytes in prop::collection::vec(any::<u8>(), 20..=60),
            place in 1_usize..10,
            new: u16,
        ) {
            // A header's first word is never zero, so that its sum is never "minus zero".
            bytes[0] = 0x45;
            bytes.truncate(bytes.len() & !1);
            let before = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[place * 2], bytes[place * 2 + 1]]);
            bytes[place * 2..place * 2 + 2].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(update(before, old, new), checksum(&bytes));
        }

        #[test]
        fn what_was_summed_verifies_until_a_bit_flips(
            mut bytes in prop::collection::vec(any::<u8>(), 20..=60),
            flip: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            bytes[10] = 0;
            bytes[11] = 0;
            let field = checksum(&bytes);
            bytes[10..12].copy_from_slice(&field.to_be_bytes());
            prop_assert!(verify(&bytes));
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!verify(&bytes));
        }
    }
}
