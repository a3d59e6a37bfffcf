//! MSS: what TCP connections through a port may offer each other (`ip tcp adjust-mss`), so that what comes of their
//! segments is not too long. Only where a port asks for it.

use super::Context;
use crate::burst::{Burst, Family, Mask};
use packet::{extensions, ipv4, ipv6, protocol, tcp};

/// Lowers what SYNs of `mask` offer, which came in by `ingress` and leave by `meta.egress`, to what both ports want.
#[cold]
pub(crate) fn lower(burst: &mut Burst, mask: Mask, ingress: u16, ctx: &Context<'_>) {
    let Burst { packets, meta } = burst;
    for (index, mbuf) in packets.masked_mut(mask) {
        let family = meta[index].family;
        let wanted = |port: u16| ctx.snapshot.port(port).and_then(|port| port.mss(family));
        let Some(most) = wanted(ingress).into_iter().chain(wanted(meta[index].egress)).min() else {
            continue;
        };
        let packet = mbuf.data_mut();
        let at = match family {
            Family::V4 => {
                let header = ipv4::Packet::new_unchecked(&*packet);
                let whole = header.protocol() == protocol::TCP && header.is_first_fragment();
                whole.then(|| header.header_len())
            }
            Family::V6 => match ipv6::Packet::new_unchecked(&*packet).next_header() {
                protocol::TCP => Some(ipv6::HEADER_LEN),
                next if extensions::is_extension(next) => extensions::upper_layer(packet)
                    .ok()
                    .filter(|upper| upper.number == protocol::TCP && !upper.is_later_fragment)
                    .map(|upper| upper.at),
                _ => None,
            },
        };
        if let Some(segment) = at.and_then(|at| packet.get_mut(at..)) {
            tcp::lower_mss(segment, most);
        }
    }
}
