"""Can the instruments be believed? Plain Linux routers stand in the gateways' places, and the capture must cry out."""

from lab.capture import CLEARTEXT, ESP, Capture, classify, packed
from lab.names import LAN_MTU, SITE_A, SITE_B, SITES
from lab.traffic import PING_MARK, Iperf, ping

from .case import LabCase


class WithoutTunnel(LabCase):
    """Routers that encrypt nothing."""

    gateways = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.forward_by_linux()

    def test_cleartext_is_seen(self):
        capture = Capture(self.lab)
        for family in (4, 6):
            row = ping(self.lab, SITE_A, SITE_B, family, count=5)
            self.assertEqual((row["sent"], row["received"]), (5, 5))
        wire = capture.stop()
        self.assertEqual(wire["cleartext_packets"], 20, wire)
        self.assertEqual(wire["esp_packets"], 0, wire)
        self.assertEqual([each["cleartext_packets"] for each in wire["directions"]], [10, 10])

    def test_a_lost_ping_is_counted(self):
        self.lab.network.ip("gw-b", "route", "add", "blackhole", f"{SITE_B.host_v4}/32", "metric", "1")
        try:
            row = ping(self.lab, SITE_A, SITE_B, 4, count=3, patience=1)
        finally:
            self.lab.network.ip("gw-b", "route", "del", "blackhole", f"{SITE_B.host_v4}/32", "metric", "1")
        self.assertEqual((row["sent"], row["received"]), (3, 0))

    def test_the_largest_ping_fits_and_one_more_byte_does_not(self):
        fits = LAN_MTU - 28
        self.assertEqual(ping(self.lab, SITE_A, SITE_B, 4, size=fits, count=1)["received"], 1)
        self.assertEqual(ping(self.lab, SITE_A, SITE_B, 4, size=fits + 1, count=1, patience=1)["received"], 0)

    def test_iperf_flows(self):
        iperf = Iperf(self.lab, *SITES)
        for run in (iperf.run("tcp", 1), iperf.run("udp", 1, family=6, udp_rate=5_000_000, reverse=True)):
            self.assertTrue(run["ok"], run)
        iperf.stop()


class Frames(LabCase):
    """How single frames are told apart."""

    @classmethod
    def setUpClass(cls):
        """No laboratory is needed."""

    def _show_logs(self):
        """Nothing ran."""

    def test_classes(self):
        source, destination = packed("192.0.2.1"), packed("192.0.2.2")
        ethernet = bytes(12) + b"\x08\x00"
        header = b"\x45" + bytes(8) + b"\x32" + bytes(2) + source + destination

        def seen(frame):
            return classify(frame, source, destination, (PING_MARK[:12],))

        self.assertEqual(seen(ethernet + header + bytes(40)), ESP)
        self.assertEqual(seen(ethernet + header + bytes(20) + PING_MARK), CLEARTEXT, "the mark can be read")
        self.assertEqual(seen(ethernet + header[:9] + b"\x11" + header[10:]), CLEARTEXT, "UDP is not ESP")
        self.assertEqual(seen(ethernet + header[:12] + destination + source), CLEARTEXT, "the wrong way round")
        self.assertEqual(seen(ethernet + header[:16]), CLEARTEXT, "too short to be sure")
        self.assertEqual(seen(bytes(12) + b"\x86\xdd" + b"\x60" + bytes(5) + b"\x06" + bytes(60)), CLEARTEXT)
        self.assertEqual(seen(bytes(12) + b"\x86\xdd" + b"\x60" + bytes(5) + b"\x3a" + bytes(33) + b"\x87"), "nd")
        self.assertEqual(seen(bytes(12) + b"\x86\xdd" + b"\x60" + bytes(5) + b"\x3a" + bytes(33) + b"\x80"), CLEARTEXT)
        self.assertEqual(seen(bytes(12) + b"\x08\x06" + bytes(28)), "arp")
