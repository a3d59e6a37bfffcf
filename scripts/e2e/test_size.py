"""Packets that are too long for their way: cut, or answered with the exact length that would do. Scapy's SAs say what that is."""

import socket
import struct
import time

from lab.names import SITE_A
from scapy.layers.inet import ICMP, IP, TCP, fragment
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from . import esp
from .counters import at_rest
from .scenarios import CONFIG, SCENARIOS, only
from .test_scenarios import ScenarioCase, forwarded, packet, reply
from .wire import checksum, in_namespace_of

MTU = 1400
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_MTU, IPV6_MTU, DO = 10, 23, 14, 24, 2


def too_big(frame):
    """The MTU that an ICMP message names, and what it quotes; None for anything else."""
    packet = frame[14:]
    if frame[12:14] == b"\x08\x00" and packet[9] == 1 and packet[20:22] == b"\x03\x04":
        return int.from_bytes(packet[26:28], "big"), packet[28:]
    if frame[12:14] == b"\x86\xdd" and packet[6] == 58 and packet[40:42] == b"\x02\x00":
        return int.from_bytes(packet[44:48], "big"), packet[48:]
    return None


class Sizes(ScenarioCase):
    config_text = CONFIG.replace(" ip mtu 1600\n", f" mtu 1600\n ip mtu {MTU}\n ipv6 mtu {MTU}\n")

    def outer_length(self, scenario, sa, size):
        """Bytes of what comes of a packet of so many bytes, as scenarios' own encapsulation has it."""
        empty = len(reply(scenario.ours, scenario.theirs, 0))
        inner = reply(scenario.ours, scenario.theirs, size - empty)
        return len(esp.encapsulated(sa, 1, inner, bytes(sa.iv)))

    def longest(self, scenario, sa):
        return next(size for size in range(MTU, 1000, -1) if self.outer_length(scenario, sa, size) <= MTU)

    def inner(self, scenario, size, df=True):
        empty = len(reply(scenario.ours, scenario.theirs, 0))
        fields = {} if ":" in scenario.ours else {"flags": 0x4000 if df else 0, "identification": 0 if df else 77}
        return reply(scenario.ours, scenario.theirs, size - empty, **fields)

    def test_an_answer_names_the_longest_that_passes(self):
        for scenario in only(mode="tunnel"):
            sa = scenario.sa("outbound")
            longest = self.longest(scenario, sa)
            packet = self.inner(scenario, longest + 1)
            self.emit(scenario, packet)
            (frame,) = self.lan.receive(3, lambda frame: too_big(frame) is not None, 1)
            mtu, quoted = too_big(frame)
            self.assertEqual(mtu, longest, scenario)
            self.assertTrue(forwarded(packet).startswith(quoted), scenario)
            source = socket.inet_ntop(*((socket.AF_INET, frame[26:30]) if packet[0] >> 4 == 4 else (socket.AF_INET6, frame[22:38])))
            self.assertEqual(source, SITE_A.lan_v4 if packet[0] >> 4 == 4 else SITE_A.lan_v6)
            self.assert_sealed(scenario, [self.inner(scenario, longest)])

    def test_the_gateways_own_sockets_learn_it(self):
        """Linux hears of the path MTU of its own packets, which transport mode protects."""
        for scenario in only(mode="transport", bits=128):
            v4 = scenario.outer == 4
            with in_namespace_of(self.lab, SITE_A.gateway):
                sender = socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM)
            level = socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6
            with sender:
                sender.setsockopt(level, IP_MTU_DISCOVER if v4 else IPV6_MTU_DISCOVER, DO)
                sender.bind((scenario.local, 7010))
                sender.connect((scenario.peer, 9))
                longest = self.longest(scenario, scenario.sa("outbound"))
                header = 28 if v4 else 48
                sender.send(bytes(longest + 1 - header))

                def known(sender=sender, level=level, v4=v4):
                    return sender.getsockopt(level, IP_MTU if v4 else IPV6_MTU) == longest

                self.eventually(f"{scenario}: Linux knows that {longest} bytes pass", known)

    def test_fragments_before_encryption(self):
        """What has no DF is cut, and each fragment is protected as if it were a packet of its own."""
        for scenario in only(mode="tunnel", inner=4):
            sa = scenario.sa("outbound")
            packet = self.inner(scenario, 1500, df=False)
            self.emit(scenario, packet)
            found = self.sealed_out(sa.spi, 2)
            self.assertEqual(len(found), 2, scenario)
            payload = b""
            for outer, sequence, behind in found:
                self.assertLessEqual(len(outer), MTU)
                inner = sa.open(outer)
                length, word = struct.unpack("!HxxH", inner[2:8])
                self.assertEqual((word & 0x1FFF) * 8, len(payload))
                self.assertEqual(bool(word & 0x2000), not payload)
                self.assertEqual(inner[4:6], packet[4:6])
                payload += inner[20:length]
            self.assertEqual(payload, packet[20:], scenario)

    def test_zz_all_is_accounted_for(self):
        for scenario in SCENARIOS:
            for size in (1300, 1380, MTU):
                self.emit(scenario, self.inner(scenario, size))
                self.emit(scenario, self.inner(scenario, size, df=False))
        self.assertEqual(self.settled(0).unaccounted(), 0)


class Fragments(ScenarioCase):
    """ESP that comes in fragments. (Of IPv4, Linux puts them together below DPDK's af_packet driver, so that the fragments
    themselves are seen only in dataplane/tests/fragments.rs.)"""

    def fragments(self, outer, mtu, number):
        """By scapy, as a host would."""
        if outer[0] >> 4 == 4:
            return [bytes(part) for part in fragment(IP(outer), mtu - 20)]
        header = IPv6(outer[:40], nh=44, plen=None)
        whole = header / IPv6ExtHdrFragment(id=number, nh=outer[6]) / Raw(outer[40:])
        return [bytes(part) for part in fragment6(whole, mtu)]

    def test_they_are_put_together(self):
        for scenario in only(bits=128, esn=False):
            sa = scenario.sa("inbound")
            inner = self.inner_in(scenario, 1000)
            outer = esp.encapsulated(sa, self.next_number(sa), inner)
            parts = self.fragments(outer, 500, scenario.number)
            self.assertGreater(len(parts), 2)
            for part in reversed(parts[1:]):
                self.deliver(part)
            self.assert_taken(scenario, parts[0], inner)
        self.assertEqual(self.settled(0).unaccounted(), 0)

    def put_together(self, frames):
        """The packet that these are the fragments of."""
        parts = {}
        for frame in frames:
            outer = frame[14:]
            v4 = outer[0] >> 4 == 4
            word = int.from_bytes(outer[6:8] if v4 else outer[42:44], "big")
            parts[(word & 0x1FFF) * 8 if v4 else word & 0xFFF8] = outer
        self.assertEqual(len(parts), len(frames))
        first = parts[0]
        payload = b"".join(part[20 if v4 else 48 :] for _, part in sorted(parts.items()))
        if v4:
            head = bytearray(first[:20])
            head[2:4], head[6:8], head[10:12] = (20 + len(payload)).to_bytes(2, "big"), b"\0\0", b"\0\0"
            head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
            return bytes(head) + payload
        return first[:4] + len(payload).to_bytes(2, "big") + first[40:41] + first[7:40] + payload

    def test_the_gateways_own_are_sealed_whole(self):
        """Linux cuts what is longer than its TAP takes; ESP in transport mode comes first (RFC 4303, section 3.3.4)."""
        for scenario in only(mode="transport", bits=128, esn=False):
            sa = scenario.sa("outbound")
            ping = ("ping", "-n", "-q", "-c", "1", "-W", "0.1", "-s", "4000", scenario.peer)
            self.lab.complete("a large ping", ping, SITE_A.gateway)

            def ours(frame, scenario=scenario):
                end = {b"\x08\x00": 30, b"\x86\xdd": 38}.get(frame[12:14])
                address = socket.inet_pton(socket.AF_INET6 if ":" in scenario.peer else socket.AF_INET, scenario.peer)
                return end is not None and frame[end : end + len(address)] == address

            frames = self.wire.receive(3, ours, 3)
            self.assertEqual(len(frames), 3, scenario)
            self.assertTrue(all(len(frame) <= 14 + 1600 for frame in frames))
            outer = self.put_together(frames)
            at = esp.find(outer)
            self.assertEqual(outer[at : at + 4], sa.spi.to_bytes(4, "big"))
            opened = sa.open(outer)
            kind, number = (8, 1) if outer[0] >> 4 == 4 else (128, esp.ICMPV6)
            self.assertEqual((opened[0], opened[-1], len(opened) - 2 - opened[-2]), (kind, number, 4008), scenario)
        self.assertEqual(self.settled(0).unaccounted(), 0)

    def test_what_never_completes_is_let_go(self):
        scenario = only(outer=6, mode="tunnel")[0]
        sa = scenario.sa("inbound")
        before = at_rest(self.counters)
        for number in range(20):
            outer = esp.encapsulated(sa, self.next_number(sa), self.inner_in(scenario, 700))
            self.deliver(self.fragments(outer, 500, 1000 + number)[0])
        # Of our own, which transport mode wants whole.
        scenario = only(mode="transport", outer=4)[0]
        self.emit(scenario, reply(scenario.ours, scenario.theirs, 64, flags=0x2000))
        scenario = only(mode="transport", outer=6)[0]
        lone = bytes((esp.ICMPV6, 0, 0, 9, 0, 0, 0, 1)) + bytes(64)
        self.emit(scenario, packet(scenario.ours, scenario.theirs, 44, lone))
        self.eventually("the fragments wait", lambda: self.counters().waiting == 22)
        self.eventually("the fragments are gone", lambda: not self.counters().waiting, seconds=15)
        self.assertEqual(self.counters().dropped_since(before), {"fragment_timeout": 22})
        self.assertEqual(at_rest(self.counters).unaccounted(), 0)


class PathMtu(ScenarioCase):
    """What routers on the path say of the gateway's ESP packets: believed only of what it sent."""

    def quote(self, outer, mtu):
        """The ICMP message of a router about a packet that it did not take."""
        if outer[0] >> 4 == 4:
            return bytes(IP(src="192.0.2.99", dst=SITE_A.wan_v4) / ICMP(type=3, code=4, nexthopmtu=mtu) / Raw(outer[:48]))
        router = IPv6(src="2001:db8:ffff::99", dst=SITE_A.wan_v6)
        return bytes(router / ICMPv6PacketTooBig(mtu=mtu) / Raw(outer[:600]))

    def sent(self, scenario):
        sa = scenario.sa("outbound")
        self.emit(scenario, reply(scenario.ours, scenario.theirs, 1350))
        ((outer, _, _),) = self.sealed_out(sa.spi, 1)
        return outer

    def test_what_was_fragmented_after_encryption_is_known(self):
        """A router that does not take a fragment of ESP quotes the header of that, too (RFC 8200, section 4.5)."""
        for scenario in only(mode="tunnel", outer=6, inner=4, bits=256, esn=False):
            outer = self.sent(scenario)
            word = outer[6:7] + b"\0\0\1" + scenario.number.to_bytes(4, "big")
            cut = outer[:4] + (8 + 1360).to_bytes(2, "big") + b"\x2c" + outer[7:40] + word + outer[40:1400]
            # It is no longer than that: the whole packet's length says nothing of the fragment's.
            self.deliver(self.quote(cut, len(cut)))
            self.settled(0)
            time.sleep(0.15)
            self.assertEqual(self.path_mtu(scenario), 1600, scenario)
            self.deliver(self.quote(cut, 1300))
            self.eventually(f"{scenario}: it is believed", lambda scenario=scenario: self.path_mtu(scenario) == 1300)

    def path_mtu(self, scenario):
        spi = scenario.sa("outbound").spi
        return next(sa["path_mtu"] for sa in self.gateway.associations() if sa["spi"] == spi)

    def test_only_what_was_sent_is_believed(self):
        for scenario in only(mode="tunnel", bits=128, esn=False, inner=6):
            outer = self.sent(scenario)
            at = esp.find(outer)
            unsent = outer[: at + 4] + (0x00FFFFFF).to_bytes(4, "big") + outer[at + 8 :]
            stranger = outer[:at] + (0xDEADBEEF).to_bytes(4, "big") + outer[at + 4 :]
            end = 16 if outer[0] >> 4 == 4 else 24
            elsewhere = outer[: end + 3] + bytes((outer[end + 3] ^ 0x55,)) + outer[end + 4 :]
            for lie in (unsent, stranger, elsewhere):
                self.deliver(self.quote(lie, 1400))
            broken = bytearray(self.quote(outer, 1400))
            broken[-1] ^= 1
            self.deliver(bytes(broken))
            # It was not longer than that.
            self.deliver(self.quote(outer, 1590))
            self.settled(0)
            time.sleep(0.3)
            self.assertEqual(self.path_mtu(scenario), 1600, scenario)
            self.deliver(self.quote(outer, 1400))
            self.eventually(f"{scenario}: it is believed", lambda scenario=scenario: self.path_mtu(scenario) == 1400)
            self.emit(scenario, reply(scenario.ours, scenario.theirs, 1350))
            (frame,) = self.lan.receive(3, lambda frame: too_big(frame) is not None, 1)
            mtu = too_big(frame)[0]
            self.assertTrue(1300 < mtu < 1400, mtu)
            self.assertEqual(self.sealed_out(scenario.sa("outbound").spi, 1, 0.2), [])
            # Nobody is believed who says that it takes more.
            time.sleep(0.15)
            self.deliver(self.quote(outer, 1410))
            time.sleep(0.15)
            self.assertEqual(self.path_mtu(scenario), 1400)
        said = self.gateway.espalier("show", "crypto", "ipsec", "sa")
        self.assertIn("path mtu 1400 (learned), ip mtu 1600, ip mtu idb wan\n", said.stdout)


class Mss(ScenarioCase):
    """`ip tcp adjust-mss`: what SYNs offer through the tunnel, both ways, their checksums right."""

    config_text = CONFIG.replace(" ip mtu 1600\n", " ip mtu 1600\n ip tcp adjust-mss 1360\n ipv6 tcp adjust-mss 1340\n")

    def syn(self, source, destination, mss, flags="S"):
        layer = IPv6 if ":" in source else IP
        return bytes(layer(src=source, dst=destination) / TCP(sport=4000, dport=80, flags=flags, options=[("MSS", mss)]))

    def expected(self, packet, mss):
        """The same as scapy would have made it."""
        layer = (IPv6 if packet[0] >> 4 == 6 else IP)(packet)
        layer[TCP].options = [("MSS", mss)]
        del layer[TCP].chksum
        return bytes(layer)

    def offers(self):
        for scenario in only(mode="tunnel", bits=128, esn=False, udp=False):
            most = 1360 if scenario.inner == 4 else 1340
            for offered, flags in ((1460, "S"), (1460, "SA"), (500, "S"), (1460, "A")):
                yield scenario, offered, flags, min(offered, most) if "S" in flags else offered

    def test_a_offers_are_lowered_on_the_way_out(self):
        for scenario, offered, flags, seen in self.offers():
            sa = scenario.sa("outbound")
            packet = self.syn(scenario.ours, scenario.theirs, offered, flags)
            self.emit(scenario, packet)
            ((outer, _, _),) = self.sealed_out(sa.spi, 1)
            foretold = forwarded(self.expected(packet, seen))
            self.assertEqual(sa.open(outer)[: len(foretold)].hex(), foretold.hex(), scenario)

    def test_offers_are_lowered_on_the_way_in(self):
        for scenario, offered, flags, seen in self.offers():
            sa = scenario.sa("inbound")
            packet = self.syn(scenario.theirs, scenario.ours, offered, flags)
            self.deliver(esp.encapsulated(sa, self.next_number(sa), packet))
            self.assertTrue(self.arrived(scenario, forwarded(self.expected(packet, seen))), scenario)
