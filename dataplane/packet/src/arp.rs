//! ARP for IPv4 over Ethernet (RFC 826).

use crate::ethernet::Address;
use crate::{Error, field};
use std::net::Ipv4Addr;

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub const LEN: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// What an ARP packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target's address?
    Request,
    /// The sender has the sender's address.
    Reply,
    /// Any other number.
    Other(u16),
}

impl From<u16> for Operation {
    fn from(number: u16) -> Operation {
        match number {
            1 => Operation::Request,
            2 => Operation::Reply,
            other => Operation::Other(other),
        }
    }
}

impl From<Operation> for u16 {
    fn from(operation: Operation) -> u16 {
        match operation {
            Operation::Request => 1,
            Operation::Reply => 2,
            Operation::Other(number) => number,
        }
    }
}

/// A view of an ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<B>(B);

impl<B: AsRef<[u8]>> Packet<B> {
    /// Checks the length and that it is about IPv4 over Ethernet.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::UnknownArp`].
    #[inline]
    pub fn new_checked(bytes: B) -> Result<Packet<B>, Error> {
        let header = bytes.as_ref().first_chunk::<LEN>().ok_or(Error::Truncated)?;
        if field::get(header, 0) != ETHERNET_IPV4 {
            return Err(Error::UnknownArp);
        }
        Ok(Packet(bytes))
    }

    /// What it is.
    pub fn operation(&self) -> Operation {
        field::get_u16(self.0.as_ref(), 6).into()
    }

    /// The sender's station address.
    pub fn sender(&self) -> Address {
        Address(field::get(self.0.as_ref(), 8))
    }

    /// The sender's IPv4 address.
    pub fn sender_ip(&self) -> Ipv4Addr {
        field::get::<4>(self.0.as_ref(), 14).into()
    }

    /// The target's station address; meaningless in a request.
    pub fn target(&self) -> Address {
        Address(field::get(self.0.as_ref(), 18))
    }

    /// The target's IPv4 address.
    pub fn target_ip(&self) -> Ipv4Addr {
        field::get::<4>(self.0.as_ref(), 24).into()
    }
}

/// The packet's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// What it is.
    pub operation: Operation,
    /// The sender's station address.
    pub sender: Address,
    /// The sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// The target's station address.
    pub target: Address,
    /// The target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl Repr {
    /// Reads the packet. Errors as of [`Packet::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Repr, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Repr {
            operation: packet.operation(),
            sender: packet.sender(),
            sender_ip: packet.sender_ip(),
            target: packet.target(),
            target_ip: packet.target_ip(),
        })
    }

    /// Writes the packet to the first [`LEN`] bytes; [`Error::Truncated`] if there are fewer.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let packet = bytes.first_chunk_mut::<LEN>().ok_or(Error::Truncated)?;
        field::set(packet, 0, ETHERNET_IPV4);
        field::set_u16(packet, 6, self.operation.into());
        field::set(packet, 8, self.sender.0);
        field::set(packet, 14, self.sender_ip.octets());
        field::set(packet, 18, self.target.0);
        field::set(packet, 24, self.target_ip.octets());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            operation: u16, sender: [u8; 6], sender_ip: u32, target: [u8; 6], target_ip: u32,
        ) {
            let repr = Repr {
                operation: operation.into(),
                sender: Address(sender),
                sender_ip: sender_ip.into(),
                target: Address(target),
                target_ip: target_ip.into(),
            };
            let mut bytes = [0xEE; LEN];
            repr.emit(&mut bytes).unwrap();
            prop_assert_eq!(Repr::parse(&bytes), Ok(repr));
        }
    }

    #[test]
    fn other_kinds_of_arp_are_refused() {
        assert_eq!(Repr::parse(&[0; LEN - 1]), Err(Error::Truncated));
        assert_eq!(Repr::parse(&[0; LEN]), Err(Error::UnknownArp));
    }
}
