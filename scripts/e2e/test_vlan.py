"""A port whose link is one VLAN: everything on the cable is tagged, and nobody behind the port sees it."""

from lab.lab import DEMO_CONFIGS
from lab.names import SITE_A, SITE_B, WAN_LINK
from scapy.layers.inet import IP, UDP

from .counters import at_rest
from .peer import PeerCase, esp_by_hand, scapy_association, trailer
from .test_oracles import forwarded

VLAN = 100
TAG = b"\x81\x00" + VLAN.to_bytes(2, "big")


def tagged(frame, tag=TAG):
    return frame[:12] + tag + frame[12:]


class Vlan(PeerCase):
    """gw-a, its WAN port in a VLAN; the peer's Linux has an interface of that VLAN."""

    config_text = (DEMO_CONFIGS / "gw-a.conf").read_text().replace(" crypto map SITES\n", f" encapsulation dot1Q {VLAN}\n crypto map SITES\n")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network = cls.lab.network
        network.ip("gw-b", "address", "flush", "dev", WAN_LINK)
        network.ip("gw-b", "link", "add", "link", WAN_LINK, "name", "tagged", "type", "vlan", "id", str(VLAN))
        network.ip("gw-b", "address", "add", f"{SITE_B.wan_v4}/24", "dev", "tagged")
        network.ip("gw-b", "link", "set", "tagged", "up")

    def test_linux_speaks_through_the_tag(self):
        """ARP and ICMP, both ways, between the two Linuxes."""
        status, said = self.lab.complete("ping", ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", SITE_A.wan_v4], "gw-b")
        self.assertEqual(status, 0, said)

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
