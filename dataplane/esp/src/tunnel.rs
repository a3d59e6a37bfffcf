//! What tunnel mode copies between the headers: RFC 4301, section 5.1.2, and RFC 6040 for ECN.
//!
//! | field of the outer header | on the way out | on the way in |
//! |---|---|---|
//! | TTL, hop limit | [`Options::ttl`], not the inner one | not looked at |
//! | DSCP | copied from the inner header, or mapped: [`Dscp`] | not looked at; the inner one stays |
//! | ECN | RFC 6040, normal mode, or compatibility mode: [`EcnMode`] | joined with the inner one: [`decapsulated_ecn`] |
//! | DF (IPv4) | [`DontFragment`] | not looked at |
//! | identification (IPv4) | 0 where DF is set (RFC 6864), else the low 16 bits of the sequence number | not looked at |
//! | flow label (IPv6) | [`Options::flow_label`], one for the SA, never the inner one | not looked at |
//! | options, extension headers | none | not looked at |
//!
//! The inner TTL or hop limit is not this crate's: whoever forwards the packet decrements it, once, before
//! encapsulation or after decapsulation (RFC 4301, section 5.1.2.1, note 2). So is the inner header as a whole, but for
//! ECN on the way in.

use model::{DontFragment, DscpMap, Spi};
use packet::{Ecn, ipv4, ipv6, protocol};
use std::net::IpAddr;
use std::sync::Arc;

/// What outer headers are made of, beside the inner one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time to live, or hop limit, of the outer header, in hops.
    pub ttl: u8,
    /// Where the outer DSCP comes from.
    pub dscp: Dscp,
    /// Where the outer DF comes from.
    pub df: DontFragment,
    /// Where the outer ECN comes from.
    pub ecn: EcnMode,
    /// Flow label of an outer IPv6 header, 20 bits. A gateway must not copy the inner ones, as those of its hosts would
    /// collide (RFC 4301, section 5.1.2.2, note 8); [`flow_label`] makes one of the SPI.
    pub flow_label: u32,
}

impl Default for Options {
    /// TTL 64, DSCP and DF copied, ECN in normal mode, no flow label.
    fn default() -> Options {
        Options { ttl: 64, dscp: Dscp::Copy, df: DontFragment::Copy, ecn: EcnMode::Normal, flow_label: 0 }
    }
}

/// A flow label that tells an SA's packets from another's, so that the path may spread SAs over its links: well mixed, as
/// RFC 6437, section 3, wants it, never 0, and nothing that the SPI on the wire does not say.
#[inline]
pub const fn flow_label(spi: Spi) -> u32 {
    match spi.get().wrapping_mul(0x9E37_79B1) >> 12 {
        0 => 1,
        label => label,
    }
}

/// Where the outer DSCP comes from (RFC 4301, section 5.1.2.1, note 6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// From the inner header.
    #[default]
    Copy,
    /// By the inner one. If that gives the same for all, it hides what they are.
    Map(Arc<DscpMap>),
}

/// Where the outer ECN comes from (RFC 6040, section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnMode {
    /// From the inner header.
    #[default]
    Normal,
    /// None, for a peer whose decapsulation loses congestion marks.
    Compatibility,
}

/// IP version of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// Of a packet, by its first nibble.
    #[inline]
    pub fn of(packet: &[u8]) -> Option<Version> {
        match packet.first()? >> 4 {
            4 => Some(Version::V4),
            6 => Some(Version::V6),
            _ => None,
        }
    }

    /// Of an address.
    #[inline]
    pub const fn of_address(address: IpAddr) -> Version {
        match address {
            IpAddr::V4(_) => Version::V4,
            IpAddr::V6(_) => Version::V6,
        }
    }

    /// ESP's next header for it in tunnel mode.
    #[inline]
    pub const fn next_header(self) -> u8 {
        match self {
            Version::V4 => protocol::IPV4,
            Version::V6 => protocol::IPV6,
        }
    }
}

impl Options {
    /// TOS byte and DF of the outer header around this packet, whose header is sound.
    #[inline]
    pub(crate) fn outer(&self, version: Version, inner: &[u8]) -> (u8, bool) {
        let (tos, df) = match version {
            Version::V4 => {
                let inner = ipv4::Packet::new_unchecked(inner);
                (inner.tos(), inner.has_df())
            }
            Version::V6 => (ipv6::Packet::new_unchecked(inner).traffic_class(), true),
        };
        let dscp = match &self.dscp {
            Dscp::Copy => tos & !0b11,
            Dscp::Map(map) => map.of(tos >> 2) << 2,
        };
        let ecn = match self.ecn {
            EcnMode::Normal => tos & 0b11,
            EcnMode::Compatibility => Ecn::NotEct.bits(),
        };
        let df = match self.df {
            DontFragment::Copy => df,
            DontFragment::Set => true,
            DontFragment::Clear => false,
        };
        (dscp | ecn, df)
    }
}

/// The ECN of a packet that comes out of a tunnel (RFC 6040, section 4.2, figure 4); `None`: it must be dropped, as it
/// met congestion and cannot say so.
#[inline]
pub const fn decapsulated_ecn(outer: Ecn, inner: Ecn) -> Option<Ecn> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => None,
        (Ecn::NotEct, _) => Some(Ecn::NotEct),
        (_, Ecn::Ce) | (Ecn::Ce, _) => Some(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Some(Ecn::Ect1),
        (inner, _) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecn_is_joined_as_figure_4_says() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        // Rows: inner; columns: outer Not-ECT, ECT(0), ECT(1), CE.
        let figure = [
            (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
            (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
            (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
            (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
        ];
        for (inner, row) in figure {
            for (outer, expected) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
                assert_eq!(decapsulated_ecn(outer, inner), expected, "inner {inner:?}, outer {outer:?}");
            }
        }
    }

    #[test]
    fn outer_fields_follow_the_options() {
        let mut v4 = [0; 20];
        v4[..2].copy_from_slice(&[0x45, 0b1011_1001]);
        let mut v6 = [0; 40];
        ipv6::Packet::new_unchecked(&mut v6[..]).set_traffic_class(0b1011_1010);
        let copy = Options::default();
        assert_eq!(copy.outer(Version::V4, &v4), (0b1011_1001, false));
        assert_eq!(copy.outer(Version::V6, &v6), (0b1011_1010, true));
        v4[6] = 0x40;
        assert_eq!(copy.outer(Version::V4, &v4), (0b1011_1001, true));
        let mut points = [0; DscpMap::POINTS];
        points[0b10_1110] = 1;
        let dscp = Dscp::Map(Arc::new(DscpMap::new(points).unwrap()));
        let mapped =
            Options { dscp, df: DontFragment::Clear, ecn: EcnMode::Compatibility, ..Options::default() };
        assert_eq!(mapped.outer(Version::V4, &v4), (0b0000_0100, false));
        let set = Options { df: DontFragment::Set, ..copy };
        v4[6] = 0;
        assert_eq!(set.outer(Version::V4, &v4), (0b1011_1001, true));
    }
}
