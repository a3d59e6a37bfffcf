"""What crosses the wire between the gateways, told apart packet by packet as it passes.

One tcpdump stands at each gateway's end of the cable and sees what arrives there, so that together they see both
directions, each once, and nothing of what either gateway merely meant to send.
"""

import signal
import struct
import subprocess
import threading
import time

from .names import SITE_A, SITE_B, WAN_LINK
from .process import Failed, wait_until

# Enough for every header of a tunnelled packet and the start of a payload that was left in clear.
SNAP_LENGTH = 192
# How many packets of a direction are kept for a person to look at: of ESP, and of all else. Every one is counted.
KEEP = 5000

ESP, IKE, ARP, NEIGHBOUR_DISCOVERY, CLEARTEXT, OTHER = "esp", "ike", "arp", "nd", "cleartext", "other"
ICMPV6_ND_AND_MLD = frozenset((130, 131, 132, 133, 134, 135, 136, 137, 143))


def classify(frame, source, destination, marks=()):
    """What one frame on the wire is. Every IP packet is cleartext unless it is ESP (by itself or in UDP) or IKE from
    `source` to `destination` (packed IPv4 addresses) in which none of `marks` can be read, or IPv6's own talk about
    neighbours."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        header = frame[14:34]
        if len(header) < 20 or header[12:16] != source or header[16:20] != destination:
            return CLEARTEXT
        sealed = ESP if header[9] == 50 else _in_udp(frame[34:]) if header[9] == 17 else CLEARTEXT
        return CLEARTEXT if any(mark in frame for mark in marks) else sealed
    if kind == b"\x08\x06":
        return ARP
    if kind == b"\x86\xdd":
        next_header, body = frame[20:21], frame[54:]
        if next_header == b"\x00":  # MLD comes behind a router alert
            next_header, body = body[:1], body[8:]
        talk = next_header == b"\x3a" and body[:1] and body[0] in ICMPV6_ND_AND_MLD
        return NEIGHBOUR_DISCOVERY if talk else CLEARTEXT
    return OTHER


def _in_udp(datagram):
    """What a UDP datagram between the gateways is (RFC 3948, section 2)."""
    ports, payload = datagram[:4], datagram[8:12]
    if ports == b"\x01\xf4\x01\xf4":
        return IKE
    if ports != b"\x11\x94\x11\x94":
        return CLEARTEXT
    return IKE if payload in (b"\0\0\0\0", b"\xff") or payload[:1] == b"\xff" and len(payload) < 4 else ESP


def packed(address):
    return bytes(int(part) for part in address.split("."))


class _Direction:
    """What arrives at one gateway's end of the wire."""

    def __init__(self, lab, sender, receiver, marks):
        self.sender, self.receiver, self.marks = sender, receiver, marks
        self.counts = dict.fromkeys((ESP, IKE, ARP, NEIGHBOUR_DISCOVERY, CLEARTEXT, OTHER), 0)
        self.esp_bytes = 0
        self.strangers = []
        self.missed = None
        self.file = lab.folder / f"wire-to-{receiver.gateway}.pcap"
        self.tcpdump = lab.start(
            f"tcpdump at {receiver.gateway}",
            [
                "tcpdump", "-i", WAN_LINK, "-Q", "in", "-n", "-s", SNAP_LENGTH, "-B", 32768, "-Z", "root",
                # Otherwise the kernel hands packets over in blocks, and tcpdump writes them in larger ones: what is in
                # either when tcpdump is told to end would be missing, on a busy machine without a word.
                "--immediate-mode", "-U", "-w", "-",
            ],  # fmt: skip
            f"tcpdump-{receiver.gateway}.log",
            receiver.gateway,
            stdout=subprocess.PIPE,
            outlives=False,
        )
        self.failure = None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            self._sort(self.tcpdump.child.stdout)
        except Exception as error:  # reported by `finish`: a capture that broke must not pass for a clean one
            self.failure = error

    def _sort(self, stream):
        source, destination = packed(self.sender.wan_v4), packed(self.receiver.wan_v4)
        header = stream.read(24)
        if len(header) < 24:
            return
        order = "<" if struct.unpack("<I", header[:4])[0] in (0xA1B2C3D4, 0xA1B23C4D) else ">"
        record = struct.Struct(order + "IIII")
        kept = {True: 0, False: 0}
        with open(self.file, "wb") as out:
            out.write(header)
            while len(prefix := stream.read(16)) == 16:
                _, _, length, on_wire = record.unpack(prefix)
                frame = stream.read(length)
                kind = classify(frame, source, destination, self.marks)
                self.counts[kind] += 1
                if kind is ESP:
                    self.esp_bytes += on_wire
                elif kind is CLEARTEXT and len(self.strangers) < 5:
                    self.strangers.append(frame[:64].hex())
                if kept[kind is ESP] < KEEP:
                    out.write(prefix + frame)
                    kept[kind is ESP] += 1

    def finish(self):
        self.tcpdump.stop(signal.SIGINT)
        self.thread.join(10)
        if self.failure or self.thread.is_alive():
            raise Failed(f"{self.tcpdump.name} broke off: {self.failure or 'it does not end'}")
        said = self.tcpdump.said(3)
        for line in said.splitlines():
            if "dropped by kernel" in line:
                self.missed = int(line.split()[0])
        if self.missed is None:
            raise Failed(f"{self.tcpdump.name} did not end in order:\n{said}")


class Capture:
    """Both directions of the wire between the gateways, from now until `stop`."""

    def __init__(self, lab, marks=()):
        """`marks`: bytes that the traffic carries and that must never be read on the wire."""
        self.directions = [
            _Direction(lab, SITE_A, SITE_B, marks),
            _Direction(lab, SITE_B, SITE_A, marks),
        ]
        for direction in self.directions:
            dump = direction.tcpdump
            wait_until(
                f"{dump.name} to listen; it said:\n{dump.said()}",
                lambda dump=dump: "listening on" in dump.said() and dump.running(),
                10,
            )

    def count(self, kind):
        return sum(direction.counts[kind] for direction in self.directions)

    def _settle(self):
        """Waits until nothing more has been read for half a second, or for ten if the wire does not come to rest."""
        end, before = time.monotonic() + 10, None
        while (now := [dict(direction.counts) for direction in self.directions]) != before:
            if time.monotonic() > end:
                return
            before = now
            time.sleep(0.5)

    def stop(self):
        """Ends the capture when what is under way has arrived, and returns the facts."""
        self._settle()
        for direction in self.directions:
            direction.finish()
        return {
            "esp_packets": self.count(ESP),
            "esp_bytes": sum(direction.esp_bytes for direction in self.directions),
            "cleartext_packets": self.count(CLEARTEXT),
            "ike_packets": self.count(IKE),
            "arp_packets": self.count(ARP),
            "neighbour_discovery_packets": self.count(NEIGHBOUR_DISCOVERY),
            "other_packets": self.count(OTHER),
            "missed_by_capture": sum(direction.missed for direction in self.directions),
            "directions": [
                {
                    "from": direction.sender.gateway,
                    "to": direction.receiver.gateway,
                    "esp_packets": direction.counts[ESP],
                    "cleartext_packets": direction.counts[CLEARTEXT],
                    "cleartext_examples": direction.strangers,
                    "file": str(direction.file),
                }
                for direction in self.directions
            ],
        }
