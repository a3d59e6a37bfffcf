//! Reading and writing the fields of one message, bounds-checked. Native byte order: both ends are one machine.

use crate::layout::{SLOT_BYTES, SLOT_WORDS};
use crate::named::named_enum;
use crate::text::Text;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The bytes of one message of a ring, outside of the ring. Wiped when dropped, as they may hold a key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Slot(pub(crate) [u64; SLOT_WORDS]);

impl std::fmt::Debug for Slot {
    /// Without the contents, as they may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Slot {
    /// All zero.
    pub const fn zeroed() -> Slot {
        Slot([0; SLOT_WORDS])
    }

    /// From bytes, as a fuzzer makes them.
    pub fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Slot {
        let mut slot = Slot::zeroed();
        for (word, chunk) in slot.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*chunk);
        }
        slot
    }

    /// As bytes, to go through a socket.
    pub(crate) fn to_bytes(&self) -> zeroize::Zeroizing<[u8; SLOT_BYTES]> {
        let mut bytes = zeroize::Zeroizing::new([0; SLOT_BYTES]);
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.0) {
            *chunk = word.to_ne_bytes();
        }
        bytes
    }

    /// The byte at a place below [`SLOT_BYTES`].
    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at / 8)?.to_ne_bytes().get(at % 8).copied()
    }

    fn set_byte(&mut self, at: usize, value: u8) -> Option<()> {
        let word = self.0.get_mut(at / 8)?;
        let mut bytes = word.to_ne_bytes();
        *bytes.get_mut(at % 8)? = value;
        *word = u64::from_ne_bytes(bytes);
        Some(())
    }
}

named_enum! {
    /// A field of a message; the place that a refusal names.
    Field {
        Kind = 1, "kind", "What the message is.";
        Flags = 2, "flags", "A flag that is not known.";
        Reserved = 3, "reserved bytes", "Bytes that must be zero.";
        Length = 4, "length", "The message does not fit its slot.";
        Port = 5, "port", "A port's number, below 32.";
        Device = 6, "device", "A DPDK device string.";
        Name = 7, "interface name", "The name of a mirror TAP: at most 15 of A-Z a-z 0-9 . _ and -; empty for none.";
        Mac = 8, "MAC address", "A unicast MAC address.";
        Mtu = 9, "MTU", "68 to 9600 bytes.";
        SaIndex = 10, "SA index", "The index of an SA, below the capacity.";
        Direction = 11, "direction", "Inbound or outbound.";
        Spi = 12, "SPI", "256 to 4294967295.";
        Suite = 13, "suite", "An ESP suite.";
        Mode = 14, "mode", "Tunnel or transport.";
        Key = 15, "keying material", "As long as the suite wants.";
        LocalAddress = 16, "local address", "The tunnel's end on this side.";
        RemoteAddress = 17, "remote address", "The tunnel's other end, of the same family.";
        ReplayWindow = 18, "replay window", "At most 65536 packets.";
        Sequence = 19, "sequence number", "From 1 for the first one; 32 bits without ESN.";
        Lifetime = 20, "lifetime", "A limit in packets or bytes; a soft one is at most the hard one.";
        Entry = 21, "policy entry", "The number in a rule's Protect.";
        Selector = 22, "selector", "A traffic selector.";
        Segment = 23, "segment", "The number of an offered policy segment.";
        NextHop = 24, "next hop", "The number or kind of a next hop.";
        Prefix = 25, "prefix", "An address and a length, with no bits beyond the length.";
        Reason = 26, "reason", "Why something failed.";
        Address = 27, "address", "An IP address.";
        UdpPort = 28, "UDP port", "1 to 65535; 0 is ESP directly over IP.";
        Vlan = 29, "VLAN", "1 to 4094; 0 is none.";
        Dscp = 31, "DSCP", "The code points of outer headers.";
        Tfc = 30, "traffic flow confidentiality", "How packets are padded, and how often dummies are sent.";
    }
}

/// A message holds a value that it cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message's {} has a value that it cannot have", .0.name())]
pub struct Malformed(pub Field);

/// Writes fields one after another.
pub(crate) struct Writer<'a> {
    slot: &'a mut Slot,
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(slot: &'a mut Slot) -> Writer<'a> {
        Writer { slot, at: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        for &byte in bytes {
            self.slot.set_byte(self.at, byte).ok_or(Malformed(Field::Length))?;
            self.at += 1;
        }
        Ok(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result<(), Malformed> {
        self.bytes(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), Malformed> {
        self.bytes(&value.to_ne_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result<(), Malformed> {
        self.bytes(&value.to_ne_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result<(), Malformed> {
        self.bytes(&value.to_ne_bytes())
    }

    /// Family (4 or 6) in one byte, then 16 bytes.
    pub(crate) fn address(&mut self, address: IpAddr) -> Result<(), Malformed> {
        let (family, bytes) = address_bytes(address);
        self.u8(family)?;
        self.bytes(&bytes)
    }
}

/// The family (4 or 6) and 16 bytes in network order, IPv4 in the first four.
pub(crate) fn address_bytes(address: IpAddr) -> (u8, [u8; 16]) {
    match address {
        IpAddr::V4(a) => {
            let [b0, b1, b2, b3] = a.octets();
            (4, [b0, b1, b2, b3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(a) => (6, a.octets()),
    }
}

/// The reverse of [`address_bytes`]; `None` if the family is unknown or IPv4's padding is not zero.
pub(crate) fn address_from(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match (family, bytes) {
        (4, [b0, b1, b2, b3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => {
            Some(IpAddr::V4(Ipv4Addr::new(b0, b1, b2, b3)))
        }
        (6, bytes) => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => None,
    }
}

/// Reads fields one after another.
pub(crate) struct Reader<'a> {
    slot: &'a Slot,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Reader<'a> {
        Reader { slot, at: 0 }
    }

    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<(), Malformed> {
        for byte in into {
            *byte = self.slot.byte(self.at).ok_or(Malformed(Field::Length))?;
            self.at += 1;
        }
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    pub(crate) fn address(&mut self, field: Field) -> Result<IpAddr, Malformed> {
        let family = self.u8()?;
        address_from(family, self.array()?).ok_or(Malformed(field))
    }

    pub(crate) fn text<const N: usize>(&mut self, field: Field) -> Result<Text<N>, Malformed> {
        Text::from_padded(&self.array()?).map_err(|_| Malformed(field))
    }

    /// What was not read must be zero, so that a later version cannot be misread as this one.
    pub(crate) fn finish(mut self) -> Result<(), Malformed> {
        while self.at < SLOT_BYTES {
            if self.u8()? != 0 {
                return Err(Malformed(Field::Reserved));
            }
        }
        Ok(())
    }
}
