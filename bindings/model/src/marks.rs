//! What else of a packet's headers an access list may ask for: the flags of TCP and the traffic class.

use serde::Serialize;

/// The flags of a TCP header (RFC 9293, section 3.1) from FIN to URG, or that they cannot be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// A packet without flags: of another protocol, a fragment without them, or one that was not looked at.
    pub const UNSEEN: TcpFlags = TcpFlags(0);
    /// Where the flags can be seen.
    const SEEN: u8 = 0x80;
    /// FIN, SYN, RST, PSH, ACK and URG. Those of congestion (RFC 3168) are left out.
    const ALL: u8 = 0x3F;

    /// As the header has them.
    #[inline]
    pub const fn seen(flags: u8) -> TcpFlags {
        TcpFlags(flags & TcpFlags::ALL | TcpFlags::SEEN)
    }

    /// The flags in the lower six bits; the highest says that they can be seen.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Bits of TCP flags and of the traffic class that must have certain values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Marks {
    /// Flags in the lower byte, traffic class in the upper one.
    value: u16,
    mask: u16,
}

impl Marks {
    /// Nothing is asked for.
    pub const ANY: Marks = Marks { value: 0, mask: 0 };

    /// These TCP flags are set, and those are not; of a flag that is in both, nothing can be. A packet whose flags cannot be
    /// seen does not match, whatever is asked.
    pub const fn flags(set: u8, clear: u8) -> Option<Marks> {
        if set & clear != 0 {
            return None;
        }
        let set = TcpFlags::seen(set).0 as u16;
        Some(Marks { value: set, mask: set | (clear & TcpFlags::ALL) as u16 })
    }

    /// The bits under the mask of the traffic class (RFC 2474; IPv4 calls it type of service) are those of the value.
    pub const fn class(value: u8, mask: u8) -> Marks {
        Marks { value: ((value & mask) as u16) << 8, mask: (mask as u16) << 8 }
    }

    /// What both ask for; `None` where no packet is both.
    pub const fn and(self, other: Marks) -> Option<Marks> {
        if (self.value ^ other.value) & self.mask & other.mask != 0 {
            return None;
        }
        Some(Marks { value: self.value | other.value, mask: self.mask | other.mask })
    }

    /// Whether nothing is asked for.
    pub const fn is_any(self) -> bool {
        self.mask == 0
    }

    /// What the bits must be: those of [`TcpFlags::bits`] in the lower byte, the traffic class in the upper one.
    pub const fn value(self) -> u16 {
        self.value
    }

    /// Which bits are asked for.
    pub const fn mask(self) -> u16 {
        self.mask
    }

    /// Whether a packet with these is meant.
    pub const fn contains(self, flags: TcpFlags, traffic_class: u8) -> bool {
        let bits = flags.0 as u16 | (traffic_class as u16) << 8;
        (bits ^ self.value) & self.mask == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_cannot_be_seen_match_only_what_does_not_ask() {
        let syn_alone = Marks::flags(0x02, 0x10).unwrap();
        assert!(syn_alone.contains(TcpFlags::seen(0x02), 0));
        assert!(syn_alone.contains(TcpFlags::seen(0xC2), 0x40), "congestion is not asked for");
        assert!(!syn_alone.contains(TcpFlags::seen(0x12), 0));
        let no_ack = Marks::flags(0, 0x10).unwrap();
        assert!(no_ack.contains(TcpFlags::seen(0), 0) && !no_ack.contains(TcpFlags::UNSEEN, 0));
        assert!(Marks::ANY.contains(TcpFlags::UNSEEN, 7) && Marks::ANY.is_any());
        assert_eq!(Marks::flags(0x12, 0x02), None);
    }

    #[test]
    fn two_are_met_by_what_meets_both() {
        let (ack, ef) = (Marks::flags(0x10, 0).unwrap(), Marks::class(46 << 2, 0xFC));
        let both = ack.and(ef).unwrap();
        assert!(both.contains(TcpFlags::seen(0x10), 46 << 2 | 3));
        assert!(!both.contains(TcpFlags::seen(0x10), 0) && !both.contains(TcpFlags::seen(0), 46 << 2));
        assert_eq!(ef.and(Marks::class(0, 0xE0)), None);
        assert_eq!(ack.and(Marks::flags(0, 0x10).unwrap()), None);
    }
}
