//! IPv6 extension headers (RFC 8200, section 4): the chain from the fixed header to the next-layer protocol.
//!
//! AH and ESP count as next-layer protocols: what is behind them is theirs.

use crate::{Error, field, ipv6, protocol};

/// Extension headers that are walked over; a packet with more is refused. Honest packets have up to four.
pub const MAX: usize = 8;

/// One header of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it is: the number of an extension header or of the next-layer protocol.
    pub number: u8,
    /// Where it begins, in bytes from the packet's beginning.
    pub at: usize,
    /// Where the byte is that names it, in bytes from the packet's beginning.
    pub named_at: usize,
    /// Its bytes; of the next-layer protocol all that there is.
    pub bytes: &'a [u8],
    /// Behind the header of a fragment that is not the first: the bytes are somewhere out of the middle.
    pub is_later_fragment: bool,
}

impl Header<'_> {
    /// Whether it is an extension header that is walked over.
    #[inline]
    pub const fn is_extension(&self) -> bool {
        is_extension(self.number) && !self.is_later_fragment
    }

    /// Whether it is the header of a true fragment. One that has it all, offset 0 and nothing more to come, is none
    /// (RFC 8200, section 4.5, and RFC 6946).
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.number == protocol::FRAGMENT
            && self.is_extension()
            && field::get_u16(self.bytes, 2) & !RESERVED != 0
    }
}

/// Of the word with a fragment's offset and its flag for more.
const RESERVED: u16 = 0b110;

/// Whether the number is that of an extension header that is walked over.
#[inline]
pub const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
    )
}

/// The headers behind the fixed one, in their order: extension headers, and last the next-layer protocol. An error ends it.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    packet: &'a [u8],
    number: u8,
    at: usize,
    named_at: usize,
    passed: usize,
    is_later_fragment: bool,
    ended: bool,
}

/// The chain of a packet.
///
/// # Errors
/// Those of [`ipv6::Packet::new_checked`].
#[inline]
pub fn chain(l3: &[u8]) -> Result<Chain<'_>, Error> {
    ipv6::Packet::new_checked(l3).map(|packet| chain_unchecked(packet.into_inner()))
}

/// The chain of a packet whose fixed header was checked before; it ends where its bytes do, if its length says more.
#[inline]
pub fn chain_unchecked(l3: &[u8]) -> Chain<'_> {
    let packet = ipv6::Packet::new_unchecked(l3);
    Chain {
        packet: field::between(l3, 0, packet.total_len()),
        number: packet.next_header(),
        at: ipv6::HEADER_LEN,
        named_at: NEXT_HEADER,
        passed: 0,
        is_later_fragment: false,
        ended: false,
    }
}

/// Where the fixed header names the next.
const NEXT_HEADER: usize = 6;

impl<'a> Chain<'a> {
    /// The last of it.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadExtension`], [`Error::TooManyExtensions`].
    #[inline]
    pub fn end(self) -> Result<Header<'a>, Error> {
        let mut last = Err(Error::Truncated);
        for header in self {
            last = Ok(header?);
        }
        last
    }

    fn step(&mut self) -> Result<Header<'a>, Error> {
        let rest = field::tail(self.packet, self.at);
        let mut header = Header {
            number: self.number,
            at: self.at,
            named_at: self.named_at,
            bytes: rest,
            is_later_fragment: self.is_later_fragment,
        };
        if !header.is_extension() {
            self.ended = true;
            return Ok(header);
        }
        // Hop-by-hop options only directly behind the fixed header (section 4.1).
        if self.number == protocol::HOP_BY_HOP && self.passed > 0 {
            return Err(Error::BadExtension);
        }
        if self.passed == MAX {
            return Err(Error::TooManyExtensions);
        }
        let [next, units] = *rest.first_chunk::<2>().ok_or(Error::Truncated)?;
        let length = if self.number == protocol::FRAGMENT { 8 } else { (usize::from(units) + 1) * 8 };
        header.bytes = rest.get(..length).ok_or(Error::Truncated)?;
        self.is_later_fragment =
            self.number == protocol::FRAGMENT && field::get_u16(header.bytes, 2) >> 3 != 0;
        self.passed += 1;
        (self.named_at, self.at, self.number) = (self.at, self.at + length, next);
        Ok(header)
    }
}

impl<'a> Iterator for Chain<'a> {
    type Item = Result<Header<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Result<Header<'a>, Error>> {
        if self.ended {
            return None;
        }
        let step = self.step();
        self.ended |= step.is_err();
        Some(step)
    }
}

/// The end of a packet's chain: its next-layer protocol.
///
/// # Errors
/// Those of [`ipv6::Packet::new_checked`]; [`Error::Truncated`] also where an extension header does not end inside the packet,
/// [`Error::BadExtension`], [`Error::TooManyExtensions`].
#[inline]
pub fn upper_layer(l3: &[u8]) -> Result<Header<'_>, Error> {
    chain(l3)?.end()
}

/// What the fragment header of a true fragment names as the next one; `None` of any other packet. The fixed header was checked
/// before.
#[inline]
pub fn fragmented(l3: &[u8]) -> Option<u8> {
    if !is_extension(ipv6::Packet::new_unchecked(l3).next_header()) {
        return None;
    }
    let fragment = chain_unchecked(l3).map_while(Result::ok).find(Header::is_fragment)?;
    fragment.bytes.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(first: u8, chain: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ipv6::HEADER_LEN];
        ipv6::Repr {
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            next_header: first,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            payload_len: chain.len(),
        }
        .emit(&mut bytes)
        .unwrap();
        bytes.extend(chain);
        bytes
    }

    #[test]
    fn each_header_is_where_it_is_named() {
        let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        let routing = [&[protocol::FRAGMENT, 1, 4, 0][..], &[0; 12]].concat();
        let fragment = [protocol::ESP, 0, 0, 0b110, 0, 0, 0, 1];
        let bytes = packet(
            protocol::HOP_BY_HOP,
            &[&options(protocol::ROUTING)[..], &routing, &fragment, b"sealed", &[]].concat(),
        );
        let headers: Vec<Header<'_>> = chain(&bytes).unwrap().map(Result::unwrap).collect();
        let seen: Vec<_> = headers.iter().map(|h| (h.number, h.at, h.named_at, h.bytes.len())).collect();
        assert_eq!(seen, [(0, 40, 6, 8), (43, 48, 40, 16), (44, 64, 48, 8), (50, 72, 64, 6)]);
        assert!(headers.iter().all(|header| !header.is_fragment()), "an atomic fragment is whole");
        assert_eq!(upper_layer(&bytes), Ok(headers[3]));
    }

    #[test]
    fn fragments_are_known() {
        for (word, fragment, later) in [(0b1, true, false), (0b1000, true, true), (0b1001, true, true)] {
            let [high, low] = u16::to_be_bytes(word);
            let bytes =
                packet(protocol::FRAGMENT, &[protocol::DESTINATION_OPTIONS, 0, high, low, 0, 0, 0, 1]);
            let mut headers = chain(&bytes).unwrap();
            let first = headers.next().unwrap().unwrap();
            assert_eq!((first.number, first.is_fragment()), (protocol::FRAGMENT, fragment));
            match headers.next().unwrap() {
                Ok(end) => assert!(later && end.is_later_fragment && end.number == 60, "{end:?}"),
                Err(error) => assert_eq!((error, later), (Error::Truncated, false)),
            }
            assert_eq!(headers.next(), None);
        }
    }

    proptest! {
        #[test]
        fn any_chain_ends_inside_of_the_packet(
            first in prop::sample::select(vec![0_u8, 43, 44, 60, 50, 6]), mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            for place in (0..bytes.len()).step_by(8) {
                bytes[place] = [0, 43, 44, 60, 6, 50][usize::from(bytes[place] % 6)];
                if let Some(units) = bytes.get_mut(place + 1) {
                    *units %= 3;
                }
            }
            let bytes = packet(first, &bytes);
            let mut end = ipv6::HEADER_LEN;
            for header in chain(&bytes).unwrap().flatten() {
                prop_assert_eq!(header.at, end);
                prop_assert_eq!(bytes[header.named_at], header.number);
                prop_assert_eq!(&bytes[end..end + header.bytes.len()], header.bytes);
                end += header.bytes.len();
            }
            prop_assert!(end <= bytes.len());
        }
    }
}
