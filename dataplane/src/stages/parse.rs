//! Parse: from the frame to a sound IP packet, or to Linux.

use crate::burst::{Burst, Drops, Family, Mask};
use crate::snapshot::PortView;
use dpdk::{Mbuf, Mempool};
use packet::ethernet::{self, Address, EtherType};
use packet::{Error, ipv4, ipv6};
use shm::{DropReason, WorkerCounters};

/// Where parsing sends packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parsed {
    /// Sound IP packets to one host; their buffers begin at the IP header and end with the packet.
    pub(crate) ip: Mask,
    /// Whole frames, of or for Linux: ARP, multicast, what we do not speak.
    pub(crate) linux: Mask,
}

/// What one frame is.
enum Frame {
    Ip { family: Family, length: usize },
    Linux,
}

/// Looks at each frame of `mask`, which came in by `port`. Those in several segments move to buffers of `large`, if need be.
pub(crate) fn parse(
    burst: &mut Burst,
    mask: Mask,
    port: &PortView,
    large: &Mempool,
    counters: &WorkerCounters,
) -> Parsed {
    let mut parsed = Parsed::default();
    let mut drops = Drops::new(counters);
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        if mbuf.segments() > 1
            && let Err(reason) = in_one(mbuf, large)
        {
            drops.add(index, reason);
            continue;
        }
        match frame(mbuf.data(), port) {
            Ok(Frame::Ip { family, length }) => {
                let padding = mbuf.len() - ethernet::HEADER_LEN - length;
                // Neither can fail: `frame` saw that many bytes.
                if mbuf.trim_front(ethernet::HEADER_LEN).is_err() || mbuf.trim_back(padding).is_err() {
                    drops.add(index, DropReason::Internal);
                    continue;
                }
                meta[index].family = family;
                meta[index].whole = false;
                meta[index].waiting_since = 0;
                parsed.ip |= 1 << index;
            }
            Ok(Frame::Linux) => parsed.linux |= 1 << index,
            Err(reason) => drops.add(index, reason),
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    parsed
}

/// Brings a frame into one segment, slowly: a jumbo frame on a gateway whose buffers are for shorter ones.
#[cold]
fn in_one(mbuf: &mut Mbuf, large: &Mempool) -> Result<(), DropReason> {
    if mbuf.linearize().is_ok() {
        return Ok(());
    }
    let mut whole = large.alloc().ok_or(DropReason::NoMbuf)?;
    for segment in mbuf.segment_slices() {
        whole.append(segment.len()).map_err(|_| DropReason::Segmented)?.copy_from_slice(segment);
    }
    *mbuf = whole;
    Ok(())
}

#[inline]
fn frame(bytes: &[u8], port: &PortView) -> Result<Frame, DropReason> {
    let ethernet = ethernet::Packet::new_checked(bytes).map_err(|_| DropReason::Runt)?;
    let destination = ethernet.destination();
    if !destination.is_group() && destination != Address(port.mac) {
        return Err(DropReason::NotForUsL2);
    }
    match ethernet.ether_type() {
        EtherType::IPV4 => ip4(ethernet.payload(), destination),
        EtherType::IPV6 => ip6(ethernet.payload(), destination),
        EtherType::ARP => Ok(Frame::Linux),
        // Protocols of the link itself: LLDP, spanning tree, IS-IS.
        _ if destination.is_group() => Ok(Frame::Linux),
        _ => Err(DropReason::BadEthertype),
    }
}

#[inline]
fn ip4(bytes: &[u8], to: Address) -> Result<Frame, DropReason> {
    let header = ipv4::Packet::new_checked(bytes).map_err(fault)?;
    header.verify_checksum().map_err(fault)?;
    let (source, destination) = (header.source(), header.destination());
    // "This network" is a source only for who has no address yet, and asks everybody (RFC 1122, section 3.2.1.3).
    let nobody = source.octets()[0] == 0 && !to.is_group();
    if source.is_loopback() || source.is_multicast() || source.is_broadcast() || nobody {
        return Err(DropReason::IpMartianSource);
    }
    if destination.is_loopback() {
        return Err(DropReason::IpMulticast);
    }
    // Group traffic of the link is Linux's (DHCP, routing protocols); no group is forwarded.
    if destination.is_multicast() || destination.is_broadcast() {
        return if to.is_group() { Ok(Frame::Linux) } else { Err(DropReason::IpMulticast) };
    }
    // RFC 1122, section 3.3.6: a packet to one host does not come in a frame to many.
    if to.is_group() {
        return Err(DropReason::IpMulticast);
    }
    Ok(Frame::Ip { family: Family::V4, length: usize::from(header.total_len()) })
}

#[inline]
fn ip6(bytes: &[u8], to: Address) -> Result<Frame, DropReason> {
    let header = ipv6::Packet::new_checked(bytes).map_err(fault)?;
    let (source, destination) = (header.source(), header.destination());
    if source.is_loopback() || source.is_multicast() {
        return Err(DropReason::IpMartianSource);
    }
    if destination.is_loopback() {
        return Err(DropReason::IpMulticast);
    }
    if destination.is_multicast() {
        return if to.is_group() { Ok(Frame::Linux) } else { Err(DropReason::IpMulticast) };
    }
    if to.is_group() {
        return Err(DropReason::IpMulticast);
    }
    // Link-local traffic is the link's, not for a router to forward (RFC 4291, section 2.5.6); so is address
    // detection, which has no source yet.
    if is_link_local(destination) || is_link_local(source) || source.is_unspecified() {
        return Ok(Frame::Linux);
    }
    Ok(Frame::Ip { family: Family::V6, length: header.total_len() })
}

fn is_link_local(address: std::net::Ipv6Addr) -> bool {
    address.segments()[0] & 0xFFC0 == 0xFE80
}

/// The name under which a header's fault is counted.
pub(crate) fn fault(error: Error) -> DropReason {
    match error {
        Error::Truncated | Error::UnknownArp => DropReason::IpTruncated,
        Error::BadVersion => DropReason::IpBadVersion,
        Error::BadHeaderLength => DropReason::IpBadHeaderLength,
        Error::BadTotalLength => DropReason::IpBadTotalLength,
        Error::BadChecksum => DropReason::IpBadChecksum,
        Error::BadExtension | Error::TooManyExtensions => DropReason::Ip6BadHeader,
    }
}

/// Takes the Ethernet headers off those frames of `mask` (Linux's own, so trusted to be whole) that are IP packets to
/// one host: [`Parsed::ip`]. [`reframe`] undoes it. The others are as they were. What is in several segments and finds no
/// buffer for all of them is dropped, as nobody could say whether it may leave in clear.
pub(crate) fn unframe(burst: &mut Burst, mask: Mask, large: &Mempool, counters: &WorkerCounters) -> Parsed {
    let Burst { packets, meta } = burst;
    let mut ip = 0;
    let mut drops = Drops::new(counters);
    for (index, mbuf) in packets.masked_mut(mask) {
        if mbuf.segments() > 1
            && let Err(reason) = in_one(mbuf, large)
        {
            drops.add(index, reason);
            continue;
        }
        let Ok(frame) = ethernet::Packet::new_checked(mbuf.data()) else { continue };
        let sound = match frame.ether_type() {
            _ if frame.destination().is_group() => None,
            EtherType::IPV4 => ipv4::Packet::new_checked(frame.payload())
                .ok()
                .map(|packet| (Family::V4, usize::from(packet.total_len()))),
            EtherType::IPV6 => {
                ipv6::Packet::new_checked(frame.payload()).ok().map(|packet| (Family::V6, packet.total_len()))
            }
            _ => None,
        };
        let Some((family, length)) = sound else { continue };
        let padding = mbuf.len() - ethernet::HEADER_LEN - length;
        if mbuf.trim_back(padding).is_ok() && mbuf.trim_front(ethernet::HEADER_LEN).is_ok() {
            meta[index].family = family;
            meta[index].whole = false;
            meta[index].waiting_since = 0;
            ip |= 1 << index;
        }
    }
    let dropped = drops.mask;
    packets.free(dropped);
    Parsed { ip, linux: mask & !ip & !dropped }
}

/// Gives packets that still stand where their frame did the Ethernet header back that they had. Returns the frames.
pub(crate) fn reframe(burst: &mut Burst, mask: Mask, counters: &WorkerCounters) -> Mask {
    let mut drops = Drops::new(counters);
    for (index, mbuf) in burst.packets.masked_mut(mask) {
        // Taking a header off moves the start only: its bytes are still there.
        if mbuf.prepend(ethernet::HEADER_LEN).is_err() {
            drops.add(index, DropReason::Internal);
        }
    }
    let dropped = drops.mask;
    burst.packets.free(dropped);
    mask & !dropped
}
