"""Two gateways carry real traffic, and the wire between them shows nothing but ESP."""

from lab.capture import Capture
from lab.names import SITE_A, SITE_B, SITES
from lab.traffic import PING_MARK, Iperf, first_contact, ping, ping_all_sizes

from .case import LabCase
from .counters import Counters, at_rest


class Tunnel(LabCase):
    """Both gateways, as the demonstration configures them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lost = [row for row in first_contact(cls.lab, SITES) if row["sent"] != row["received"]]
        if lost:
            raise AssertionError(f"first pings were lost: {lost}")

    def setUp(self):
        self.capture = Capture(self.lab, marks=(PING_MARK[:12],))

    def packets(self, gateway, direction):
        return sum(sa["packets"] for sa in gateway.associations() if sa["direction"] == direction)

    def assert_clean(self, wire, at_least):
        self.assertEqual(wire["cleartext_packets"], 0, wire)
        self.assertEqual(wire["missed_by_capture"], 0, wire)
        for direction in wire["directions"]:
            self.assertGreaterEqual(direction["esp_packets"], at_least, wire)

    def test_ping_of_every_size_both_families_both_ways(self):
        before = {g.role: [self.packets(g, d) for d in ("outbound", "inbound")] for g in (self.a, self.b)}
        rows = ping_all_sizes(self.lab, SITES, count=4)
        wire = self.capture.stop()
        lost = [row for row in rows if row["sent"] != row["received"]]
        self.assertEqual(lost, [])
        self.assert_clean(wire, sum(row["sent"] for row in rows))
        # The SAs and the wire count the same packets, to the last one.
        for sender, receiver, direction in ((self.a, self.b, 0), (self.b, self.a, 1)):
            on_wire = wire["directions"][direction]["esp_packets"]
            self.assertEqual(self.packets(sender, "outbound") - before[sender.role][0], on_wire)
            self.assertEqual(self.packets(receiver, "inbound") - before[receiver.role][1], on_wire)

    def test_tcp_and_udp_over_both_families(self):
        iperf = Iperf(self.lab, SITE_A, SITE_B)
        runs = [
            iperf.run("tcp-v4", 2),
            iperf.run("tcp-v6", 2, family=6, reverse=True),
            iperf.run("udp-v4", 1, udp_rate=10_000_000),
            iperf.run("udp-v6", 1, family=6, udp_rate=10_000_000, reverse=True),
        ]
        iperf.stop()
        wire = self.capture.stop()
        for run in runs:
            self.assertTrue(run["ok"], run)
            self.assertGreater(run["bits_per_second"], 1_000_000, run)
        self.assert_clean(wire, 1000)

    def test_the_largest_ping_and_one_in_fragments(self):
        """A ping that fills the LAN's MTU arrives, and so does a larger one that its host sends in fragments.

        Of IPv6: DPDK's af_packet driver has Linux reassemble the fragments of IPv4 before it sees them, and what comes
        of that is larger than any MTU here."""
        row = ping(self.lab, SITE_A, SITE_B, 4, size=1472, count=2)
        self.assertEqual(row["received"], 2)
        _, said = self.lab.complete(
            "fragmented ping", ["ping", "-6", "-c", 3, "-i", 0.05, "-s", 4000, "-q", SITE_B.host_v6], SITE_A.host
        )
        self.assertIn("3 received", said)
        self.assert_clean(self.capture.stop(), 2)

    def test_every_packet_is_accounted_for(self):
        first_contact(self.lab, SITES)
        ping(self.lab, SITE_A, SITE_B, 4, count=100)
        ping(self.lab, SITE_B, SITE_A, 6, count=100)
        for gateway in (self.a, self.b):
            counters = at_rest(lambda gateway=gateway: Counters(gateway.stats()))
            self.assertEqual(counters.unaccounted(), 0, counters.stats)
        self.assert_clean(self.capture.stop(), 200)

    def test_the_operator_sees_it(self):
        for words in (
            ("show", "crypto", "ipsec", "sa"),
            ("show", "crypto", "map"),
            ("show", "access-lists"),
            ("show", "interfaces"),
            ("show", "drops"),
            ("show", "dataplane", "stages"),
            ("show", "dataplane", "memory"),
        ):
            with self.subTest(" ".join(words)):
                self.assertNotEqual(self.a.espalier(*words).stdout.strip(), "")
                self.assertTrue(self.a.json(*words, "--json"))
        self.capture.stop()
