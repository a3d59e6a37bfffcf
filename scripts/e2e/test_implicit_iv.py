"""Implicit IVs (RFC 8750): negotiated between two gateways, and held against the RFC to the last byte by the library
`cryptography`, with our own IKE endpoint beside it, which says the keys."""

from contextlib import contextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from lab.names import SITE_A, SITE_B, SITES
from lab.traffic import first_contact, ping
from scapy.layers.inet import IP, UDP

from . import negotiated
from .ikepeer import IkePeer
from .peer import PeerCase, trailer
from .test_negotiation import Negotiates
from .test_oracles import forwarded
from .test_scenarios import reply

# As a transform set names them, as IKE's endpoint does, and who does them.
SUITES = (
    ("esp-gcm 128 implicit-iv", "aes-gcm-128-implicit-iv", AESGCM),
    ("esp-gcm 256 implicit-iv", "aes-gcm-256-implicit-iv", AESGCM),
    ("esp-chacha20-poly1305 implicit-iv", "chacha20-poly1305-implicit-iv", ChaCha20Poly1305),
)
SIZES = (0, 1, 2, 3, 64, 500, 1400)


class BetweenGateways(Negotiates):
    """Pings of all sizes, both ways, by each suite."""

    def test_pings_cross(self):
        for transform, _, _ in SUITES:
            for esn in (False, True):
                with self.subTest(transform=transform, esn=esn):
                    mode = " esn\n" if esn else ""
                    for gateway, site in ((self.a, SITE_A), (self.b, SITE_B)):
                        self.reload(gateway, site, transform=transform, mode=mode)
                    self.clear()
                    self.raise_tunnel()
                    first_contact(self.lab, SITES)
                    rows = [
                        ping(self.lab, sender, receiver, family, size=size, count=10)
                        for sender, receiver in (SITES, SITES[::-1])
                        for family in (4, 6)
                        for size in (56, 1300)
                    ]
                    self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
                    for gateway in (self.a, self.b):
                        for sa in gateway.associations():
                            self.assertEqual((sa["transform"], sa["extended_sequence"]), (transform, esn))


class ByHand(PeerCase):
    """gw-a, and in gw-b's place our IKE endpoint, whose packets are made and read here."""

    written_down = 0

    @classmethod
    def configuration(cls):
        return negotiated.write(cls.lab, SITE_A, entry="")

    @contextmanager
    def raised(self, transform, esp, esn):
        """What the peer has of a pair of this suite: SPIs and keys."""
        self.gateway.config.write_text(
            negotiated.config(SITE_A, entry="", transform=transform, mode=" esn\n" if esn else "")
        )
        self.gateway.espalier("reload")
        peer = IkePeer(
            self.lab, "gw-b", local=SITE_B.wan_v4, remote=SITE_A.wan_v4, id="gw-b.example.net", peer_id="gw-a.example.net",
            psk=negotiated.KEY, ike="aes-gcm-256/prf-hmac-sha256/group31", esp=f"{esp}/esn" if esn else esp,
            local_net="10.2.0.0/24", remote_net="10.1.0.0/24", show_keys="yes",
        )  # fmt: skip
        try:
            peer.say("initiate")
            up = peer.wait("child-up")
            self.eventually("the pair to be there", lambda: len(self.gateway.associations(quiet=True)) == 2)
            yield up, *(bytes.fromhex(key) for key in up["keys"])
        finally:
            peer.say("delete")
            self.eventually("the pair to be gone", lambda: not self.gateway.associations())
            peer.stop()

    def test_every_byte(self):
        for transform, esp, aead in SUITES:
            for esn in (False, True):
                raised = self.raised(transform, esp, esn)
                with self.subTest(transform=transform, esn=esn), raised as (up, inbound, outbound):
                    high = bytes(4) if esn else b""
                    for sequence, size in enumerate(SIZES, 1):
                        low = sequence.to_bytes(4, "big")
                        there = bytes(IP(src=SITE_A.host_v4, dst=SITE_B.host_v4) / UDP(sport=4000, dport=4001) / bytes(size))
                        self.wire.drain()
                        self.lan.send(self.station("lan") + self.from_host + b"\x08\x00" + there)
                        (frame,) = self.wire.receive(3, lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == 50, count=1)
                        header = int(up["inbound"]).to_bytes(4, "big") + low
                        nonce, aad = inbound[-4:] + bytes(4) + low, header[:4] + high + low
                        sealed = aead(inbound[:-4]).encrypt(nonce, trailer(forwarded(there)), aad)
                        self.assertEqual(frame[34:], header + sealed)

                        # What the host does not answer, as that would take the next number.
                        back = reply(SITE_B.host_v4, SITE_A.host_v4, size)
                        header = int(up["outbound"]).to_bytes(4, "big") + low
                        nonce, aad = outbound[-4:] + bytes(4) + low, header[:4] + high + low
                        sealed = aead(outbound[:-4]).encrypt(nonce, trailer(back), aad)
                        outer = bytes(IP(src=SITE_B.wan_v4, dst=SITE_A.wan_v4, proto=50) / (header + sealed))
                        self.lan.drain()
                        self.wire.send(self.ethernet(outer))
                        expected = forwarded(back)
                        arrived = self.lan.receive(3, lambda frame, expected=expected: expected in frame, count=1)
                        self.assertEqual(len(arrived), 1)
