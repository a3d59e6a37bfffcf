//! TCP (RFC 9293): no more of it than its maximum segment size, which a gateway may lower.

use crate::{checksum, field};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

const SYN: u8 = 0x02;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;

/// Lowers the maximum segment size that a SYN offers (RFC 9293, section 3.7.1) to `most` bytes, and mends the checksum
/// (RFC 1624). Returns whether it did. What is no SYN, says nothing of it, less, or is malformed stays as it is.
pub fn lower_mss(segment: &mut [u8], most: u16) -> bool {
    let header_len = usize::from(field::get_u8(segment, 12) >> 4) * 4;
    if segment.len() < HEADER_LEN || field::get_u8(segment, 13) & SYN == 0 {
        return false;
    }
    let Some(at) = mss_at(field::between(segment, 0, header_len)) else { return false };
    let offered = field::get_u16(segment, at);
    if offered <= most {
        return false;
    }
    field::set_u16(segment, at, most);
    // In a field at an odd place the words that the checksum sees have its bytes the other way round.
    let seen = |value: u16| if at.is_multiple_of(2) { value } else { value.swap_bytes() };
    let sum = checksum::update(field::get_u16(segment, 16), seen(offered), seen(most));
    field::set_u16(segment, 16, sum);
    true
}

/// Where the option's value is.
fn mss_at(header: &[u8]) -> Option<usize> {
    let mut at = HEADER_LEN;
    loop {
        let kind = *header.get(at)?;
        let len = match kind {
            END => return None,
            NO_OPERATION => 1,
            _ => usize::from(*header.get(at + 1)?),
        };
        if kind == MSS && len == 4 && at + 4 <= header.len() {
            return Some(at + 2);
        }
        if kind != NO_OPERATION && len < 2 {
            return None;
        }
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![7; HEADER_LEN];
        bytes.extend(options);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes[12] = ((bytes.len() / 4) as u8) << 4;
        bytes[13] = flags;
        bytes[16..18].copy_from_slice(&[0, 0]);
        let sum = checksum::checksum(&bytes);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn only_what_is_more_is_lowered() {
        let offers = |mss: u16, before: &[u8]| {
            let [high, low] = mss.to_be_bytes();
            [before, &[2, 4, high, low, 4, 2]].concat()
        };
        for (flags, options, expected) in [
            (SYN, offers(1460, &[]), Some((20, 1300))),
            (SYN | 0x10, offers(1460, &[1]), Some((21, 1300))),
            (SYN, offers(1460, &[1, 1, 3, 3, 7]), Some((25, 1300))),
            (SYN, offers(1300, &[]), None),
            (SYN, offers(536, &[]), None),
            (0x10, offers(1460, &[]), None),
            (SYN, offers(1460, &[0, 0]), None),
            (SYN, offers(1460, &[9, 0]), None),
            (SYN, vec![2, 3, 9], None),
            (SYN, vec![1, 1, 2, 4], None),
        ] {
            let mut bytes = segment(flags, &options);
            let before = bytes.clone();
            assert_eq!(lower_mss(&mut bytes, 1300), expected.is_some(), "{options:?}");
            match expected {
                Some((at, mss)) => {
                    assert_eq!(field::get_u16(&bytes, at + 2), mss);
                    assert!(checksum::verify(&bytes));
                }
                None => assert_eq!(bytes, before),
            }
        }
    }

    proptest! {
        #[test]
        fn no_segment_is_harmed(mut bytes in prop::collection::vec(any::<u8>(), 0..80), most: u16) {
            if bytes.len() > 13 {
                bytes[13] |= SYN;
            }
            let before = bytes.clone();
            if lower_mss(&mut bytes, most) {
                let changed = bytes.iter().zip(&before).filter(|(a, b)| a != b).count();
                prop_assert!(changed <= 4);
                prop_assert!(!lower_mss(&mut bytes, most));
            } else {
                prop_assert_eq!(bytes, before);
            }
        }
    }
}
