//! The names of the ways that a packet can end, and of the stages that it passes.

use crate::layout::{DROP_ROOM, STAGE_ROOM};
use crate::named::named_enum;

named_enum! {
    /// Why a packet was dropped. Each has a counter in every worker.
    DropReason {
        Runt = 0, "runt", "The frame is shorter than an Ethernet header; look at the device or what generates the traffic.";
        BadEthertype = 1, "bad_ethertype", "The frame is of no protocol that is handled (IPv4, IPv6, ARP); usually harmless noise of the segment.";
        NotForUsL2 = 2, "not_for_us_l2", "The frame's destination MAC is another station's; normal on a promiscuous port, else check the sender's neighbour table.";
        IpTruncated = 3, "ip_truncated", "The frame ends before the IP packet does; suspect the sender or the link.";
        IpBadVersion = 4, "ip_bad_version", "The IP version does not match the Ethertype; suspect the sender.";
        IpBadHeaderLength = 5, "ip_bad_header_length", "The IPv4 header length is below 20 bytes or beyond the packet; suspect the sender.";
        IpBadTotalLength = 6, "ip_bad_total_length", "The IP length is smaller than the header or larger than the frame; suspect the sender or the link.";
        IpBadChecksum = 7, "ip_bad_checksum", "The IPv4 header checksum is wrong; if many, turn checksum offload off at a virtual sender.";
        IpTtlExpired = 8, "ip_ttl_expired", "The TTL or hop limit ran out; look for a routing loop.";
        IpFragment = 9, "ip_fragment", "A fragment that cannot be one: of no length, beyond the longest packet, at odds with the others, or of ESP or a fragment inside another; suspect the sender.";
        IpMulticast = 10, "ip_multicast", "Multicast and broadcast are not forwarded.";
        IpMartianSource = 11, "ip_martian_source", "The source address cannot be one (multicast, loopback, zero or our own); suspect spoofing.";
        Ip6BadHeader = 12, "ip6_bad_header", "The IPv6 header or its extensions are malformed; suspect the sender.";
        EspTruncated = 13, "esp_truncated", "The packet is too short for an ESP header, IV and ICV; suspect the peer or the path.";
        EspUnknownSpi = 14, "esp_unknown_spi", "No inbound SA has this SPI; the peer may use an SA that ended here: compare both sides' SPIs.";
        EspReplayed = 15, "esp_replayed", "The sequence number was seen before; a replay, or a path that duplicates packets.";
        EspTooOld = 16, "esp_too_old", "The sequence number is left of the replay window; a replay, or reordering: use a wider window.";
        EspBadIcv = 17, "esp_bad_icv", "The ICV does not verify; keys differ between the sides, or the packet was altered.";
        EspBadPadding = 18, "esp_bad_padding", "The padding is not 1, 2, 3, ... or too long; the peer's ESP is faulty.";
        EspBadNextHeader = 19, "esp_bad_next_header", "The next header is neither IPv4 nor IPv6, so not of tunnel mode; compare both sides' modes.";
        EspBadInner = 20, "esp_bad_inner", "The inner packet is malformed; suspect the sender behind the peer.";
        EspSelectorMismatch = 21, "esp_selector_mismatch", "The inner packet is not what its SA is for; compare both sides' access lists.";
        EspSequenceExhausted = 22, "esp_sequence_exhausted", "The SA has no sequence number left; rekey it, and use ESN.";
        EspEcnDrop = 23, "esp_ecn_drop", "The outer header says congestion, the inner one cannot carry it (RFC 6040); normal under congestion.";
        EspDummy = 24, "esp_dummy", "A dummy packet of traffic flow confidentiality (RFC 4303, section 2.6); normal.";
        SaExpired = 25, "sa_expired", "The SA is past its hard limit; rekey earlier.";
        PolicyDiscard = 26, "policy_discard", "An entry of the crypto map discards it, or protects it by a tunnel that there is not: its interface has no address, or no peer of its dynamic map has come for this.";
        PolicyNoSa = 27, "policy_no_sa", "The policy wants protection, and no SA is up for it; look at the tunnel's state.";
        PolicyCleartext = 28, "policy_cleartext", "The packet came in clear though a policy wants it protected (RFC 4301, section 5.2); check the peer's policy.";
        NoRoute = 29, "no_route", "No route to the destination; add one.";
        Blackhole = 30, "blackhole", "The route says drop.";
        NeighbourUnresolved = 31, "neighbour_unresolved", "The next hop did not answer for its address in time; is it up?";
        NeighbourQueueFull = 32, "neighbour_queue_full", "Too many packets wait for a next hop's address; normal for an instant, else is it up?";
        MtuExceeded = 33, "mtu_exceeded", "The packet is larger than its way takes, and must not be fragmented; its sender was told, as far as there may be answers: does it hear them?";
        NoHeadroom = 34, "no_headroom", "No room before the packet for new headers; a larger mbuf headroom is needed.";
        NoMbuf = 35, "no_mbuf", "The packet pool is empty; give the data plane more mbufs.";
        Segmented = 36, "segmented", "A packet of several segments where only one is possible; lower the port's MTU or use larger mbufs.";
        TxFull = 37, "tx_full", "The port's transmit queue is full; the link is too slow for the traffic.";
        TapFull = 38, "tap_full", "Linux does not take packets from the mirror TAP fast enough; is something flooding it?";
        PortDown = 39, "port_down", "The egress port is down or detached; check the link and `shutdown`.";
        NoTap = 40, "no_tap", "The packet is for Linux, but its port has no mirror TAP.";
        Internal = 41, "internal", "A fault in the data plane; please report it.";
        EspTransportFragment = 42, "esp_transport_fragment", "A fragment cannot be protected in transport mode (RFC 4303, section 3.3.4); only the gateway's own are put together before; lower the sender's MTU, or use tunnel mode.";
        EspOtherEnds = 43, "esp_other_ends", "Transport mode is for packets between the SA's ends, and this one is not; use tunnel mode.";
        UdpKeepalive = 44, "udp_keepalive", "A keepalive of a peer behind a translator (RFC 3948, section 2.3); normal.";
        EspNested = 45, "esp_nested", "ESP in ESP in ESP: more layers than are opened; suspect a loop of tunnels.";
        WrongVlan = 46, "wrong_vlan", "The frame is not of the port's VLAN; check the port's encapsulation and the switch's.";
        CryptoDevice = 47, "crypto_device", "The crypto device did not do the packet, or not in time; if it is hardware, is it overloaded? See the log.";
        FragmentOverlap = 64, "fragment_overlap", "Fragments overlap, so none of them is believed (RFC 5722); an attack, or a faulty sender.";
        FragmentTimeout = 65, "fragment_timeout", "Fragments whose others did not come in time, to us or of a flow that a policy knows by its ports; loss on the path, or an attack: lower the sender's MTU.";
        FragmentsFull = 66, "fragments_full", "Too many fragments wait at once for others of their packets, and the oldest went; lower the sender's MTU.";
        FragmentsMany = 67, "fragments_many", "A packet comes in more than 64 fragments; an attack, or a path of a tiny MTU.";
        FragmentAgain = 68, "fragment_again", "A fragment that had come before; the path duplicates packets.";
    }
}

named_enum! {
    /// A step of the way of a packet; each is timed.
    Stage {
        Receive = 0, "receive", "Take a burst from a queue.";
        Parse = 1, "parse", "Ethernet and IP headers.";
        SadLookup = 2, "sad_lookup", "Find the inbound SA, check the replay window.";
        Decrypt = 3, "decrypt", "Open, commit to the replay window, decapsulate.";
        InboundPolicy = 4, "inbound_policy", "Check inner packets against their SA's selectors.";
        Route = 5, "route", "Find the next hop.";
        Classify = 6, "classify", "Look the packet up in the egress port's policy.";
        Encrypt = 7, "encrypt", "Sequence numbers, encapsulate, seal.";
        Forward = 8, "forward", "TTL, MTU, Ethernet header.";
        Transmit = 9, "transmit", "Hand bursts to queues.";
        Exception = 10, "exception", "To and from Linux.";
    }
}

const _: () = assert!(DropReason::ALL.len() <= DROP_ROOM && Stage::ALL.len() <= STAGE_ROOM);

impl DropReason {
    /// What it means and what to do about it, in one line.
    pub const fn advice(self) -> &'static str {
        self.about()
    }

    /// The place of its counter.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Stage {
    /// The place of its counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}
