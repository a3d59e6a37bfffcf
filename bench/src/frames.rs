//! The traffic of a case, made before it is measured: one round of frames that the input port repeats for ever.

use crate::case::{Case, Way};
use crate::error::Error;
use crate::tunnels::{self, End, LAN, Tunnel};
use model::{Direction, Mode};
use packet::{ethernet, ipv4, ipv6, protocol, udp};
use std::net::{IpAddr, Ipv4Addr};

/// Frames of a round at least. Few, so that they stay in the core's own caches: how soon a cache that the core shares
/// gives them up is the neighbours' doing and would be measured, too.
pub const SHORTEST_ROUND: usize = 252;
/// Frames of a round are a multiple of this: as many as IMIX counts by.
const STEP: usize = 12;

/// What a gateway's LAN port receives, and what must leave the gateway that is measured for it.
#[derive(Clone, Debug)]
pub struct Frames {
    /// The frames in their order.
    pub frames: Vec<Vec<u8>>,
    /// Bytes of all that must leave when each of them has come in once.
    pub bytes_out: u64,
}

/// Makes a round of plain frames, `shortest` at least: lengths and tunnels in their proportions, in random order, always
/// the same one. Each frame has its number in the round as its mark.
///
/// They are for the gateway that is measured; for [`Way::Decrypt`] for the one that protects them before:
/// [`peers`](crate::peers).
///
/// # Errors
///
/// [`Error::Generator`].
pub fn generate(case: &Case, shortest: usize) -> Result<Frames, Error> {
    let mut random = fastrand::Rng::with_seed(7);
    let round = shortest.max(case.tunnels as usize).next_multiple_of(STEP);
    let mut lengths: Vec<usize> = case.size.lengths().into_iter().cycle().take(round).collect();
    let mut tunnels: Vec<Tunnel> = (0..case.tunnels).cycle().take(round).map(Tunnel).collect();
    random.shuffle(&mut lengths);
    random.shuffle(&mut tunnels);
    let end = if case.way == Way::Decrypt { End::Peers } else { End::Ours };
    let mut frames = Vec::with_capacity(round);
    let mut bytes_out = 0;
    for (number, (&length, &tunnel)) in (0..).zip(lengths.iter().zip(&tunnels)) {
        let (source, mut destination) = tunnel.flow(end, case.headers);
        if case.way == Way::Forward {
            destination = tunnels::outside(case.headers);
        }
        let mut packet = datagram(source, destination, length, &mut random)?;
        set_mark(&mut packet, number);
        let out = if case.way == Way::Encrypt { outer_len(&packet, case)? } else { length };
        frames.push(frame(end, &packet)?);
        bytes_out += (ethernet::HEADER_LEN + out) as u64;
    }
    Ok(Frames { frames, bytes_out })
}

fn set_mark(packet: &mut [u8], number: u32) {
    if let Some(mark) = packet.last_chunk_mut() {
        *mark = number.to_be_bytes();
    }
}

/// The number in its round of a frame whose payload is in clear: its last bytes.
pub fn mark(frame: &[u8]) -> Option<u32> {
    frame.last_chunk().copied().map(u32::from_be_bytes)
}

/// Where an IPv4 frame goes to.
pub fn destination(frame: &[u8]) -> Option<Ipv4Addr> {
    let packet = frame.get(ethernet::HEADER_LEN..)?;
    Some(ipv4::Packet::new_checked(packet).ok()?.destination())
}

/// To the LAN port of an end, from the host next to it.
fn frame(end: End, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let lan = usize::from(LAN);
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr {
        destination: end.macs()[lan].into(),
        source: end.neighbours()[lan].into(),
        ether_type: if is_v6 { ethernet::EtherType::IPV6 } else { ethernet::EtherType::IPV4 },
    }
    .emit(&mut frame)
    .map_err(fault)?;
    frame.extend(packet);
    Ok(frame)
}

/// A UDP packet of `length` bytes, IP header included, filled with noise; its UDP checksum is left out.
fn datagram(
    source: IpAddr,
    destination: IpAddr,
    length: usize,
    random: &mut fastrand::Rng,
) -> Result<Vec<u8>, Error> {
    let header = if source.is_ipv6() { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    let payload_len = length.checked_sub(header + udp::HEADER_LEN).ok_or_else(|| {
        let least = header + udp::HEADER_LEN;
        Error::Generator(format!("a UDP packet has at least {least} bytes, not {length}"))
    })?;
    let mut packet = vec![0; length];
    random.fill(&mut packet);
    let below = udp::HEADER_LEN + payload_len;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4::Repr {
            source,
            destination,
            protocol: protocol::UDP,
            tos: 0,
            ttl: 64,
            df: true,
            identification: 0,
            payload_len: below,
        }
        .emit(&mut packet),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Repr {
            source,
            destination,
            next_header: protocol::UDP,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            payload_len: below,
        }
        .emit(&mut packet),
        _ => return Err(Error::Generator(format!("{source} and {destination} are of two families"))),
    }
    .map_err(fault)?;
    let (_, datagram) = packet.split_at_mut(header);
    udp::Repr { source: 1000, destination: 2000, payload_len }.emit(datagram).map_err(fault)?;
    Ok(packet)
}

fn fault(error: packet::Error) -> Error {
    Error::Generator(error.to_string())
}

/// How long an inner packet becomes. Of all tunnels alike, so the first speaks for them.
fn outer_len(inner: &[u8], case: &Case) -> Result<usize, Error> {
    let template = || {
        let parameters = esp::outbound::Parameters {
            spi: Tunnel(0).spi(Direction::Outbound)?,
            suite: case.suite,
            mode: Mode::Tunnel,
            salt: [0; 4],
            esn: false,
            local: tunnels::local(case.headers),
            remote: Tunnel(0).remote(case.headers),
            udp_port: case.headers.udp_port(),
            tunnel: esp::tunnel::Options::default(),
        };
        esp::outbound::Template::new(&parameters).ok()
    };
    let template = template().ok_or_else(|| Error::Generator(format!("{case}: there is no such tunnel")))?;
    Ok(template.header_len() + inner.len() + template.trailer_len(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Headers, Size};
    use model::Suite;
    use std::collections::{BTreeMap, BTreeSet};

    fn case(way: Way, size: Size, tunnels: u32, headers: Headers) -> Case {
        Case { way, size, tunnels, suite: Suite::AES_GCM_256, headers, workers: 1 }
    }

    #[test]
    fn lengths_and_tunnels_are_spread_as_the_case_says() {
        let case = case(Way::Decrypt, Size::Imix, 1000, Headers::FourInFour);
        let round = generate(&case, SHORTEST_ROUND).unwrap();
        let (mut lengths, mut senders) = (BTreeMap::new(), BTreeSet::new());
        for frame in &round.frames {
            let header = ipv4::Packet::new_checked(&frame[ethernet::HEADER_LEN..]).unwrap();
            header.verify_checksum().unwrap();
            assert_eq!(IpAddr::V4(header.destination()), tunnels::inside(case.headers));
            *lengths.entry(header.total_len()).or_insert(0) += 1;
            senders.insert(header.source());
        }
        assert_eq!(lengths, BTreeMap::from([(64, 84 * 7), (576, 84 * 4), (1420, 84)]));
        assert_eq!(senders.len(), 1000);
        let inner: usize = lengths.iter().map(|(length, packets)| usize::from(*length) * packets).sum();
        assert_eq!(round.bytes_out, (inner + round.frames.len() * ethernet::HEADER_LEN) as u64);
    }

    #[test]
    fn packets_have_the_length_family_and_destination_that_the_case_says() {
        for headers in [Headers::FourInSix, Headers::SixInFour] {
            let ends = [(Way::Encrypt, Tunnel(0).beyond(headers)), (Way::Forward, tunnels::outside(headers))];
            for (way, destination) in ends {
                let case = case(way, Size::Bytes(100), 1, headers);
                for frame in generate(&case, SHORTEST_ROUND).unwrap().frames {
                    let packet = &frame[ethernet::HEADER_LEN..];
                    let (length, to): (usize, IpAddr) = if headers.inner_is_v6() {
                        let header = ipv6::Packet::new_checked(packet).unwrap();
                        (ipv6::HEADER_LEN + usize::from(header.payload_len()), header.destination().into())
                    } else {
                        let header = ipv4::Packet::new_checked(packet).unwrap();
                        (usize::from(header.total_len()), header.destination().into())
                    };
                    assert_eq!((length, to), (100, destination));
                }
            }
        }
    }
}
