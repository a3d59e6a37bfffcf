"""Processes die without warning, and traffic does not notice, or is taken up above every sequence number ever used."""

import time

from lab.names import SITE_A, SITE_B, SITES, WAN_LINK
from lab.process import wait_until
from lab.traffic import answers, first_contact, ping

from .case import LabCase
from .wire import Cable

ETHERNET, IPV4 = 14, 20
PINGS_A_SECOND = 100


def esp_seen(frames):
    """(SPI, sequence number, IV) of the ESP packets among these frames, in order."""
    at = ETHERNET + IPV4
    return [
        (frame[at : at + 4], int.from_bytes(frame[at + 4 : at + 8], "big"), frame[at + 8 : at + 16])
        for frame in frames
        if frame[12:14] == b"\x08\x00" and frame[ETHERNET + 9] == 50
    ]


class Crashes(LabCase):
    """Both gateways run; one process after the other is killed."""

    def background_ping(self, seconds):
        self.answers_before = answers(self.lab, SITE_A)
        count = int(seconds * PINGS_A_SECOND)
        return self.lab.start(
            "ping in the background",
            ["ping", "-n", "-q", "-c", count, "-i", 1 / PINGS_A_SECOND, "-W", 2, SITE_B.host_v4],
            f"ping-{time.monotonic_ns()}.log",
            SITE_A.host,
        )

    def assert_none_lost(self, process, seconds):
        process.child.wait(seconds + 20)
        count = int(seconds * PINGS_A_SECOND)
        self.assertIn(f"{count} packets transmitted", process.log.read_text())
        wait_until(f"{count} answers", lambda: answers(self.lab, SITE_A) - self.answers_before >= count, 3)

    def outbound(self, gateway):
        return next(sa for sa in gateway.associations() if sa["direction"] == "outbound")

    def test_a_control_plane_killed_and_started_again_loses_no_packet(self):
        generation = self.a.dataplane.pid
        before = self.outbound(self.a)["packets"]
        process = self.background_ping(6)
        time.sleep(1)
        self.a.controlplane.kill()
        time.sleep(1.5)
        self.assertTrue(self.a.stats()["workers"], "`espalier stats` works with the control plane dead")
        self.a.start_controlplane()
        self.a.wait_ready()
        self.assert_none_lost(process, 6)
        self.assertTrue(self.a.dataplane.running())
        self.assertEqual(self.a.dataplane.pid, generation)
        self.assertGreaterEqual(self.outbound(self.a)["packets"], before + 6 * PINGS_A_SECOND, "counters were kept")

    def test_a_data_plane_killed_is_refilled_above_every_sequence_number(self):
        first_contact(self.lab, SITES)
        with Cable(self.lab, "gw-b", WAN_LINK) as wire:
            for _ in range(2):
                self.assertEqual(ping(self.lab, SITE_A, SITE_B, 4, count=100)["received"], 100)
            before = esp_seen(wire.receive(0.5))
            self.assertGreaterEqual(len(before), 200)
            self.a.dataplane.kill()
            time.sleep(0.5)
            self.a.start_dataplane()
            self.a.wait_ready()
            row = self.eventually(
                "ping through the refilled data plane",
                lambda: ping(self.lab, SITE_A, SITE_B, 4, count=50, patience=1)["received"] == 50,
                20,
            )
            self.assertTrue(row)
            after = esp_seen(wire.receive(0.5))
        self.assertGreaterEqual(len(after), 50)
        self.assertGreater(min(number for _, number, _ in after), max(number for _, number, _ in before))
        used = [(spi, iv) for spi, _, iv in before + after]
        self.assertEqual(len(used), len(set(used)), "an IV was used twice")

    def test_no_iv_is_used_twice_when_both_processes_die(self):
        with Cable(self.lab, "gw-b", WAN_LINK) as wire:
            ping(self.lab, SITE_A, SITE_B, 4, count=50)
            seen = esp_seen(wire.receive(0.5))
            self.a.controlplane.kill()
            self.a.dataplane.kill()
            self.a.start()
            self.a.wait_ready()
            # The peer may take these for replays, as manual keys have no memory; but no IV comes twice.
            ping(self.lab, SITE_A, SITE_B, 4, count=50, patience=1)
            later = esp_seen(wire.receive(0.5))
        self.assertGreaterEqual(len(seen), 50)
        self.assertGreaterEqual(len(later), 50)
        used = [(spi, iv) for spi, _, iv in seen + later]
        self.assertEqual(len(used), len(set(used)), "an IV was used twice")
