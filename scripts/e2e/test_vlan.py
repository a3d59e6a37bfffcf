"""A port whose link is one VLAN: everything on the cable is tagged, and nobody behind the port sees it."""

from lab.names import SITE_A, SITE_B
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from .case import MANUAL_CONFIGS
from .counters import at_rest
from .peer import PeerCase, esp_by_hand, scapy_association, trailer
from .test_oracles import forwarded

VLAN = 100
TAG = b"\x81\x00" + VLAN.to_bytes(2, "big")


def tagged(frame, tag=TAG):
    return frame[:12] + tag + frame[12:]


class Vlan(PeerCase):
    """gw-a, its WAN port in a VLAN; the peer's Linux knows nothing of it, so we answer in its stead."""

    config_text = (MANUAL_CONFIGS / "gw-a.conf").read_text().replace(
        " crypto map SITES\n!", f" encapsulation dot1Q {VLAN}\n crypto map SITES\n!"
    )

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        mac = cls.from_peer.hex(":")
        cls.lab.network.ip("gw-a", "neigh", "replace", SITE_B.wan_v4, "lladdr", mac, "dev", "wan", "nud", "permanent")

    def test_linux_speaks_through_the_tag(self):
        """It hears a question by broadcast, and answers it."""
        question = Ether(src=self.from_peer, dst="ff:ff:ff:ff:ff:ff") / ARP(
            hwsrc=self.from_peer, psrc=SITE_B.wan_v4, pdst=SITE_A.wan_v4
        )
        self.wire.send(tagged(bytes(question)))
        answers = self.wire.receive(5, lambda frame: frame[12:18] == TAG + b"\x08\x06" and frame[25] == 2, count=1)
        self.assertEqual([frame[26:32] for frame in answers], [self.station("wan")])

    def test_esp_goes_tagged_both_ways(self):
        inner = bytes(IP(src=SITE_A.host_v4, dst=SITE_B.host_v4) / UDP(sport=1, dport=2) / b"out")
        self.wire.drain()
        self.lan.send(self.station("lan") + self.from_host + b"\x08\x00" + inner)
        frames = self.wire.receive(5, lambda frame: frame[12:16] == TAG and frame[27] == 50, count=1)
        self.assertEqual(len(frames), 1)
        association = scapy_association(self.keys["outbound"], SITE_A.wan_v4, SITE_B.wan_v4)
        self.assertEqual(bytes(association.decrypt(IP(frames[0][18:]))), forwarded(inner))

        inner = bytes(IP(src=SITE_B.host_v4, dst=SITE_A.host_v4) / UDP(sport=1, dport=2) / b"home")
        outer = esp_by_hand(self.keys["inbound"], self.next_sequence(), trailer(inner))
        self.lan.drain()
        self.wire.send(tagged(self.ethernet(outer)))
        arrived = self.lan.receive(3, lambda frame: frame[14 : 14 + len(inner)] == forwarded(inner), count=1)
        self.assertEqual(len(arrived), 1)

    def test_other_vlans_are_not_ours(self):
        before = at_rest(self.counters)
        frame = self.ethernet(esp_by_hand(self.keys["inbound"], self.next_sequence(), trailer(b"x")))
        frames = [frame, tagged(frame, b"\x81\x00\x00\x65"), tagged(frame, b"\x81\x00\x00\x00")]
        for each in frames:
            self.wire.send(each)
        after = self.settled(before.received + len(frames))
        self.assertEqual(after.dropped_since(before), {"wrong_vlan": len(frames)})
