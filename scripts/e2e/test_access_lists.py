"""A long access list changes while packets go by it: none is lost, and none is taken for what it is not."""

import re
import struct
import threading
import time

from lab.names import HOST_LINK, SITE_A, SITE_B, SITES, WAN_LINK
from lab.traffic import first_contact

from .case import MANUAL_CONFIGS, LabCase
from .counters import Counters, at_rest
from .test_crashes import esp_seen
from .wire import Cable, checksum

GATEWAY_MAC = bytes.fromhex("02005e000101")
MARK = b"espalier"
# To the one port packets are always protected, to the other they are by turns.
STEADY, FICKLE = 9998, 9999
LINES = 20_000
A_SECOND = 400
# Packets that may wait before a gateway whose core others use for a second at a time.
IN_FLIGHT = 600


def exceptions(count, first=0):
    """Lines of a list about hosts that nobody is."""
    hosts = (f"11.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + count))
    return [f" deny ip host {host} any" for host in hosts]


def configuration(lines):
    """Gateway A's, with these lines in front of its access list."""
    text = (MANUAL_CONFIGS / "gw-a.conf").read_text()
    head = "ip access-list extended TUNNEL\n"
    assert head in text
    return text.replace(head, head + "".join(line + "\n" for line in lines))


def packet(source_mac, protocol, payload, tos=0):
    """A packet from host A to host B."""
    addresses = b"".join(bytes(map(int, site.host_v4.split("."))) for site in SITES)
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(payload), 1, 0, 64, protocol, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return GATEWAY_MAC + source_mac + b"\x08\x00" + header + payload


def datagram(source_mac, port, number, tos=0):
    """A UDP packet from host A to host B that says its number."""
    body = MARK + struct.pack("!Q", number)
    return packet(source_mac, 17, struct.pack("!HHHH", 5000, port, 8 + len(body), 0) + body, tos)


def segment(source_mac, flags):
    """A TCP packet of no connection from host A to host B, with these flags."""
    return packet(source_mac, 6, struct.pack("!HHIIBBHHH", 5000, STEADY, 1, 1, 5 << 4, flags, 1024, 0, 0))


def read(frame):
    """Port and number of one of these packets, in clear; nothing of any other frame."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[42:50] != MARK:
        return None
    return struct.unpack("!H", frame[36:38])[0], struct.unpack("!Q", frame[50:58])[0]


class Stream(threading.Thread):
    """Sends packets to both ports in turn until it is stopped; `number` is the next one's."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.cable = Cable(lab, SITE_A.host, HOST_LINK)
        self.mac = lab.mac(SITE_A.host, HOST_LINK)
        self.number, self.going = 0, True

    def run(self):
        began = time.monotonic()
        while self.going:
            self.cable.send(datagram(self.mac, (STEADY, FICKLE)[self.number % 2], self.number))
            self.number += 1
            time.sleep(max(0.0, began + self.number / A_SECOND - time.monotonic()))

    def stop(self):
        self.going = False
        self.join()
        self.cable.close()


class AccessLists(LabCase):
    """Both gateways; the first one's access list begins with thousands of exceptions."""

    seconds = 150

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        first_contact(cls.lab, SITES)

    def reload(self, lines):
        self.a.config.write_text(configuration(lines))
        self.a.espalier("reload")

    def pass_on(self):
        """Waits until the gateway has taken some packets more, all that wait before it among them."""
        seen = Counters(self.a.stats()).received
        self.eventually("packets to come in", lambda: Counters(self.a.stats()).received > seen + IN_FLIGHT)

    def said(self):
        """What the control plane said of crypto maps."""
        return re.findall(r"crypto map \S+ .*", self.a.controlplane.log.read_text(errors="replace"))

    def folded(self):
        return sum("in the background" in line for line in self.said())

    def lists(self):
        shown = self.a.json("show", "access-lists", "--json")["access_lists"]
        return {each["name"]: each["rules"] for each in shown}

    def test_a_line_that_comes_and_goes_under_traffic(self):
        self.reload(exceptions(LINES))
        folded, before = self.folded(), Counters(self.a.stats())
        first = sum(rule["hits"] for rules in self.lists().values() for rule in rules if "permit" in rule["text"])
        protected = sum(sa["packets"] for sa in self.a.associations() if sa["direction"] == "outbound")
        clear, flips = f" deny udp any any eq {FICKLE}", []
        with Cable(self.lab, SITE_B.gateway, WAN_LINK) as wire:
            stream = Stream(self.lab)
            stream.start()
            self.pass_on()
            for turn in range(6):
                # Other lines come and go with it, so that there is something to compile each time.
                lines = ([clear] if turn % 2 == 0 else []) + exceptions(LINES - turn, turn)
                asked = stream.number
                self.reload(lines)
                flips.append((asked, stream.number))
                self.pass_on()
            stream.stop()
            frames = wire.receive(3, count=stream.number)
            frames += wire.receive(0.5)
        sent = stream.number
        in_clear = [packet for packet in map(read, frames) if packet]
        self.assertEqual({port for port, _ in in_clear}, {FICKLE}, "nothing else is ever in clear")
        seen = {number for _, number in in_clear}
        self.assertEqual(len(seen), len(in_clear))
        # They turn once with each change and at no other time: from the first packet that meets the new list on, all do.
        fickle = range(1, sent, 2)
        turns = [n for n in fickle if (n in seen) != (n - 2 in seen)]
        self.assertEqual(len(turns), len(flips), (turns, flips))
        for turn, (asked, done) in zip(turns, flips):
            # What was sent just before may have waited in the gateway, and what is sent now is not counted yet.
            self.assertIn(turn, range(asked - IN_FLIGHT, done + 3), (turns, flips))
        # What was not in clear was protected, and all of it was.
        esp = [number for _, number, _ in esp_seen(frames)]
        self.assertEqual(esp, list(range(esp[0], esp[0] + len(esp))))
        self.assertEqual(len(esp) + len(in_clear), sent)
        self.eventually("a list compiled in the background", lambda: self.folded() > folded, 60)
        counters = at_rest(lambda: Counters(self.a.stats()))
        self.assertEqual(counters.dropped_since(before), {})
        self.assertEqual(counters.unaccounted(), 0, counters.stats)
        # The line that was there all the time has counted all that it permitted, through every change and compilation.
        rules = self.lists()
        permits = sum(rule["hits"] for each in rules.values() for rule in each if "permit" in rule["text"])
        now = sum(sa["packets"] for sa in self.a.associations() if sa["direction"] == "outbound")
        self.assertEqual(permits - first, now - protected)
        self.assertEqual(now - protected, len(esp))
        # (The one that came and went begins anew each time.)
        self.assertFalse([rule for rule in rules["TUNNEL"] if f"eq {FICKLE}" in rule["text"]])

    def test_flags_and_classes_decide(self):
        """Three lines in front of the demonstration's, which take some packets out of the tunnel."""
        lines = ["deny udp any any dscp ef", "deny tcp any any established", "deny tcp any any match-all +syn -ack"]
        self.reload([f" {line}" for line in lines])
        # A code point stays what it is when congestion is said in the two bits behind it.
        classes, flags, count = (0xB8, 0x00, 0xBB, 0x28), (0x02, 0x12, 0x04, 0x01), 40
        with Cable(self.lab, SITE_A.host, HOST_LINK) as host, Cable(self.lab, SITE_B.gateway, WAN_LINK) as wire:
            mac = self.lab.mac(SITE_A.host, HOST_LINK)
            for number in range(count):
                host.send(datagram(mac, STEADY, number, classes[number % 4]))
                host.send(segment(mac, flags[number % 4]))
            frames = wire.receive(5, lambda frame: frame[12:14] == b"\x08\x00", count=2 * count)
        clear = [seen[1] for seen in map(read, frames) if seen]
        self.assertEqual(clear, [number for number in range(count) if number % 4 in (0, 2)])
        in_clear = [frame[47] for frame in frames if frame[23] == 6]
        self.assertEqual(in_clear, [flags[number % 4] for number in range(count) if number % 4 != 3])
        self.assertEqual(len(esp_seen(frames)), count // 2 + count // 4)
        shown = {rule["text"].split(" ", 1)[1]: rule["hits"] for rule in self.lists()["TUNNEL"]}
        self.assertEqual([shown[line] for line in lines], [count // 2, count // 2, count // 4], shown)

    def test_the_operator_sees_what_was_compiled(self):
        self.reload(exceptions(LINES))
        self.reload(exceptions(LINES - 1))

        def wan():
            shown = self.a.json("show", "access-lists", "detail", "--json")
            compiled = next(each for each in shown["compiled"] if each["interface"] == "wan")
            return compiled if not (compiled["change"] or compiled["recompiling"]) else None

        compiled = self.eventually("the change to be folded in", wan, 60)
        self.assertEqual(compiled["crypto_map"], "SITES")
        # One rule more is of IPv6.
        self.assertEqual((compiled["rules"], compiled["compiled_rules"]), (LINES + 1, LINES + 1))
        self.assertGreater(compiled["compile_ms"], 0)
        self.assertEqual({tree["family"] for tree in compiled["trees"]}, {"ipv4", "ipv6"})
        text = self.a.espalier("show", "access-lists", "detail").stdout
        self.assertIn(f"wan, crypto map SITES: {LINES + 1} rules in force", text)
        self.assertIn("IPv4 tree by source", text)

    def test_how_soon_a_change_is_in_use(self):
        """Prints it; no assertion knows how fast this machine is."""
        lines = exceptions(100_000)
        self.reload(lines)
        for changed in (1, 10, 100, 1000):
            folded = self.folded()
            step = len(lines) // changed
            for place, line in enumerate(exceptions(changed, 1_000_000 + changed)):
                lines[place * step] = line
            self.reload(lines)
            print(f"\n  {changed} of {len(lines)}: {self.said()[-1]}", end="", flush=True)
            self.eventually("compiled in the background", lambda before=folded: self.folded() > before, 60)
            print(f"; {self.said()[-1]}", end="", flush=True)
        print(flush=True)
