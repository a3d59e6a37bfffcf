"""Hostile packets on the wire: each lands on the counter that bears its name, and none is unaccounted for."""

import random

from lab.names import SITE_A, SITE_B
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from .counters import at_rest
from .peer import PeerCase, esp_by_hand, trailer
from .wire import checksum, linux_reassembles, random_frames

TIMES = 7


def inner_v4(**fields):
    """An honest inner packet, from the peer's host to ours."""
    header = {"src": SITE_B.host_v4, "dst": SITE_A.host_v4} | fields
    return bytes(IP(**header) / UDP(sport=7, dport=9) / b"inside")


def broken(packet, change, sound=True):
    """An IPv4 packet with `change` made to its header; `sound` mends the checksum after it."""
    header = bytearray(packet[:20])
    change(header)
    if sound:
        header[10:12] = b"\0\0"
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + packet[20:]


class Hostile(PeerCase):
    """Each test throws packets of one kind at gw-a and asks which counters rose, and by how much."""

    seconds = 120

    def key(self):
        return self.keys["inbound"]

    def good(self, sequence=None, plaintext=None, **header):
        if plaintext is None:
            plaintext = trailer(inner_v4())
        return esp_by_hand(self.key(), sequence or self.next_sequence(), plaintext, **header)

    def throw(self, frames):
        """Puts frames on the wire; returns the drops that rose, and the readings before and after."""
        frames = list(frames)
        before = at_rest(self.counters)
        for number, frame in enumerate(frames, 1):
            self.wire.send(frame)
            # The port's ring holds 512 frames, and the gateway may have to wait for a core.
            if number % 256 == 0:
                at_rest(self.counters)
        # A gateway that waits for a core looks like one at rest.
        self.settled(before.received + len(frames))
        after = at_rest(self.counters)
        self.assertEqual(before.unaccounted(), 0, before.stats)
        self.assertEqual(after.unaccounted(), 0, after.stats)
        return after.dropped_since(before), before, after

    def assert_dropped_as(self, reason, packets, kind=None):
        """Each of these outer packets, thrown by itself, raises this counter by one and no other."""
        frames = [packet if kind == "frame" else self.ethernet(packet, kind) for packet in packets]
        dropped, _, _ = self.throw(frames)
        self.assertEqual(dropped, {reason: len(frames)})

    # --- What is wrong with the outer packet --------------------------------------------------------------------

    def test_truncated_ip_header(self):
        self.assert_dropped_as("ip_truncated", [self.good()[:length] for length in (0, 1, 10, 19)], b"\x08\x00")

    def test_total_length_beyond_the_frame(self):
        def longer(header):
            header[2:4] = (9000).to_bytes(2, "big")

        self.assert_dropped_as("ip_truncated", [broken(self.good(), longer) for _ in range(TIMES)])

    def test_total_length_below_the_header(self):
        def shorter(header):
            header[2:4] = (19).to_bytes(2, "big")

        self.assert_dropped_as("ip_bad_total_length", [broken(self.good(), shorter) for _ in range(TIMES)])

    def test_bytes_beyond_the_packet_are_ignored(self):
        """Ethernet pads short frames; what is behind the packet is none of it."""
        dropped, before, after = self.throw([self.ethernet(self.good() + bytes(range(200)))])
        self.assertEqual((dropped, after.accepted - before.accepted), ({}, 1))

    def test_wrong_version(self):
        def version(header):
            header[0] = 0x55

        self.assert_dropped_as("ip_bad_version", [broken(self.good(), version) for _ in range(TIMES)], b"\x08\x00")

    def test_ipv6_ethertype_over_ipv4(self):
        self.assert_dropped_as("ip_bad_version", [self.good() for _ in range(TIMES)], b"\x86\xdd")

    def test_bad_header_length(self):
        def header_length(header):
            header[0] = 0x44

        self.assert_dropped_as("ip_bad_header_length", [broken(self.good(), header_length) for _ in range(TIMES)])

    def test_bad_checksum(self):
        def flip(header):
            header[10] ^= 0x55

        self.assert_dropped_as("ip_bad_checksum", [broken(self.good(), flip, sound=False) for _ in range(TIMES)])

    def test_multicast_is_dropped_or_linuxs(self):
        packets = [
            bytes(IP(src=SITE_B.wan_v4, dst=to) / UDP(sport=1, dport=2) / b"to many")
            for to in ("224.0.0.5", "239.1.2.3", "255.255.255.255")
        ]
        dropped, before, after = self.throw([self.ethernet(packet) for packet in packets])
        self.assertLessEqual(set(dropped), {"ip_multicast"})
        # Linux at both ends talks to many, too, whenever it likes.
        received = after.received - before.received
        self.assertGreaterEqual(received, len(packets))
        self.assertEqual(sum(dropped.values()) + after.to_linux - before.to_linux, received)
        self.assertEqual(after.sent - before.sent, after.from_linux - before.from_linux)

    def test_frames_for_another_station(self):
        frames = [bytes.fromhex("02ffffffff01") + self.from_peer + b"\x08\x00" + self.good() for _ in range(TIMES)]
        self.assert_dropped_as("not_for_us_l2", frames, "frame")

    def test_spoofed_sources(self):
        packets = [
            bytes(IP(src=source, dst=SITE_A.host_v4) / UDP() / b"who?")
            for source in ("127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255")
        ]
        self.assert_dropped_as("ip_martian_source", packets)

    # --- What is wrong with the ESP -----------------------------------------------------------------------------

    def test_too_short_for_esp(self):
        bodies = [b"", bytes(4), bytes(7), self.key().spi.to_bytes(4, "big") + bytes(11)]
        packets = [bytes(IP(src=SITE_B.wan_v4, dst=SITE_A.wan_v4, proto=50) / body) for body in bodies]
        self.assert_dropped_as("esp_truncated", packets)

    def test_unknown_spi(self):
        body = (0xDEADBEEF).to_bytes(4, "big") + bytes(60)
        packets = [bytes(IP(src=SITE_B.wan_v4, dst=SITE_A.wan_v4, proto=50) / body) for _ in range(TIMES)]
        self.assert_dropped_as("esp_unknown_spi", packets)

    def test_replayed(self):
        packet = self.good()
        dropped, before, after = self.throw([self.ethernet(packet)])
        self.assertEqual((dropped, after.accepted - before.accepted), ({}, 1), "the first one is taken")
        self.assert_dropped_as("esp_replayed", [packet] * TIMES)

    def test_tampered(self):
        """One bit, anywhere from the sequence number to the ICV."""
        packets = []
        for offset in (27, 28, 35, 36, 50, -17, -16, -1):
            packet = bytearray(self.good())
            packet[offset] ^= 1 if offset != 27 else 0x80
            packets.append(bytes(packet))
        self.assert_dropped_as("esp_bad_icv", packets)

    def test_a_forgery_does_not_move_the_window(self):
        forged = bytearray(self.good())
        forged[24:28] = (0x7FFFFFFF).to_bytes(4, "big")
        self.assert_dropped_as("esp_bad_icv", [bytes(forged)])
        dropped, before, after = self.throw([self.ethernet(self.good())])
        self.assertEqual((dropped, after.accepted - before.accepted), ({}, 1), "an honest packet still passes")

    def test_wrong_selector(self):
        strangers = [
            inner_v4(src="172.16.0.1"),
            inner_v4(dst="172.16.0.1"),
            inner_v4(src=SITE_A.host_v4, dst=SITE_B.host_v4),
        ]
        self.assert_dropped_as("esp_selector_mismatch", [self.good(plaintext=trailer(inner)) for inner in strangers])

    def test_bad_padding(self):
        inner = inner_v4()
        self.assertEqual(len(inner) % 4, 2)
        plaintexts = [
            inner + bytes((9, 9, 9, 9)) + bytes((4, 4)),
            inner + bytes((1, 2, 3, 5)) + bytes((4, 4)),
            inner[:18] + bytes((255, 4)),
        ]
        self.assert_dropped_as("esp_bad_padding", [self.good(plaintext=plaintext) for plaintext in plaintexts])

    def test_bad_next_header(self):
        packets = [self.good(plaintext=trailer(inner_v4(), next_header=header)) for header in (6, 17, 50, 255)]
        self.assert_dropped_as("esp_bad_next_header", packets)

    def test_dummy_packets(self):
        packets = [self.good(plaintext=trailer(bytes(size), next_header=59)) for size in (2, 30, 98)]
        self.assert_dropped_as("esp_dummy", packets)

    def test_bad_inner_packets(self):
        inner = inner_v4()
        plaintexts = [
            trailer(b""),
            trailer(inner[:10]),
            trailer(inner, next_header=41),
            trailer(b"\x65" + inner[1:]),
            trailer(broken(inner, lambda header: header.__setitem__(2, 0x7F))),
        ]
        self.assert_dropped_as("esp_bad_inner", [self.good(plaintext=plaintext) for plaintext in plaintexts])

    # --- What should have been protected, or cannot go on ---------------------------------------------------------

    def test_cleartext_of_a_protected_flow(self):
        packets = [inner_v4() for _ in range(TIMES)]
        packets.append(bytes(IPv6(src=SITE_B.host_v6, dst=SITE_A.host_v6) / UDP(sport=7, dport=9) / b"inside"))
        self.lan.drain()
        self.assert_dropped_as("policy_cleartext", packets)
        self.assertEqual(self.lan.receive(0.2, lambda frame: b"inside" in frame), [])

    def test_no_route(self):
        packet = bytes(IP(src=SITE_B.wan_v4, dst="198.51.100.1") / UDP() / b"nowhere")
        self.assert_dropped_as("no_route", [packet] * TIMES)

    # --- Everything at once -------------------------------------------------------------------------------------

    def test_random_frames_are_all_accounted_for(self):
        frames = [
            frame
            for frame in random_frames(3000, 4303, self.station("wan"), self.from_peer)
            if not linux_reassembles(frame)
        ]
        dropped, before, after = self.throw(frames)
        self.assertGreaterEqual(after.received - before.received, len(frames))
        self.assertGreater(len(dropped), 3, dropped)
        self.assertNotIn("internal", dropped)

    def test_mutations_of_good_packets_are_all_accounted_for(self):
        choice = random.Random(4106)
        frames = []
        for _ in range(3000):
            frame = bytearray(self.ethernet(self.good()))
            for _ in range(choice.randrange(1, 4)):
                frame[choice.randrange(12, len(frame))] = choice.randrange(256)
            if choice.randrange(4) == 0:
                del frame[choice.randrange(14, len(frame)) :]
            if not linux_reassembles(frame):
                frames.append(bytes(frame))
        dropped, _, _ = self.throw(frames)
        self.assertGreater(dropped.get("esp_bad_icv", 0), 100, dropped)
        self.assertNotIn("internal", dropped)

    def test_the_gateway_still_works_after_all_of_it(self):
        dropped, before, after = self.throw([self.ethernet(self.good()) for _ in range(TIMES)])
        self.assertEqual((dropped, after.accepted - before.accepted), ({}, TIMES))

    def test_zz_too_old(self):
        """Last of all, as it moves the window beyond what the other tests send."""
        high = self.sequence + 100_000
        dropped, _, _ = self.throw([self.ethernet(self.good(sequence=high))])
        self.assertEqual(dropped, {})
        old = [self.good(sequence=high - 4096 - 64 - distance) for distance in range(TIMES)]
        self.assert_dropped_as("esp_too_old", old)
        inside = [self.ethernet(self.good(sequence=high - distance)) for distance in range(1, TIMES)]
        dropped, before, after = self.throw(inside)
        self.assertEqual((dropped, after.accepted - before.accepted), ({}, len(inside)))
