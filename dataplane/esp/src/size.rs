//! What fits an SA, and what becomes of what does not: RFC 4301, section 8, and RFC 4303, section 3.3.4.

use crate::outbound::{TRAILER_LEN, Template};
use crate::tunnel::Version;
use model::{DontFragment, Fragmentation, SizeRules};
use packet::{ipv4, ipv6};

/// The least MTU that an answer may name: what every host can reach (RFC 791, section 3.2; RFC 8200, section 5).
const LEAST_V4: usize = 68;
const LEAST_V6: usize = 1280;

/// What becomes of a packet that is, encapsulated, too long for its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is encapsulated whole, and what comes of it is fragmented.
    Whole,
    /// It is fragmented, into packets of at most so many bytes, and each is encapsulated.
    Fragments(usize),
    /// Its sender hears that packets of so many bytes would do.
    Answer(usize),
}

impl Template {
    /// Bytes that a packet of `len` bytes cannot exceed if what comes of it is to have at most `limit`. In tunnel mode a
    /// packet that is not longer fits always and a longer one never; in transport mode some that are longer fit, too.
    #[inline]
    pub const fn room(&self, limit: usize) -> usize {
        let text = limit.saturating_sub(self.header_len() + self.icv_len());
        let text = if self.is_transport() {
            text.saturating_sub(self.shape.alignment() - 1)
        } else {
            text & !(self.shape.alignment() - 1)
        };
        text.saturating_sub(TRAILER_LEN)
    }

    /// Bytes that come of a packet.
    #[inline]
    pub fn outer_len(&self, inner: &[u8]) -> usize {
        self.header_len() + inner.len() + self.trailer_len(inner)
    }

    /// The longest packet with headers like this one's of which at most `limit` bytes come; 0 if there is none.
    fn longest(&self, inner: &[u8], limit: usize) -> usize {
        if !self.is_transport() {
            return self.room(limit);
        }
        let outside = self.outside(inner);
        let text = limit.saturating_sub(self.header_len() + self.icv_len() + outside);
        let text = text & !(self.shape.alignment() - 1);
        text.checked_sub(TRAILER_LEN).map_or(0, |text| outside + text)
    }

    /// What becomes of this packet if at most `limit` bytes may come of it; `None` if that is so.
    pub fn fit(&self, rules: SizeRules, inner: &[u8], limit: usize) -> Option<Fit> {
        if self.outer_len(inner) <= limit {
            return None;
        }
        let longest = self.longest(inner, limit);
        let fit = match Version::of(inner) {
            // Whoever sends IPv6 may count on 1280 bytes, and so a tunnel has to fragment (RFC 2473, section 7.1).
            Some(Version::V6) if inner.len() <= LEAST_V6 => Fit::Whole,
            Some(Version::V6) => Fit::Answer(longest.max(LEAST_V6)),
            _ => {
                let df = ipv4::Packet::new_unchecked(inner).has_df();
                match (df, rules.df, rules.fragmentation) {
                    // Of a packet that is whole in transport mode, or is not to be cut, what comes may be.
                    (false, ..) if self.is_transport() => Fit::Whole,
                    (true, DontFragment::Clear, _) if !self.is_transport() => Fit::Whole,
                    (true, ..) => Fit::Answer(longest.max(LEAST_V4)),
                    (false, DontFragment::Copy | DontFragment::Clear, Fragmentation::AfterEncryption) => {
                        Fit::Whole
                    }
                    // No packet is too short to be a fragment, if its header has room.
                    (false, ..) if longest < LEAST_V4 => Fit::Whole,
                    (false, ..) => Fit::Fragments(longest),
                }
            }
        };
        Some(fit)
    }

    /// The identification of the fragments that what came of a packet is cut into: another for each packet of the SA, and
    /// unlike those of other SAs between the same two ends.
    pub fn identification(&self, sequence: u32) -> u32 {
        sequence ^ self.spi().wrapping_mul(0x9E37_79B1)
    }
}

/// What becomes of a packet in clear that is longer than `mtu`.
pub fn in_clear(packet: &[u8], mtu: usize) -> Fit {
    match Version::of(packet) {
        Some(Version::V6) => Fit::Answer(mtu.max(ipv6::HEADER_LEN)),
        _ if ipv4::Packet::new_unchecked(packet).has_df() => Fit::Answer(mtu),
        _ => Fit::Fragments(mtu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Parameters;
    use crate::tunnel::Options;
    use model::{Mode, Spi, Suite};
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn inner(v6: bool, len: usize, df: bool) -> Vec<u8> {
        let mut packet = vec![0; len];
        if v6 {
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
            // Destination options, so that not all of the headers is outside in transport mode.
            (packet[6], packet[40], packet[41]) = (0, 17, 0);
        } else {
            packet[0] = 0x46;
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            (packet[6], packet[9]) = (if df { 0x40 } else { 0 }, 17);
        }
        packet
    }

    proptest! {
        /// Every answer is the longest length that fits, found by trying; so is every fragment's.
        #[test]
        fn what_is_named_fits_and_no_more_does(
            suite in prop::sample::select(Suite::all().collect::<Vec<_>>()), transport: bool, outer_v6: bool, inner_v6: bool,
            udp: bool, len in 1281_usize..1500, limit in 1400_usize..1500, df: bool, clear: bool, after: bool,
        ) {
            let inner_v6 = if transport { outer_v6 } else { inner_v6 };
            let ends: [IpAddr; 2] = if outer_v6 { ["2001:db8::1", "2001:db8::2"] } else { ["192.0.2.1", "192.0.2.2"] }
                .map(|end| end.parse().unwrap());
            let template = Template::new(&Parameters {
                spi: Spi::MIN, suite, mode: if transport { Mode::Transport } else { Mode::Tunnel }, salt: [0; 4],
                esn: false, local: ends[0], remote: ends[1], udp_port: udp.then_some(4500), tunnel: Options::default(),
            }).unwrap();
            let rules = SizeRules {
                df: if clear { DontFragment::Clear } else { DontFragment::Copy },
                fragmentation: if after { Fragmentation::AfterEncryption } else { Fragmentation::BeforeEncryption },
            };
            let fits = |len: usize| template.outer_len(&inner(inner_v6, len, df)) <= limit;
            let longest = (100..2000).rev().find(|&len| fits(len)).unwrap();
            prop_assert!(fits(template.room(limit)));
            prop_assert!(transport || !fits(template.room(limit) + 1));
            let fit = template.fit(rules, &inner(inner_v6, len, df), limit);
            match fit {
                None => prop_assert!(len <= longest),
                Some(Fit::Answer(mtu)) => {
                    prop_assert_eq!(mtu, longest.max(if inner_v6 { LEAST_V6 } else { 0 }));
                    prop_assert!(len > longest && (inner_v6 || df));
                }
                Some(Fit::Fragments(mtu)) => {
                    prop_assert_eq!(mtu, longest);
                    prop_assert!(len > longest && !inner_v6 && !df && !after && !transport);
                }
                Some(Fit::Whole) => {
                    let may = if df { clear && !transport } else { after || transport };
                    prop_assert!(len > longest && !inner_v6 && may);
                }
            }
        }
    }
}
