//! Cutting a packet.

use super::{HEADER_LEN, UNIT};
use crate::{checksum, extensions, field, ipv4, ipv6, protocol};

/// The longest header that each fragment repeats, in bytes: any of IPv4, and of IPv6 more than honest packets have.
const LONGEST: usize = 256;
const MF: u16 = 0x2000;

/// Why a packet cannot be cut. The fault is the packet's, or that of an MTU without sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncuttable {
    /// It is no sound IP packet, or a fragment of IPv6, which only its sender makes.
    #[error("it is no sound packet, or a fragment of IPv6")]
    Malformed,
    /// Not even eight bytes of it go behind its header.
    #[error("its header leaves no room in so small a packet")]
    NoRoom,
}

/// Cuts one packet into fragments, first to last.
#[derive(Clone, Debug)]
pub struct Cutter<'p> {
    is_v4: bool,
    /// Of the first fragment, and of the others: options of IPv4 that are not copied stay behind.
    headers: [([u8; LONGEST], usize); 2],
    /// What is cut.
    payload: &'p [u8],
    /// Of it, so many bytes are done.
    done: usize,
    mtu: usize,
    /// Where the payload begins in the whole one, and whether more of that comes: a fragment may be cut again.
    base: usize,
    more: bool,
}

impl<'p> Cutter<'p> {
    /// For fragments of at most `mtu` bytes. `identification` must not be that of another packet between the same two
    /// addresses that may still be on its way; `None` leaves IPv4's as it is. DF does not matter, and is cleared.
    ///
    /// # Errors
    /// [`Uncuttable`].
    pub fn new(packet: &'p [u8], mtu: usize, identification: Option<u32>) -> Result<Cutter<'p>, Uncuttable> {
        let cutter = match packet.first().map(|first| first >> 4) {
            Some(4) => Cutter::v4(packet, mtu, identification),
            Some(6) => Cutter::v6(packet, mtu, identification.unwrap_or_default()),
            _ => None,
        };
        let cutter = cutter.ok_or(Uncuttable::Malformed)?;
        let room = |&(_, len): &([u8; LONGEST], usize)| mtu.saturating_sub(len) >= UNIT;
        if cutter.headers.iter().all(room) { Ok(cutter) } else { Err(Uncuttable::NoRoom) }
    }

    fn v4(packet: &'p [u8], mtu: usize, identification: Option<u32>) -> Option<Cutter<'p>> {
        let view = ipv4::Packet::new_checked(packet).ok()?;
        let mut first = [0; LONGEST];
        let len = view.header_len();
        first.get_mut(..len)?.copy_from_slice(view.header());
        if let Some(identification) = identification {
            field::set_u16(&mut first, 4, identification as u16);
        }
        let mut later = [0; LONGEST];
        field::set(&mut later, 0, field::get::<{ ipv4::HEADER_LEN }>(&first, 0));
        let later_len = copied_options(view.header(), &mut later);
        field::set_u8(&mut later, 0, 0x40 | (later_len / 4) as u8);
        let payload = field::between(packet, len, usize::from(view.total_len()));
        Some(Cutter {
            is_v4: true,
            headers: [(first, len), (later, later_len)],
            payload,
            done: 0,
            mtu,
            base: usize::from(view.fragment_offset()),
            more: view.has_mf(),
        })
    }

    /// The fragment header goes behind every header that the path must read.
    fn v6(packet: &'p [u8], mtu: usize, identification: u32) -> Option<Cutter<'p>> {
        let mut place = None;
        for header in extensions::chain(packet).ok()? {
            let header = header.ok()?;
            if header.number == protocol::FRAGMENT && header.is_extension() {
                return None;
            }
            if header.is_extension() && header.number != protocol::DESTINATION_OPTIONS {
                place = None;
            } else {
                place = place.or(Some((header.at, header.named_at, header.number)));
            }
        }
        let (at, named_at, number) = place?;
        let mut header = [0; LONGEST];
        let len = at + HEADER_LEN;
        header.get_mut(..len)?.get_mut(..at)?.copy_from_slice(packet.get(..at)?);
        field::set_u8(&mut header, named_at, protocol::FRAGMENT);
        field::set_u8(&mut header, at, number);
        field::set_u32(&mut header, at + 4, identification);
        let end = ipv6::Packet::new_unchecked(packet).total_len();
        Some(Cutter {
            is_v4: false,
            headers: [(header, len), (header, len)],
            payload: field::between(packet, at, end),
            done: 0,
            mtu,
            base: 0,
            more: false,
        })
    }

    fn header(&self) -> (&[u8; LONGEST], usize) {
        let [first, later] = &self.headers;
        // What is a later fragment already has lost its options already.
        let (header, len) = if self.done == 0 { first } else { later };
        (header, *len)
    }

    /// Bytes of payload that the next fragment takes.
    fn take(&self) -> usize {
        let room = self.mtu - self.header().1;
        let left = self.payload.len() - self.done;
        if left <= room { left } else { room / UNIT * UNIT }
    }

    /// Bytes of the next fragment, header and all; `None`: there is no more.
    pub fn next_len(&self) -> Option<usize> {
        (self.done < self.payload.len()).then(|| self.header().1 + self.take())
    }

    /// Writes the next fragment over `out`, which is as long as [`Cutter::next_len`] says.
    pub fn emit_next(&mut self, out: &mut [u8]) {
        let (header, len) = self.header();
        let take = self.take();
        let part = field::between(self.payload, self.done, self.done + take);
        let Some((head, body)) = out.split_at_mut_checked(len) else { return };
        let (Some(header), true) = (header.get(..len), body.len() == part.len()) else { return };
        head.copy_from_slice(header);
        body.copy_from_slice(part);
        let more = self.more || self.done + take < self.payload.len();
        let offset = ((self.base + self.done) / UNIT) as u16;
        if self.is_v4 {
            field::set_u16(head, 2, (len + take) as u16);
            field::set_u16(head, 6, offset | if more { MF } else { 0 });
            field::set_u16(head, 10, 0);
            let sum = checksum::checksum(head);
            field::set_u16(head, 10, sum);
        } else {
            field::set_u16(head, 4, (len + take - ipv6::HEADER_LEN) as u16);
            field::set_u16(head, len - HEADER_LEN + 2, offset << 3 | u16::from(more));
        }
        self.done += take;
    }
}

/// Puts those options behind a fixed header that every fragment has (RFC 791, section 3.1: the copied flag). Returns the
/// header's length.
fn copied_options(header: &[u8], out: &mut [u8; LONGEST]) -> usize {
    let mut len = ipv4::HEADER_LEN;
    let mut rest = field::tail(header, ipv4::HEADER_LEN);
    while let Some(&kind) = rest.first() {
        let size = match (kind, rest.get(1)) {
            (0, _) => break,
            (1, _) => 1,
            (_, Some(&size)) if usize::from(size) >= 2 && usize::from(size) <= rest.len() => {
                usize::from(size)
            }
            _ => break,
        };
        let (option, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        if kind & 0x80 != 0
            && let Some(place) = out.get_mut(len..len + size)
        {
            place.copy_from_slice(option);
            len += size;
        }
        rest = behind;
    }
    // What is behind the last option is zero already: the end of the list.
    len.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(packet: &[u8], mtu: usize, identification: Option<u32>) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(packet, mtu, identification).unwrap();
        let mut fragments = Vec::new();
        while let Some(len) = cutter.next_len() {
            let mut fragment = vec![0xAA; len];
            cutter.emit_next(&mut fragment);
            fragments.push(fragment);
        }
        fragments
    }

    fn v4(options: &[u8], payload: usize) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet.extend(options);
        packet[0] = 0x40 | (packet.len() / 4) as u8;
        packet[4..6].copy_from_slice(&[0x12, 0x34]);
        packet[6] = 0x40;
        packet[8..10].copy_from_slice(&[9, 17]);
        packet.extend((0..payload).map(|byte| byte as u8));
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        packet
    }

    #[test]
    fn options_are_copied_as_their_flag_says() {
        // Record route (not copied), no-operation, router alert (copied), end.
        let packet = v4(&[7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0], 100);
        let fragments = cut(&packet, 72, None);
        assert_eq!(fragments.len(), 3);
        assert_eq!(fragments[0][..2], packet[..2]);
        assert_eq!(&fragments[1][20..24], &[0x94, 4, 0, 0]);
        let lens: Vec<_> = fragments
            .iter()
            .map(|f| ipv4::Packet::new_checked(&f[..]).unwrap())
            .map(|f| {
                assert_eq!(f.verify_checksum(), Ok(()));
                assert_eq!((f.has_df(), f.identification()), (false, 0x1234));
                (f.header_len(), f.payload().len(), f.fragment_offset(), f.has_mf())
            })
            .collect();
        assert_eq!(lens, [(32, 40, 0, true), (24, 48, 40, true), (24, 12, 88, false)]);
    }

    #[test]
    fn a_fragment_can_be_cut_again() {
        let mut packet = v4(&[], 64);
        packet[6..8].copy_from_slice(&(MF | 10).to_be_bytes());
        let parts: Vec<_> = cut(&packet, 60, Some(7))
            .iter()
            .map(|f| {
                let f = ipv4::Packet::new_unchecked(&f[..]);
                (f.fragment_offset(), f.payload().len(), f.has_mf(), f.identification())
            })
            .collect();
        assert_eq!(parts, [(80, 40, true, 7), (120, 24, true, 7)]);
    }

    #[test]
    fn what_cannot_be_cut_is_named() {
        assert_eq!(Cutter::new(&v4(&[], 64), 27, None).unwrap_err(), Uncuttable::NoRoom);
        assert!(Cutter::new(&v4(&[], 64), 28, None).is_ok());
        assert_eq!(Cutter::new(&[], 68, None).unwrap_err(), Uncuttable::Malformed);
        assert_eq!(Cutter::new(&[0x45; 30], 68, None).unwrap_err(), Uncuttable::Malformed);
    }
}
