//! Quoted: an ICMP error out of an SA that its own header is not meant by. Any router on the other side may send one, from an
//! address that no selector names; what it quotes, turned around, must be meant then (RFC 4301, section 6.2), and it must be for
//! whoever sent that.

use crate::selectors::Selectors;
use packet::flow;
use packet::{extensions, icmp, ipv4, ipv6, protocol};

/// Bytes of a quoted packet that are looked at: its headers, as far as an error must quote them, and more.
const ENOUGH: usize = 128;

/// Whether an IPv4 packet is an error about one that went the other way.
#[cold]
pub(crate) fn is_about_v4(selectors: &Selectors, packet: &[u8]) -> bool {
    let outer = ipv4::Packet::new_unchecked(packet);
    if outer.protocol() != protocol::ICMP || outer.is_fragment() {
        return false;
    }
    let Ok(message) = icmp::Packet::new_checked(outer.payload()) else { return false };
    let quoted = message.payload();
    let Some(mut head) = head(quoted).filter(|_| icmp::v4::is_error(message.message_type())) else {
        return false;
    };
    let len = quoted.len().min(ENOUGH);
    // It is cut short, so that its length says more than there is.
    head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    flow::v4(&head[..len]).is_ok_and(|flow| {
        flow.source == outer.destination().to_bits() && selectors.contain_v4(&flow.reversed())
    })
}

/// Whether an IPv6 packet is an error about one that went the other way.
#[cold]
pub(crate) fn is_about_v6(selectors: &Selectors, packet: &[u8]) -> bool {
    let outer = ipv6::Packet::new_unchecked(packet);
    let Ok(upper) = extensions::upper_layer(packet) else { return false };
    if upper.number != protocol::ICMPV6 || extensions::fragmented(packet).is_some() {
        return false;
    }
    let Ok(message) = icmp::Packet::new_checked(upper.bytes) else { return false };
    let quoted = message.payload();
    let Some(mut head) = head(quoted).filter(|_| icmp::v6::is_error(message.message_type())) else {
        return false;
    };
    let len = quoted.len().min(ENOUGH);
    let Some(behind) = len.checked_sub(ipv6::HEADER_LEN) else { return false };
    head[4..6].copy_from_slice(&(behind as u16).to_be_bytes());
    flow::v6(&head[..len]).is_ok_and(|flow| {
        flow.source == outer.destination().to_bits() && selectors.contain_v6(&flow.reversed())
    })
}

/// The beginning of a quoted packet, to be mended. None: there is none.
fn head(quoted: &[u8]) -> Option<[u8; ENOUGH]> {
    let mut head = [0; ENOUGH];
    let len = quoted.len().min(ENOUGH);
    head.get_mut(..len)?.copy_from_slice(quoted.get(..len)?);
    (len >= ipv4::HEADER_LEN).then_some(head)
}
