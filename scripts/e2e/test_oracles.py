"""ESP that Espalier writes is read by scapy and by tshark; ESP that scapy writes is read by Espalier. Byte for byte."""

import subprocess

from lab.names import SITE_A, SITE_B
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from .peer import PeerCase, esp_by_hand, scapy_association, trailer

SIZES = (0, 1, 2, 3, 15, 16, 17, 63, 64, 100, 500, 1000, 1400)


def packets(source_v4, destination_v4, source_v6, destination_v6):
    """Inner packets of every kind and of sizes around every boundary, whole with checksums."""
    for size in SIZES:
        body = bytes(index % 251 for index in range(size))
        v4 = IP(src=source_v4, dst=destination_v4, id=size, tos=0xB8 if size % 2 else 0)
        v6 = IPv6(src=source_v6, dst=destination_v6, tc=0x28 if size % 2 else 0)
        yield bytes(v4 / UDP(sport=4000, dport=5000) / body)
        yield bytes(v4 / TCP(sport=4000, dport=80, flags="A", seq=7) / body)
        yield bytes(v4 / ICMP(type=8, id=3, seq=size) / body)
        yield bytes(v6 / UDP(sport=4000, dport=5000) / body)
        yield bytes(v6 / TCP(sport=4000, dport=443, flags="PA", seq=9) / body)


def forwarded(packet):
    """The same packet behind one more router: TTL or hop limit one lower."""
    if packet[0] >> 4 == 4:
        header = IP(packet)
        header.ttl -= 1
        del header.chksum
    else:
        header = IPv6(packet)
        header.hlim -= 1
    return bytes(header)


def is_esp_from_gateway(frame):
    return frame[12:14] == b"\x08\x00" and frame[23] == 50


class Oracles(PeerCase):
    """gw-a between a host and a peer that are both ours."""

    def esp_for(self, inner):
        """Puts inner packets on the LAN, one after another, and returns the outer packet that came for each."""
        outer = []
        for packet in inner:
            self.wire.drain()
            kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
            self.lan.send(self.station("lan") + self.from_host + kind + packet)
            frames = self.wire.receive(3, is_esp_from_gateway, count=1)
            self.assertEqual(len(frames), 1, f"no ESP came for {packet.hex()}")
            outer.append(frames[0][14:])
        return outer

    def test_scapy_reads_what_we_write(self):
        inner = list(packets(SITE_A.host_v4, SITE_B.host_v4, SITE_A.host_v6, SITE_B.host_v6))
        outer = self.esp_for(inner)
        association = scapy_association(self.keys["outbound"], SITE_A.wan_v4, SITE_B.wan_v4)
        numbers = []
        for before, packet in zip(inner, outer):
            header = IP(packet)
            self.assertEqual((header.src, header.dst, header.proto), (SITE_A.wan_v4, SITE_B.wan_v4, 50))
            self.assertEqual(header.tos & 0xFC, before_tos(before) & 0xFC, "DSCP is copied to the outer header")
            numbers.append(int.from_bytes(packet[24:28], "big"))
            self.assertEqual(bytes(association.decrypt(header)), forwarded(before))
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))), "sequence numbers in order")

    def test_tshark_reads_what_we_write(self):
        inner = list(packets(SITE_A.host_v4, SITE_B.host_v4, SITE_A.host_v6, SITE_B.host_v6))[:20]
        outer = self.esp_for(inner)
        file = self.lab.folder / "oracle.pcap"
        wrpcap(str(file), [Ether() / IP(packet) for packet in outer])
        key = self.keys["outbound"]
        rule = (
            f'"IPv4","{SITE_A.wan_v4}","{SITE_B.wan_v4}","0x{key.spi:08x}",'
            f'"AES-GCM with 16 octet ICV [RFC4106]","0x{(key.key + key.salt).hex()}","NULL",""'
        )
        command = [
            "tshark", "-r", str(file), "-o", "esp.enable_encryption_decode:TRUE", "-o", f"uat:esp_sa:{rule}",
            "-T", "fields", "-e", "esp.icv_good", "-e", "ip.dst", "-e", "ipv6.dst",
            "-e", "udp.dstport", "-e", "tcp.dstport", "-e", "icmp.seq",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        rows = done.stdout.splitlines()
        self.assertEqual(len(rows), len(outer), done.stderr)
        for packet, row in zip(inner, rows):
            inner_address = SITE_B.host_v4 if packet[0] >> 4 == 4 else SITE_B.host_v6
            self.assertIn(inner_address, row, f"tshark saw no inner packet in {row!r}: {done.stderr}")

    def test_we_read_what_scapy_writes(self):
        association = scapy_association(self.keys["inbound"], SITE_B.wan_v4, SITE_A.wan_v4)
        for packet in packets(SITE_B.host_v4, SITE_A.host_v4, SITE_B.host_v6, SITE_A.host_v6):
            layer = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
            outer = association.encrypt(layer, seq_num=self.next_sequence())
            self.lan.drain()
            self.wire.send(self.ethernet(bytes(outer)))
            expected = forwarded(packet)
            arrived = self.lan.receive(3, lambda frame, expected=expected: expected in frame, count=1)
            self.assertEqual(len(arrived), 1, f"did not arrive on the LAN: {packet.hex()}")
            self.assertEqual(arrived[0][:6], self.from_host, "addressed to the host")
            self.assertEqual(arrived[0][14 : 14 + len(expected)], expected)

    def test_padding_of_any_length_up_to_255_is_taken(self):
        for length in (0, 1, 2, 3, 62, 127, 254, 255):
            filling = bytes(-(28 + 6 + length + 2) % 4)
            payload = b"padded" + filling
            inner = bytes(IP(src=SITE_B.host_v4, dst=SITE_A.host_v4) / UDP(sport=1, dport=2) / payload)
            self.assertEqual((len(inner) + length + 2) % 4, 0)
            plaintext = inner + bytes(range(1, length + 1)) + bytes((length, 4))
            self.lan.drain()
            self.wire.send(self.ethernet(esp_by_hand(self.keys["inbound"], self.next_sequence(), plaintext)))
            arrived = self.lan.receive(3, lambda frame: b"padded" in frame, count=1)
            self.assertEqual(len(arrived), 1, f"padding of {length} bytes")
            self.assertEqual(arrived[0][14 : 14 + len(inner)], forwarded(inner))

    def test_congestion_is_told_to_the_inner_header(self):
        """RFC 6040: an outer CE mark reaches an inner packet that can carry it."""
        inner = bytes(IP(src=SITE_B.host_v4, dst=SITE_A.host_v4, tos=2) / UDP(sport=1, dport=2) / b"marked!!")
        self.lan.drain()
        outer = esp_by_hand(self.keys["inbound"], self.next_sequence(), trailer(inner), tos=3)
        self.wire.send(self.ethernet(outer))
        arrived = self.lan.receive(3, lambda frame: b"marked!!" in frame, count=1)
        self.assertEqual(len(arrived), 1)
        self.assertEqual(arrived[0][15] & 3, 3)


def before_tos(packet):
    """The TOS byte or traffic class of an inner packet."""
    return packet[1] if packet[0] >> 4 == 4 else ((packet[0] & 15) << 4 | packet[1] >> 4)
