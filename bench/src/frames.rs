//! The traffic of a case, made before it is measured: one round of frames that the input port repeats for ever.

use crate::case::{Case, Way};
use crate::error::Error;
use crate::tunnels::{INSIDE, LAN, LOCAL, MACS, NEIGHBOURS, OUTSIDE, Tunnel, WAN};
use model::{Direction, IcvLen, Mode};
use packet::{ethernet, ipv4, protocol, udp};
use std::net::Ipv4Addr;

/// Frames of a round at least. Few, so that they stay in the core's own caches: how soon a cache that the core shares
/// gives them up is the neighbours' doing and would be measured, too.
const SHORTEST_ROUND: usize = 252;
/// Frames of a round are a multiple of this: as many as IMIX counts by.
const STEP: usize = 12;

/// What the input port receives, and what must come out for it.
#[derive(Clone, Debug)]
pub struct Frames {
    /// The frames in their order.
    pub frames: Vec<Vec<u8>>,
    /// Bytes of all that must leave when each of them has come in once.
    pub bytes_out: u64,
}

/// Makes a round of frames: lengths and tunnels in their proportions, in random order, always the same one.
///
/// # Errors
///
/// [`Error::Generator`].
pub fn generate(case: &Case) -> Result<Frames, Error> {
    let mut random = fastrand::Rng::with_seed(7);
    let round = SHORTEST_ROUND.max((case.tunnels as usize).next_multiple_of(STEP));
    let mut lengths: Vec<usize> = case.size.lengths().into_iter().cycle().take(round).collect();
    let mut tunnels: Vec<Tunnel> = (0..case.tunnels).cycle().take(round).map(Tunnel).collect();
    random.shuffle(&mut lengths);
    random.shuffle(&mut tunnels);
    let sealers = match case.way {
        Way::Decrypt => (0..case.tunnels).map(|number| Sealer::new(Tunnel(number), case)).collect(),
        Way::Forward | Way::Encrypt => Ok(Vec::new()),
    }?;
    let mut frames = Vec::with_capacity(round);
    let mut bytes_out = 0;
    for (sequence, (&length, &tunnel)) in (1..).zip(lengths.iter().zip(&tunnels)) {
        let (port, packet, out) = match case.way {
            Way::Forward => (LAN, datagram(INSIDE, OUTSIDE, length, &mut random)?, length),
            Way::Encrypt => {
                let inner = datagram(INSIDE, tunnel.beyond(), length, &mut random)?;
                (LAN, inner, Sealer::new(tunnel, case)?.outer_len(length))
            }
            Way::Decrypt => {
                let inner = datagram(tunnel.beyond(), INSIDE, length, &mut random)?;
                let sealer = sealers
                    .get(tunnel.0 as usize)
                    .ok_or_else(|| Error::Generator(format!("tunnel {} has no key", tunnel.0)))?;
                (WAN, sealer.seal(&inner, sequence)?, length)
            }
        };
        frames.push(frame(usize::from(port), &packet)?);
        bytes_out += (ethernet::HEADER_LEN + out) as u64;
    }
    Ok(Frames { frames, bytes_out })
}

/// To a port of ours, from who is next to it.
fn frame(port: usize, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr {
        destination: MACS[port].into(),
        source: NEIGHBOURS[port].into(),
        ether_type: ethernet::EtherType::IPV4,
    }
    .emit(&mut frame)
    .map_err(fault)?;
    frame.extend(packet);
    Ok(frame)
}

/// A UDP packet of `length` bytes, IPv4 header included, filled with noise; its UDP checksum is left out.
fn datagram(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    length: usize,
    random: &mut fastrand::Rng,
) -> Result<Vec<u8>, Error> {
    let headers = ipv4::HEADER_LEN + udp::HEADER_LEN;
    let payload_len = length.checked_sub(headers).ok_or_else(|| {
        Error::Generator(format!("a UDP packet has at least {headers} bytes, not {length}"))
    })?;
    let mut packet = vec![0; length];
    random.fill(&mut packet);
    ipv4::Repr {
        source,
        destination,
        protocol: protocol::UDP,
        tos: 0,
        ttl: 64,
        df: true,
        identification: 0,
        payload_len: udp::HEADER_LEN + payload_len,
    }
    .emit(&mut packet)
    .map_err(fault)?;
    let (_, datagram) = packet.split_at_mut(ipv4::HEADER_LEN);
    udp::Repr { source: 1000, destination: 2000, payload_len }.emit(datagram).map_err(fault)?;
    Ok(packet)
}

fn fault(error: packet::Error) -> Error {
    Error::Generator(error.to_string())
}

/// The peer's end of a tunnel, which seals what we open; and how long what we seal becomes, as both ends do the same.
struct Sealer {
    key: gcm::Key,
    template: esp::outbound::Template,
}

impl Sealer {
    fn new(tunnel: Tunnel, case: &Case) -> Result<Sealer, Error> {
        let material = tunnel.key(Direction::Inbound, case);
        let parts = || {
            let (key, salt) = material.split_at_checked(case.key.bytes())?;
            let key = gcm::Key::new(key, case.key).ok()?;
            let parameters = esp::outbound::Parameters {
                spi: tunnel.spi(Direction::Inbound)?,
                suite: case.suite(),
                mode: Mode::Tunnel,
                salt: salt.try_into().ok()?,
                esn: false,
                local: tunnel.remote().into(),
                remote: LOCAL.into(),
                udp_port: None,
                tunnel: esp::tunnel::Options::default(),
            };
            Some(Sealer { key, template: esp::outbound::Template::new(&parameters).ok()? })
        };
        parts().ok_or_else(|| Error::Generator(format!("tunnel {} cannot be sealed for", tunnel.0)))
    }

    fn outer_len(&self, inner_len: usize) -> usize {
        self.template.header_len() + inner_len + self.template.trailer_len(inner_len)
    }

    fn seal(&self, inner: &[u8], sequence: u64) -> Result<Vec<u8>, Error> {
        let mut packet = vec![0; self.outer_len(inner.len())];
        let place = self.template.header_len()..self.template.header_len() + inner.len();
        packet
            .get_mut(place)
            .ok_or_else(|| Error::Generator("no room in an outer packet".to_owned()))?
            .copy_from_slice(inner);
        let iv = esp::iv::at(0, sequence);
        let sealing = esp::outbound::encapsulate(&self.template, sequence, iv, &mut packet, inner.len())
            .map_err(|error| Error::Generator(error.to_string()))?;
        let job = gcm::Job {
            key: &self.key,
            nonce: sealing.nonce,
            aad: gcm::Aad::new(sealing.aad.as_slice())
                .ok_or_else(|| Error::Generator("too much additional data".to_owned()))?,
            packet: &mut packet,
            text: sealing.text,
            icv: IcvLen::Bytes16,
        };
        if gcm::seal(&mut [job]) != 0 {
            return Err(Error::Generator("a packet could not be sealed".to_owned()));
        }
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Size;
    use std::collections::{BTreeMap, BTreeSet};

    /// What the gateway will do with a frame: the length of the inner packet and who sent it.
    fn open(frame: &[u8], case: &Case) -> (usize, Ipv4Addr) {
        let mut packet = frame[ethernet::HEADER_LEN..].to_vec();
        let outer = ipv4::Packet::new_checked(&packet).unwrap();
        outer.verify_checksum().unwrap();
        let tunnel = Tunnel(outer.source().to_bits() - Tunnel(0).remote().to_bits());
        let material = tunnel.key(Direction::Inbound, case);
        let (key, salt) = material.split_at(case.key.bytes());
        let key = gcm::Key::new(key, case.key).unwrap();
        let parameters =
            esp::inbound::Parameters::new(case.suite(), Mode::Tunnel, salt.try_into().unwrap(), false, 0);
        let opening = esp::inbound::prepare(&parameters, &packet, ipv4::HEADER_LEN, 0).unwrap();
        let job = gcm::Job {
            key: &key,
            nonce: opening.nonce,
            aad: gcm::Aad::new(opening.aad.as_slice()).unwrap(),
            packet: &mut packet,
            text: opening.text.clone(),
            icv: IcvLen::Bytes16,
        };
        assert_eq!(gcm::open(&mut [job]), 0);
        let inner = esp::inbound::finish(Mode::Tunnel, &mut packet, opening.text).unwrap();
        let inner = &packet[inner.range];
        let header = ipv4::Packet::new_checked(inner).unwrap();
        assert_eq!(header.source(), tunnel.beyond());
        assert_eq!(header.destination(), INSIDE);
        (inner.len(), header.source())
    }

    #[test]
    fn what_is_to_be_decrypted_opens_and_is_spread_as_the_case_says() {
        let case = Case { way: Way::Decrypt, size: Size::Imix, tunnels: 1000, key: model::KeyLen::Aes256 };
        let round = generate(&case).unwrap();
        let (mut lengths, mut senders) = (BTreeMap::new(), BTreeSet::new());
        for frame in &round.frames {
            let (length, sender) = open(frame, &case);
            *lengths.entry(length).or_insert(0) += 1;
            senders.insert(sender);
        }
        assert_eq!(lengths, BTreeMap::from([(64, 84 * 7), (576, 84 * 4), (1420, 84)]));
        assert_eq!(senders.len(), 1000);
        let inner: usize = lengths.iter().map(|(length, packets)| length * packets).sum();
        assert_eq!(round.bytes_out, (inner + round.frames.len() * ethernet::HEADER_LEN) as u64);
    }

    #[test]
    fn what_is_to_be_encrypted_or_forwarded_has_the_length_that_the_case_says() {
        for (way, destination) in [(Way::Encrypt, Tunnel(0).beyond()), (Way::Forward, OUTSIDE)] {
            let case = Case { way, size: Size::Bytes(100), tunnels: 1, key: model::KeyLen::Aes128 };
            for frame in generate(&case).unwrap().frames {
                let header = ipv4::Packet::new_checked(&frame[ethernet::HEADER_LEN..]).unwrap();
                header.verify_checksum().unwrap();
                assert_eq!((usize::from(header.total_len()), header.destination()), (100, destination));
            }
        }
    }
}
