//! Putting fragments together. As strict with IPv4 as RFC 5722 and RFC 8200, section 4.5, are with IPv6: of fragments that
//! overlap, none is believed.

use super::{HEADER_LEN, UNIT};
use crate::{Ecn, extensions, field, ipv4, ipv6};
use std::net::IpAddr;
use std::ops::Range;

/// Fragments that one packet may come in: 64 make the longest packet there can be of such as Ethernet carries.
pub const MOST: usize = 64;
/// The longest packet, in bytes behind its header.
const LONGEST: usize = 65_535;

/// What fragments of one packet have in common, and no others (RFC 791, section 2.3; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification.
    pub identification: u32,
    /// Of IPv4: the next-layer protocol; else 0.
    pub protocol: u8,
}

/// What a fragment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose part it is.
    pub identity: Identity,
    /// Where its share of the payload is in it.
    pub payload: Range<usize>,
    /// Where that belongs in the whole payload, in bytes.
    pub offset: usize,
    /// More follows.
    pub more: bool,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Bytes of header that the whole packet has, where its last byte that names the payload is, and that name.
    header_len: usize,
    named_at: usize,
    number: u8,
}

impl Part {
    /// Of a packet whose fixed header is sound; `None` for one that is no fragment.
    pub fn of(packet: &[u8]) -> Option<Part> {
        match packet.first()? >> 4 {
            4 => {
                let header = ipv4::Packet::new_checked(packet).ok()?;
                header.is_fragment().then(|| Part {
                    identity: Identity {
                        source: header.source().into(),
                        destination: header.destination().into(),
                        identification: header.identification().into(),
                        protocol: header.protocol(),
                    },
                    payload: header.header_len()..usize::from(header.total_len()),
                    offset: header.fragment_offset().into(),
                    more: header.has_mf(),
                    ecn: header.ecn(),
                    header_len: header.header_len(),
                    named_at: 9,
                    number: header.protocol(),
                })
            }
            _ => {
                let header = ipv6::Packet::new_checked(packet).ok()?;
                let chain = extensions::chain(packet).ok()?;
                let fragment = chain.map_while(Result::ok).find(extensions::Header::is_fragment)?;
                let word = field::get_u16(fragment.bytes, 2);
                Some(Part {
                    identity: Identity {
                        source: header.source().into(),
                        destination: header.destination().into(),
                        identification: field::get_u32(fragment.bytes, 4),
                        protocol: 0,
                    },
                    payload: fragment.at + HEADER_LEN..header.total_len(),
                    offset: usize::from(word >> 3) * UNIT,
                    more: word & 1 != 0,
                    ecn: header.ecn(),
                    header_len: fragment.at,
                    named_at: fragment.named_at,
                    number: field::get_u8(fragment.bytes, 0),
                })
            }
        }
    }

    /// Writes the whole packet's header over the beginning of `out`, which is [`Part::whole_len`] long, from the first
    /// fragment, of which this is said. The payloads go behind it, each by [`Part::put`].
    pub fn begin(&self, packet: &[u8], end: usize, ecn: Ecn, out: &mut [u8]) {
        let header = field::between(packet, 0, self.header_len);
        let Some(place) = out.get_mut(..header.len()) else { return };
        place.copy_from_slice(header);
        if self.identity.source.is_ipv4() {
            field::set_u16(place, 2, (self.header_len + end) as u16);
            field::set_u16(place, 6, 0);
            let mut view = ipv4::Packet::new_unchecked(place);
            view.set_ecn(ecn);
            view.fill_checksum();
        } else {
            field::set_u16(place, 4, (self.header_len + end - ipv6::HEADER_LEN) as u16);
            field::set_u8(place, self.named_at, self.number);
            ipv6::Packet::new_unchecked(place).set_ecn(ecn);
        }
    }

    /// Writes this fragment's payload to its place in a packet whose header is so long.
    pub fn put(&self, packet: &[u8], header_len: usize, out: &mut [u8]) {
        let payload = field::between(packet, self.payload.start, self.payload.end);
        let at = header_len + self.offset;
        if let Some(place) = out.get_mut(at..at + payload.len()) {
            place.copy_from_slice(payload);
        }
    }

    /// Bytes of header of the whole packet, of the first fragment.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Bytes of the whole packet whose payload ends there; `None` if there can be none so long.
    pub fn whole_len(&self, end: usize) -> Option<usize> {
        let counted = if self.identity.source.is_ipv4() { 0 } else { ipv6::HEADER_LEN };
        let whole = self.header_len + end;
        (whole - counted <= LONGEST).then_some(whole)
    }
}

/// Why a fragment does not go with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It carries nothing, is no multiple of eight bytes long though not the last, or reaches beyond the longest packet.
    #[error("no fragment can be so")]
    Malformed,
    /// It was there before, as long as this.
    #[error("there was one for the same place")]
    Again,
    /// It overlaps another one, or they contradict each other about where the packet ends.
    #[error("it overlaps another fragment")]
    Overlap,
    /// There are too many.
    #[error("the packet comes in more than {MOST} fragments")]
    Many,
}

/// Which parts of a packet are there.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    /// Ascending, without overlaps.
    there: Vec<Range<usize>>,
    have: usize,
    end: Option<usize>,
}

impl Assembly {
    /// One more is there. Returns where the payload ends if all of it is.
    ///
    /// # Errors
    /// [`Misfit`]; then nothing has changed.
    pub fn add(&mut self, part: &Part) -> Result<Option<usize>, Misfit> {
        let new = part.offset..part.offset + part.payload.len();
        if new.is_empty() || new.end > LONGEST || part.more && !new.len().is_multiple_of(UNIT) {
            return Err(Misfit::Malformed);
        }
        let place = self.there.partition_point(|old| old.end <= new.start);
        if let Some(old) = self.there.get(place).filter(|old| old.start < new.end) {
            let again = *old == new && part.more == (self.end != Some(new.end));
            return Err(if again { Misfit::Again } else { Misfit::Overlap });
        }
        let beyond = match (self.end, part.more) {
            (Some(end), true) => new.end >= end,
            (Some(_), false) => true,
            (None, true) => false,
            (None, false) => self.there.last().is_some_and(|last| last.end > new.start),
        };
        if beyond {
            return Err(Misfit::Overlap);
        }
        if self.there.len() == MOST {
            return Err(Misfit::Many);
        }
        if !part.more {
            self.end = Some(new.end);
        }
        self.have += new.len();
        self.there.insert(place, new);
        Ok(self.end.filter(|&end| end == self.have))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::Cutter;
    use crate::protocol;
    use proptest::prelude::*;

    fn packet(v6: bool, extra: usize, payload: usize) -> Vec<u8> {
        let mut packet = vec![0; if v6 { 40 } else { 20 }];
        if v6 {
            packet[0] = 0x60;
            packet[6] = if extra > 0 { protocol::HOP_BY_HOP } else { protocol::ESP };
            packet[39] = 9;
            for at in 0..extra {
                let next = if at + 1 < extra { protocol::ROUTING } else { protocol::ESP };
                packet.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            packet[0] = 0x45 + extra as u8;
            (packet[4], packet[9], packet[19]) = (5, protocol::ESP, 9);
            packet.extend([0x94, 4, 0, 0].repeat(extra));
        }
        packet.extend((0..payload).map(|at| (at * 7 % 251) as u8));
        let len = packet.len();
        if v6 {
            packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        }
        packet
    }

    fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(packet, mtu, None).unwrap();
        let mut fragments = Vec::new();
        while let Some(len) = cutter.next_len() {
            let mut fragment = vec![0xAA; len];
            cutter.emit_next(&mut fragment);
            fragments.push(fragment);
        }
        fragments
    }

    /// The plain way: a byte at a time, in any order.
    fn join(fragments: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Misfit> {
        let mut assembly = Assembly::default();
        let mut end = None;
        for fragment in fragments {
            end = assembly.add(&Part::of(fragment).unwrap())?;
        }
        let Some(end) = end else { return Ok(None) };
        let parts: Vec<(Part, &Vec<u8>)> = fragments.iter().map(|f| (Part::of(f).unwrap(), f)).collect();
        let (first, bytes) = parts.iter().find(|(part, _)| part.offset == 0).unwrap();
        let mut whole = vec![0xBB; first.whole_len(end).unwrap()];
        first.begin(bytes, end, first.ecn, &mut whole);
        for (part, bytes) in &parts {
            part.put(bytes, first.header_len(), &mut whole);
        }
        Ok(Some(whole))
    }

    proptest! {
        #[test]
        fn what_was_cut_is_whole_again(
            v6: bool, extra in 0_usize..3, payload in 200_usize..4000, mtu in 130_usize..1500,
            order in any::<prop::sample::Index>(), leave in any::<prop::sample::Index>(),
        ) {
            let packet = packet(v6, extra, payload);
            let mut fragments = cut(&packet, mtu);
            prop_assume!(fragments.len() > 1 && fragments.len() <= MOST);
            prop_assert!(fragments.iter().all(|fragment| fragment.len() <= mtu));
            let by = order.index(fragments.len());
            fragments.rotate_left(by);
            fragments[1..].reverse();
            prop_assert_eq!(join(&fragments), Ok(Some(packet)));
            let again = fragments[leave.index(fragments.len())].clone();
            fragments.remove(leave.index(fragments.len()));
            prop_assert_eq!(join(&fragments), Ok(None));
            let last = fragments.len() - 1;
            fragments[last] = again;
            fragments.push(fragments[0].clone());
            prop_assert_eq!(join(&fragments), Err(Misfit::Again));
        }

        /// Against a map of bytes: nothing that was said twice is ever taken for whole.
        #[test]
        fn no_byte_is_believed_twice(spans in prop::collection::vec((0_usize..12, 1_usize..6, any::<bool>()), 1..12)) {
            let mut assembly = Assembly::default();
            let mut bytes = [false; 200];
            for (offset, len, more) in spans {
                let mut fragment = packet(false, 0, len * 8);
                let word = offset as u16 | if more { 0x2000 } else { 0x8000 };
                fragment[6..8].copy_from_slice(&word.to_be_bytes());
                let Some(part) = Part::of(&fragment) else { continue };
                let new = part.offset..part.offset + part.payload.len();
                let fresh = !bytes[new.clone()].contains(&true);
                if let Ok(end) = assembly.add(&part) {
                    prop_assert!(fresh);
                    bytes[new].fill(true);
                    let all = bytes.iter().rposition(|&there| there).map_or(0, |last| last + 1);
                    let whole = !bytes[..all].contains(&false);
                    prop_assert!(end.is_none_or(|end| whole && end == all));
                }
            }
        }
    }

    #[test]
    fn what_fits_nowhere_is_named() {
        let part = |offset: usize, len: usize, more: bool| Part {
            identity: Part::of(&cut(&packet(false, 0, 300), 100)[0]).unwrap().identity,
            payload: 20..20 + len,
            offset,
            more,
            ecn: Ecn::NotEct,
            header_len: 20,
            named_at: 9,
            number: 50,
        };
        let mut assembly = Assembly::default();
        for (offset, len, more, said) in [
            (0, 0, true, Err(Misfit::Malformed)),
            (0, 7, true, Err(Misfit::Malformed)),
            (65_528, 8, false, Err(Misfit::Malformed)),
            (16, 8, true, Ok(None)),
            (16, 8, true, Err(Misfit::Again)),
            (8, 16, true, Err(Misfit::Overlap)),
            (16, 8, false, Err(Misfit::Overlap)),
            (0, 8, false, Err(Misfit::Overlap)),
            (32, 5, false, Ok(None)),
            (40, 8, true, Err(Misfit::Overlap)),
            (48, 8, false, Err(Misfit::Overlap)),
            (24, 8, true, Ok(None)),
            (0, 16, true, Ok(Some(37))),
        ] {
            assert_eq!(assembly.add(&part(offset, len, more)), said, "{offset} {len} {more}");
        }
        let mut assembly = Assembly::default();
        assert!((0..MOST).all(|place| assembly.add(&part(place * 16, 8, true)).is_ok()));
        assert_eq!(assembly.add(&part(MOST * 16, 8, true)), Err(Misfit::Many));
    }
}
