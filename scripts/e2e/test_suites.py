"""Every suite that ESP has, with and without extended sequence numbers, both ways: held against the RFCs to the last
byte, against scapy and against tshark. One gateway has them all, each for a UDP port of its own."""

import os
import subprocess

from lab.names import SITE_A, SITE_B
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from .case import MANUAL_CONFIGS
from .peer import PeerCase, trailer
from .suites import Association, all_suites
from .test_oracles import forwarded, is_esp_from_gateway

FIRST_PORT = 20000
SIZES = (0, 1, 5, 14, 15, 16, 30, 500, 1400)


class Tunnel:
    """One crypto map entry: a suite, both directions, a port."""

    def __init__(self, number, suite, esn):
        self.number, self.suite, self.esn = number, suite, esn
        self.port = FIRST_PORT + number
        self.outbound = Association(suite, 0x10000 + number, esn)
        self.inbound = Association(suite, 0x20000 + number, esn)
        self.name = suite.words + (" with ESN" if esn else "")

    def config(self):
        n = self.number
        return [
            f"ip access-list extended PORT{n}",
            f" permit udp 10.1.0.0 0.0.0.255 10.2.0.0 0.0.0.255 eq {self.port}",
            f"ipv6 access-list SIX{n}",
            f" permit udp 2001:db8:a::/64 2001:db8:b::/64 eq {self.port}",
            f"crypto ipsec transform-set SET{n} {self.suite.words}",
            *([" esn"] if self.esn else []),
            f"crypto map SITES {n + 1} ipsec-manual",
            f" set peer {SITE_B.wan_v4}",
            f" set transform-set SET{n}",
            f" set session-key inbound {self.inbound.words}",
            f" set session-key outbound {self.outbound.words}",
            f" match address PORT{n}",
            f" match address SIX{n}",
        ]

    def leaving(self, size):
        """What the host sends into the tunnel."""
        body = bytes((size + at) % 251 for at in range(size))
        if size % 3 == 2:
            header = IPv6(src=SITE_A.host_v6, dst=SITE_B.host_v6)
        else:
            header = IP(src=SITE_A.host_v4, dst=SITE_B.host_v4, id=size)
        return bytes(header / UDP(sport=4000, dport=self.port) / body)

    def coming(self, size):
        """What the host behind the peer sends: back from the tunnel's port."""
        body = bytes((self.number + at) % 249 for at in range(size))
        header = IP(src=SITE_B.host_v4, dst=SITE_A.host_v4, id=size)
        return header / UDP(sport=self.port, dport=4000) / body


class Suites(PeerCase):
    """gw-a with a tunnel of each suite, between a host and a peer that are both ours."""

    seconds = 180

    @classmethod
    def configuration(cls):
        cls.tunnels = [Tunnel(*each) for each in enumerate_suites()]
        manual = (MANUAL_CONFIGS / f"{SITE_A.gateway}.conf").read_text()
        head = manual.split("ip access-list extended TUNNEL")[0]
        lines = [line for tunnel in cls.tunnels for line in tunnel.config()]
        # Written as nobody else may read it.
        path = cls.lab.folder / "suites.conf"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(head + "\n".join(lines) + "\nend\n")
        return path

    def associations(self):
        return {(sa["direction"], sa["spi"]): sa for sa in self.gateway.stats()["sa"]}

    def sent_by_gateway(self, packet):
        """Puts a packet on the LAN; the outer packet that comes of it."""
        self.wire.drain()
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        self.lan.send(self.station("lan") + self.from_host + kind + packet)
        frames = self.wire.receive(3, is_esp_from_gateway, count=1)
        self.assertEqual(len(frames), 1, f"no ESP came for {packet.hex()}")
        return frames[0][14:]

    def arrives(self, outer, inner):
        """Puts an outer packet on the wire, and sees the inner one come to the LAN."""
        expected = forwarded(bytes(inner))
        self.lan.drain()
        self.wire.send(self.ethernet(bytes(outer)))
        arrived = self.lan.receive(3, lambda frame: expected in frame, count=1)
        self.assertEqual(len(arrived), 1, f"did not arrive on the LAN: {bytes(outer).hex()}")
        self.assertEqual(arrived[0][14 : 14 + len(expected)], expected)

    def test_what_we_write_is_what_the_rfcs_say(self):
        captured = []
        for tunnel in self.tunnels:
            with self.subTest(suite=tunnel.name):
                counters, sa = [], tunnel.outbound
                for sequence, size in enumerate(SIZES, 1):
                    before = tunnel.leaving(size)
                    outer = self.sent_by_gateway(before)
                    esp = outer[20:]
                    self.assertEqual(int.from_bytes(esp[:4], "big"), sa.spi)
                    # What is inside, padded no more than it must be.
                    text = sa.text(esp)
                    padded = len(forwarded(before)) + text[-2] + 2
                    self.assertEqual(len(text), padded)
                    self.assertEqual(padded % tunnel.suite.block, 0)
                    self.assertLess(text[-2], tunnel.suite.block)
                    padding = bytes(range(1, text[-2] + 1)) + bytes((text[-2], 4 if before[0] >> 4 == 4 else 41))
                    self.assertEqual(text, forwarded(before) + padding)
                    # All of it again, by another hand.
                    iv = esp[8 : 8 + tunnel.suite.iv]
                    self.assertEqual(esp, sa.seal(sequence, iv, text))
                    counters.append(sa.counter(esp))
                    if sa.known_to_scapy:
                        scapy = sa.scapy(SITE_A.wan_v4, SITE_B.wan_v4)
                        self.assertEqual(bytes(scapy.decrypt(IP(outer))), forwarded(before))
                    captured.append((tunnel, outer))
                if counters[0] is not None:
                    self.assertEqual(counters, list(range(counters[0], counters[0] + len(SIZES))))
        self.tshark_reads([(tunnel, outer) for tunnel, outer in captured if tunnel.suite.tshark and not tunnel.esn])

    def tshark_reads(self, captured):
        file = self.lab.folder / "suites.pcap"
        wrpcap(str(file), [Ether() / IP(outer) for _, outer in captured])
        command = ["tshark", "-r", str(file), "-o", "esp.enable_encryption_decode:TRUE"]
        command += ["-o", "esp.enable_authentication_check:TRUE"]
        for tunnel in dict.fromkeys(tunnel for tunnel, _ in captured):
            sa, suite = tunnel.outbound, tunnel.suite
            key = f"0x{sa.cipher_key.hex()}" if sa.cipher_key else ""
            mac, mac_key = (suite.hmac.tshark, f"0x{sa.hmac_key.hex()}") if suite.hmac else ("NULL", "")
            rule = f'"IPv4","{SITE_A.wan_v4}","{SITE_B.wan_v4}","0x{sa.spi:08x}","{suite.tshark}","{key}","{mac}","{mac_key}"'
            command += ["-o", f"uat:esp_sa:{rule}"]
        command += ["-T", "fields", "-e", "esp.icv_bad", "-e", "udp.dstport"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        rows = done.stdout.splitlines()
        self.assertEqual(len(rows), len(captured), done.stderr)
        for (tunnel, _), row in zip(captured, rows):
            bad, port = row.split("\t")
            self.assertEqual(port, str(tunnel.port), f"tshark saw no inner packet of {tunnel.name}: {row!r}")
            # It does not say of each packet that the ICV is good.
            self.assertIn(bad, ("", "0", "False"), f"tshark finds the ICV of {tunnel.name} wrong")

    def test_we_read_what_scapy_and_the_rfcs_write(self):
        for tunnel in self.tunnels:
            with self.subTest(suite=tunnel.name):
                sa = tunnel.inbound
                # With ESN, over the end of a run of low halves: the high half is inferred.
                first = 0xFFFFFFFC if tunnel.esn else 0x20000000
                for sequence, size in enumerate(SIZES, first):
                    inner = tunnel.coming(size)
                    high, low = sequence >> 32, sequence & 0xFFFFFFFF
                    if sa.known_to_scapy and size % 2:
                        # Not by argument: there, a low half of 0 counts as none given.
                        scapy = sa.scapy(SITE_B.wan_v4, SITE_A.wan_v4, high)
                        scapy.seq_num = low
                        outer = scapy.encrypt(inner)
                    else:
                        text = padded(bytes(inner), tunnel.suite.block)
                        iv = os.urandom(tunnel.suite.iv)
                        esp = sa.seal(sequence, iv, text)
                        outer = around(esp)
                    self.arrives(outer, inner)

    def test_nothing_altered_comes_in(self):
        """A bit turned over anywhere is an integrity failure of its SA, and moves no window."""
        # Below all that the test after this one, by the alphabet, sends.
        sequence, sealed = 0x10000000, []
        for tunnel in self.tunnels:
            text = padded(bytes(tunnel.coming(100)), tunnel.suite.block)
            sealed.append(tunnel.inbound.seal(sequence, os.urandom(tunnel.suite.iv), text))
        before, counted = self.associations(), self.counters()
        for tunnel, esp in zip(self.tunnels, sealed):
            # The sequence number, the IV or the first byte, the text's end, both ends of the ICV.
            for place in (7, 8, len(esp) - tunnel.suite.icv - 1, len(esp) - tunnel.suite.icv, len(esp) - 1):
                altered = bytearray(esp)
                altered[place] ^= 0x10
                self.wire.send(self.ethernet(around(bytes(altered))))
        count = 5 * len(sealed)
        self.eventually("integrity failures", lambda: self.counters().dropped_since(counted) == {"esp_bad_icv": count})
        after = self.associations()
        for tunnel in self.tunnels:
            was, now = (seen[("inbound", tunnel.inbound.spi)] for seen in (before, after))
            self.assertEqual(now["auth_failed"], was["auth_failed"] + 5, tunnel.name)
            self.assertEqual(now["packets"], was["packets"], tunnel.name)
            self.assertEqual(now["highest_sequence"], was["highest_sequence"], tunnel.name)
        # What was altered is still new as it was sealed; and then it is not.
        for tunnel, esp in zip(self.tunnels, sealed):
            self.arrives(around(esp), tunnel.coming(100))
            self.wire.send(self.ethernet(around(esp)))
        self.eventually(
            "replays", lambda: self.counters().dropped_since(counted).get("esp_replayed") == len(sealed)
        )
        last = self.associations()
        for tunnel in self.tunnels:
            was, now = (seen[("inbound", tunnel.inbound.spi)] for seen in (before, last))
            self.assertEqual((now["packets"], now["replayed"]), (was["packets"] + 1, was["replayed"] + 1), tunnel.name)

    def test_the_operator_sees_the_transforms(self):
        shown = self.gateway.espalier("show", "crypto", "ipsec", "sa").stdout
        for tunnel in self.tunnels:
            self.assertIn(tunnel.suite.words, shown)
        checked = self.gateway.espalier("check", str(self.gateway.config))
        for weak in ("3DES", "SHA-1", "nothing is encrypted", "ICV of 8 bytes"):
            self.assertIn(weak, checked.stdout + checked.stderr)


def enumerate_suites():
    each = [(suite, esn) for suite in all_suites() for esn in (False, True)]
    return [(number, suite, esn) for number, (suite, esn) in enumerate(each)]


def around(esp):
    """The peer's outer packet."""
    return bytes(IP(src=SITE_B.wan_v4, dst=SITE_A.wan_v4, proto=50) / esp)


def padded(inner, block):
    """With the least padding and the trailer of RFC 4303, section 2.4."""
    if block == 4:
        return trailer(inner)
    length = -(len(inner) + 2) % block
    return inner + bytes(range(1, length + 1)) + bytes((length, 4))
