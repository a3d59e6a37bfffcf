"""Traffic flow confidentiality (RFC 4303, sections 2.6 and 2.7): packets that do not show their length, and dummies that do
not show when there are any. Held against the RFC by the library `cryptography` and by scapy; and between two gateways that
negotiated it."""

import os

from lab.names import SITE_A, SITE_B, SITES, WAN_LINK
from lab.traffic import PING_MARK, first_contact, ping
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from .case import MANUAL_CONFIGS
from .peer import PeerCase
from .suites import Association, all_suites
from .test_negotiation import Negotiates
from .test_oracles import forwarded
from .wire import Cable

FIRST_PORT = 21000
SIZES = (0, 5, 100, 560, 700, 1300)
SUITES = {suite.words: suite for suite in all_suites()}
# How packets are padded, by which suite, and what `set security-association` says of dummies.
TUNNELS = (
    ("esp-gcm 256", 700, None),
    ("esp-gcm 128", "mtu", None),
    ("esp-chacha20-poly1305", "mtu", None),
    ("esp-aes 256 esp-sha256-hmac", 700, None),
    ("esp-gcm 192", None, "pps 25"),
    ("esp-aes-ctr 128 esp-sha-hmac", "mtu", "pps 20"),
)


class Padded:
    """One crypto map entry, of traffic to a UDP port."""

    def __init__(self, number, words, padding, dummies):
        self.number, self.padding, self.dummies = number, padding, dummies
        self.sa = Association(SUITES[words], 0x30000 + number, False)
        self.back = Association(SUITES[words], 0x40000 + number, False)
        self.name = f"{words}, padding {padding}, dummies {dummies}"

    def config(self):
        n = self.number
        lines = [
            f"ip access-list extended PORT{n}",
            f" permit udp 10.1.0.0 0.0.0.255 10.2.0.0 0.0.0.255 eq {FIRST_PORT + n}",
            f"ipv6 access-list SIX{n}",
            f" permit udp 2001:db8:a::/64 2001:db8:b::/64 eq {FIRST_PORT + n}",
            f"crypto ipsec transform-set SET{n} {self.sa.suite.words}",
            f"crypto map SITES {n + 1} ipsec-manual",
            f" set peer {SITE_B.wan_v4}",
            f" set transform-set SET{n}",
            f" set session-key inbound {self.back.words}",
            f" set session-key outbound {self.sa.words}",
            f" match address PORT{n}",
            f" match address SIX{n}",
        ]
        lines += [f" set security-association tfc-padding {self.padding}"] * (self.padding is not None)
        lines += [f" set security-association dummy {self.dummies}"] * (self.dummies is not None)
        return lines

    def packet(self, size, family):
        """What the host sends into it."""
        source, destination = (SITE_A.host_v4, SITE_B.host_v4) if family == 4 else (SITE_A.host_v6, SITE_B.host_v6)
        header = IP(src=source, dst=destination, id=size) if family == 4 else IPv6(src=source, dst=destination)
        return bytes(header / UDP(sport=4000, dport=FIRST_PORT + self.number) / bytes(at % 251 for at in range(size)))


class Oracle(PeerCase):
    """gw-a with all of these, and ourselves in the other's place."""

    seconds = 60

    @classmethod
    def configuration(cls):
        cls.tunnels = [Padded(number, *each) for number, each in enumerate(TUNNELS)]
        manual = (MANUAL_CONFIGS / f"{SITE_A.gateway}.conf").read_text()
        head = manual.split("ip access-list extended TUNNEL")[0]
        lines = [line for tunnel in cls.tunnels for line in tunnel.config()]
        path = cls.lab.folder / "tfc.conf"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(head + "\n".join(lines) + "\nend\n")
        return path

    def outbound(self, tunnel):
        (found,) = [sa for sa in self.gateway.stats()["sa"] if sa["spi"] == tunnel.sa.spi]
        return found

    def is_of(self, tunnel):
        spi = tunnel.sa.spi.to_bytes(4, "big")
        return lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == 50 and frame[34:38] == spi

    def text(self, tunnel, frame):
        """What is sealed in a frame, whose ICV is right."""
        esp = frame[34:]
        sequence = int.from_bytes(esp[4:8], "big")
        text = tunnel.sa.text(esp)
        self.assertEqual(tunnel.sa.seal(sequence, esp[8 : 8 + tunnel.sa.suite.iv], text), esp)
        return text

    def test_packets_are_padded_behind_what_they_carry(self):
        for tunnel in [tunnel for tunnel in self.tunnels if tunnel.padding and not tunnel.dummies]:
            with self.subTest(tunnel=tunnel.name):
                before, lengths, padding = self.outbound(tunnel), set(), 0
                for size, family in ((size, family) for size in SIZES for family in (4, 6)):
                    packet = tunnel.packet(size, family)
                    self.wire.drain()
                    kind = b"\x08\x00" if family == 4 else b"\x86\xdd"
                    self.lan.send(self.station("lan") + self.from_host + kind + packet)
                    (frame,) = self.wire.receive(3, self.is_of(tunnel), count=1)
                    inner, text = forwarded(packet), self.text(tunnel, frame)
                    body, pad, number = text[: -2 - text[-2]], text[-2 - text[-2] : -2], text[-1]
                    self.assertEqual((number, pad), (4 if family == 4 else 41, bytes(range(1, len(pad) + 1))))
                    # First what is carried, whose own header says where it ends; then nothing but zeros.
                    self.assertEqual((body[: len(inner)], body[len(inner) :].strip(b"\0")), (inner, b""))
                    padding += len(body) - len(inner)
                    if tunnel.padding == "mtu":
                        lengths.add(len(frame))
                    else:
                        self.assertEqual(len(body), max(tunnel.padding, len(inner)))
                    if tunnel.sa.known_to_scapy:
                        opened = bytes(tunnel.sa.scapy(SITE_A.wan_v4, SITE_B.wan_v4).decrypt(IP(frame[14:])))
                        self.assertEqual(opened[: len(inner)], inner)
                if tunnel.padding == "mtu":
                    (length,) = lengths
                    # `ip mtu 1600`, and what a block leaves of it.
                    self.assertTrue(1614 - 16 < length <= 1614, length)
                after = self.outbound(tunnel)
                self.assertEqual(after["packets"] - before["packets"], 2 * len(SIZES))
                self.assertEqual(after["tfc_padding"] - before["tfc_padding"], padding)
                self.assertEqual(after["dummies"], 0)

    def test_dummies_come_by_themselves(self):
        for tunnel in [tunnel for tunnel in self.tunnels if tunnel.dummies]:
            with self.subTest(tunnel=tunnel.name):
                frames = self.wire.receive(20, self.is_of(tunnel), count=12)
                texts = [self.text(tunnel, frame) for frame in frames]
                self.assertEqual([text[-1] for text in texts], [59] * 12)
                first = int.from_bytes(frames[0][38:42], "big")
                self.assertEqual([int.from_bytes(frame[38:42], "big") - first for frame in frames], list(range(12)))
                lengths = {len(frame) for frame in frames}
                self.assertEqual(len(lengths) == 1, tunnel.padding == "mtu", lengths)
                sa = self.outbound(tunnel)
                self.assertGreaterEqual(sa["dummies"], 12)
                self.assertEqual(sa["bytes"], 0)
        shown = self.gateway.espalier("show", "crypto", "ipsec", "sa").stdout
        self.assertIn("#send dummy packets", shown)
        self.assertIn("tfc padding: to the mtu", shown)
        self.assertIn("dummies: 25 pps", shown)


class Negotiated(Negotiates):
    """Both ends are told to, and both agree that they take it."""

    changes = {
        "both": {
            "globals": "crypto ipsec security-association tfc-padding mtu\n",
            "entry": " match address TUNNEL6\n set security-association dummy pps 25\n",
        }
    }

    def counts(self, gateway):
        return {sa["direction"]: sa for sa in gateway.associations(quiet=True)}

    def test_pings_cross_among_dummies_and_look_like_them(self):
        self.raise_tunnel()
        first_contact(self.lab, SITES)
        wire = Cable(self.lab, "gw-b", WAN_LINK)
        self.addCleanup(wire.close)
        rows = [
            ping(self.lab, sender, receiver, family, size=size, count=20)
            for sender, receiver in (SITES, SITES[::-1])
            for family in (4, 6)
            for size in (56, 1300)
        ]
        self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
        frames = wire.receive(0.5)
        self.assertEqual([frame for frame in frames if PING_MARK[:12] in frame], [])
        sealed = [len(frame) for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 50]
        self.assertGreaterEqual(len(sealed), sum(row["sent"] for row in rows) // 2)
        self.assertEqual(len(set(sealed)), 1, set(sealed))
        for gateway in (self.a, self.b):
            self.eventually("dummies to have come", lambda gateway=gateway: self.counts(gateway)["inbound"]["dummies"] > 5)
            counts = self.counts(gateway)
            self.assertGreater(counts["outbound"]["tfc_padding"], 0)
            self.assertEqual(counts["inbound"]["malformed"], 0)
            self.assertEqual(counts["outbound"]["tfc"], {"padding": "mtu", "dummies": {"per-second": 25}})
