//! Traffic flow confidentiality, on the way out (RFC 4303, sections 2.6 and 2.7): padding that hides how long packets are,
//! and dummies that hide when there are any. On the way in, [`crate::inbound::finish`] cuts the one off and refuses the
//! other.
//!
//! TFC padding stands between the inner packet and ESP's own padding, whose length has one byte only. So for
//! [`crate::outbound::encapsulate`] it is a part of the inner packet, which its sender appends: zeros, as nobody sees them.
//!
//! A dummy is made as an IP packet of no content, from the SA's one end to the other, and goes the way of all others. What
//! tells it from them is inside of what is sealed: ESP's next header ([`mark_dummy`]). In transport mode that is what the
//! packet's own header says anyway.

use crate::outbound::{Sealing, Template};
use model::TfcPadding;
use packet::{ipv4, ipv6, protocol};
use std::net::IpAddr;

/// Hop limit of the dummies themselves, of which nobody spends any.
const TTL: u8 = 64;

impl Template {
    /// Bytes of TFC padding behind a packet of `inner_len` bytes, so that no more than `limit` bytes come of both. None in
    /// transport mode.
    #[inline]
    pub const fn tfc_len(&self, padding: TfcPadding, inner_len: usize, limit: usize) -> usize {
        let room = self.room(limit);
        let wanted = match padding {
            TfcPadding::UpTo(len) if (len as usize) < room => len as usize,
            TfcPadding::UpTo(_) | TfcPadding::Mtu => room,
            TfcPadding::None => 0,
        };
        if self.is_transport() { 0 } else { wanted.saturating_sub(inner_len) }
    }

    /// Bytes of the shortest dummy: its header.
    #[inline]
    pub const fn least_dummy(&self) -> usize {
        match self.ends() {
            (IpAddr::V4(_), _) => ipv4::HEADER_LEN,
            (IpAddr::V6(_), _) => ipv6::HEADER_LEN,
        }
    }

    /// Makes a dummy of all these bytes, not yet encapsulated. DF is set, as it is in most packets. `None` if they are fewer
    /// than [`Template::least_dummy`], or more than an IP packet has.
    pub fn write_dummy(&self, bytes: &mut [u8]) -> Option<()> {
        bytes.fill(0);
        let payload_len = bytes.len().checked_sub(self.least_dummy())?;
        match self.ends() {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = ipv4::Repr {
                    source,
                    destination,
                    protocol: protocol::NO_NEXT_HEADER,
                    tos: 0,
                    ttl: TTL,
                    df: true,
                    identification: 0,
                    payload_len,
                };
                header.emit(bytes).ok()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = ipv6::Repr {
                    source,
                    destination,
                    next_header: protocol::NO_NEXT_HEADER,
                    traffic_class: 0,
                    flow_label: 0,
                    hop_limit: TTL,
                    payload_len,
                };
                header.emit(bytes).ok()
            }
            // No template has such ends.
            _ => None,
        }
    }
}

/// Says of an encapsulated dummy, before it is sealed, that it is one.
#[inline]
pub fn mark_dummy(packet: &mut [u8], sealing: &Sealing) {
    if let Some([.., next_header]) = packet.get_mut(sealing.text.clone()) {
        *next_header = protocol::NO_NEXT_HEADER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::{self, Error};
    use crate::outbound::{Parameters, encapsulate};
    use crate::tunnel::Options;
    use model::{Mode, Spi, Suite};
    use proptest::prelude::*;

    fn template(suite: Suite, mode: Mode, outer_v6: bool, udp: bool) -> Template {
        let ends: [IpAddr; 2] =
            if outer_v6 { ["2001:db8::1", "2001:db8::2"] } else { ["192.0.2.1", "192.0.2.2"] }
                .map(|end| end.parse().unwrap());
        Template::new(&Parameters {
            spi: Spi::MIN,
            suite,
            mode,
            salt: [0; 4],
            esn: false,
            local: ends[0],
            remote: ends[1],
            udp_port: udp.then_some(4500),
            tunnel: Options::default(),
        })
        .unwrap()
    }

    /// Encapsulated, but not sealed.
    fn around(template: &Template, inner: &[u8]) -> (Vec<u8>, Sealing) {
        let mut packet = vec![0xEE; template.header_len()];
        packet.extend(inner);
        packet.resize(packet.len() + template.trailer_len(inner), 0xEE);
        let sealing = encapsulate(template, 7, 7, &mut packet, inner.len()).unwrap();
        (packet, sealing)
    }

    fn suites() -> impl Strategy<Value = Suite> {
        prop::sample::select(Suite::all().collect::<Vec<_>>())
    }

    proptest! {
        /// A packet is as long as was asked for, or as its way takes; and it comes out as it went in.
        #[test]
        fn padding_ends_where_it_is_to_and_is_cut_off(
            suite in suites(), outer_v6: bool, udp: bool, len in 20_usize..1400, to in 0_u16..1500,
            limit in 1200_usize..1500, mtu: bool,
        ) {
            let template = template(suite, Mode::Tunnel, outer_v6, udp);
            let padding = if mtu { TfcPadding::Mtu } else { TfcPadding::UpTo(to) };
            let tfc = template.tfc_len(padding, len, limit);
            let fits = |len| template.header_len() + len + template.trailer_len(&vec![0x45; len]) <= limit;
            prop_assert!(tfc == 0 || fits(len + tfc));
            let asked = if mtu { usize::MAX } else { usize::from(to) };
            prop_assert!(len + tfc >= asked || !fits(len + tfc + 1), "more would fit");
            prop_assert!(tfc == 0 || len + tfc <= asked);
            prop_assert_eq!(template.tfc_len(TfcPadding::None, len, limit), 0);

            let mut inner = vec![0; len];
            ipv4::Repr {
                source: [10, 0, 0, 1].into(), destination: [10, 0, 0, 2].into(), protocol: 17, tos: 0, ttl: 9,
                df: false, identification: 0, payload_len: len - 20,
            }.emit(&mut inner).unwrap();
            let padded = [&inner[..], &vec![0; tfc]].concat();
            let (mut packet, sealing) = around(&template, &padded);
            let out = inbound::finish(Mode::Tunnel, &mut packet, sealing.text).unwrap();
            prop_assert_eq!(&packet[out.range], &inner[..]);
        }

        /// Whatever its length, a dummy is one at the other end, and nothing else.
        #[test]
        fn dummies_are_known_for_what_they_are(
            suite in suites(), transport: bool, outer_v6: bool, udp: bool, more in 0_usize..1400,
        ) {
            let mode = if transport { Mode::Transport } else { Mode::Tunnel };
            let template = template(suite, mode, outer_v6, udp);
            let mut dummy = vec![0xEE; template.least_dummy() + more];
            template.write_dummy(&mut dummy).unwrap();
            let (mut packet, sealing) = around(&template, &dummy);
            if transport {
                let before = packet.clone();
                mark_dummy(&mut packet, &sealing);
                prop_assert_eq!(&before, &packet);
            } else {
                mark_dummy(&mut packet, &sealing);
            }
            prop_assert_eq!(inbound::finish(mode, &mut packet, sealing.text), Err(Error::Dummy));
            prop_assert_eq!(template.tfc_len(TfcPadding::Mtu, 100, 1500) == 0, transport);
        }
    }

    #[test]
    fn what_is_too_short_for_a_header_is_no_dummy() {
        let template = template(Suite::AES_GCM_128, Mode::Tunnel, true, false);
        assert_eq!(template.write_dummy(&mut [0; 39]), None);
        assert_eq!(template.write_dummy(&mut [0; 40]), Some(()));
    }
}
