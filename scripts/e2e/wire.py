"""Putting frames on a cable and taking them off, byte by byte."""

import ctypes
import random
import socket
import struct
import time
from contextlib import contextmanager

from lab.network import NAMESPACES

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 0x0003
# Python has no name for it.
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 1 << 4
PACKET_IGNORE_OUTGOING = 23
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespace_file):
    if _libc.setns(namespace_file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def in_namespace_of(lab, role):
    """The thread is in that namespace of the laboratory for a while; sockets stay where they are made."""
    with open("/proc/self/ns/net", "rb") as home, open(NAMESPACES / lab.network.namespace(role), "rb") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


class Cable:
    """One end of a cable in a namespace of the laboratory: sends whole Ethernet frames, and receives those that
    arrive. A socket stays in the namespace in which it was opened, so this works from our own."""

    def __init__(self, lab, role, link):
        with in_namespace_of(lab, role):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.bind((link, ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, frame):
        """Puts one frame on the cable, exactly as it is."""
        self.socket.send(bytes(frame))

    def receive(self, seconds, wanted=lambda frame: True, count=None):
        """The frames that arrive within that time and are wanted; at most `count`, and then it waits no longer."""
        frames, deadline = [], time.monotonic() + seconds
        while count is None or len(frames) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.socket.settimeout(left)
            try:
                frame, beside, _, _ = self.socket.recvmsg(65536, 256)
            except TimeoutError:
                break
            frame = _with_tag(frame, beside)
            if wanted(frame):
                frames.append(frame)
        return frames

    def drain(self):
        """Forgets what has arrived so far."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            pass


def _with_tag(frame, beside):
    """The frame as it was on the cable: Linux takes a VLAN's tag out and tells it beside (packet(7), tpacket_auxdata)."""
    for level, kind, data in beside:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", data)
            if status & TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
    return frame


def checksum(data):
    """The Internet checksum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def random_frames(count, seed, destination, source):
    """Frames of arbitrary bytes behind a plausible Ethernet header, the same for the same seed."""
    choice = random.Random(seed)
    for _ in range(count):
        body = choice.randbytes(choice.randrange(0, 200))
        kind = choice.choice((b"\x08\x00", b"\x08\x00", b"\x86\xdd", b"\x88\xcc", choice.randbytes(2)))
        if body and choice.random() < 0.7:
            version = b"\x45" if kind == b"\x08\x00" else b"\x60"
            body = version + body[1:]
        yield destination + source + kind + body


def linux_reassembles(frame):
    """Whether Linux takes this frame for a fragment of IPv4. It then keeps it, for its reassembly: DPDK's af_packet
    driver has it do so, and never sees the fragment itself."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34 or frame[14] >> 4 != 4:
        return False
    header_length, total_length = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
    if not 20 <= header_length <= total_length <= len(frame) - 14:
        return False
    return int.from_bytes(frame[20:22], "big") & 0x3FFF != 0
