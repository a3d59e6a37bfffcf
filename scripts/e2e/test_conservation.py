"""Whatever comes, every packet leaves by a door, and every buffer comes back.

It throws a few thousand frames; `ESPALIER_HOSTILE=N` in the environment throws N, for as long as that takes."""

import os
import random

from . import esp, test_datagrams
from .counters import at_rest
from .scenarios import CONFIG, NEST, SCENARIOS
from .test_scenarios import ScenarioCase, reply
from .wire import linux_reassembles, random_frames

FRAMES = int(os.environ.get("ESPALIER_HOSTILE", "6000"))
BURST = 200
# Buffers that lie in a device's queues are in use, and how many do changes; a leak is one for each of thousands.
SLACK = 64


# With rules that ask for ports, fragments in transit wait for each other, too.
WITH_PORTS = CONFIG.removesuffix("end\n") + test_datagrams.ENTRY


class Conservation(ScenarioCase):
    others = (NEST, test_datagrams.IN)
    config_text = WITH_PORTS.replace(" ip mtu 1600\n", " mtu 1600\n ip mtu 1400\n ipv6 mtu 1400\n ip tcp adjust-mss 1000\n")
    seconds = 120 + FRAMES // 200

    def honest(self, choice):
        """A frame for the wire, and one for the LAN, that the gateway would take."""
        scenario = choice.choice([scenario for scenario in SCENARIOS if scenario.mode == "tunnel"])
        sa = scenario.sa("inbound")
        size = choice.choice((0, 64, 500, 1300, 1450))
        outer = esp.encapsulated(sa, self.next_number(sa), self.inner_in(scenario, size))
        inner = reply(scenario.ours, scenario.theirs, size, flags=0x4000) if scenario.inner == 4 else self.inner_out(scenario, size)
        kind = b"\x86\xdd" if inner[0] >> 4 == 6 else b"\x08\x00"
        return self.ethernet(outer), self.station("lan") + self.from_host + kind + inner

    def fragment_of(self, choice, frame):
        """A piece of an IPv6 packet, that may fit others or overlap them."""
        packet = frame[14:]
        if packet[0] >> 4 != 6:
            return frame
        offset = choice.randrange(0, 6) * 8
        piece = packet[40 + offset : 40 + offset + choice.choice((8, 16, 24, 33, 800))]
        more = choice.randrange(2)
        header = bytes((packet[6], 0)) + (offset | more).to_bytes(2, "big") + choice.randrange(4).to_bytes(4, "big")
        length = (len(header) + len(piece)).to_bytes(2, "big")
        return frame[:14] + packet[:4] + length + bytes((44,)) + packet[7:40] + header + piece

    def hostile(self, choice):
        """Cables and frames: honest ones, mutated ones, cut ones, pieces, and noise."""
        for noise in random_frames(FRAMES, 5722, self.station("wan"), self.from_peer):
            wire, lan = self.honest(choice)
            what = choice.randrange(6)
            cable, frame = (self.wire, wire) if choice.randrange(2) else (self.lan, lan)
            if what == 0:
                cable, frame = self.wire, noise
            elif what == 1:
                frame = bytearray(frame)
                for _ in range(choice.randrange(1, 4)):
                    frame[choice.randrange(12, len(frame))] = choice.randrange(256)
            elif what == 2:
                frame = frame[: choice.randrange(14, len(frame) + 1)]
            elif what in (3, 4):
                frame = self.fragment_of(choice, frame)
            if not linux_reassembles(frame):
                yield cable, bytes(frame)

    def test_nothing_is_lost_and_nothing_leaks(self):
        before = at_rest(self.counters)
        thrown = 0
        for cable, frame in self.hostile(random.Random(4301)):
            cable.send(frame)
            thrown += 1
            if thrown % BURST == 0:
                self.settled(before.received + thrown)
        self.settled(before.received + thrown)
        # What waits for its others, or for a neighbour, is let go.
        self.eventually("nothing waits", lambda: not (self.counters().waiting or self.counters().held), seconds=20)
        after = at_rest(self.counters)
        self.assertEqual(after.unaccounted(), 0, after.stats)
        dropped = after.dropped_since(before)
        self.assertNotIn("internal", dropped)
        self.assertTrue({"fragment_overlap", "mtu_exceeded", "esp_bad_icv"} <= set(dropped), dropped)

        def back():
            return self.gateway.stats()["mbufs_in_use"] <= before.stats["mbufs_in_use"] + SLACK

        self.eventually("all buffers are back", back, seconds=5)
