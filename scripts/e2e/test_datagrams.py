"""Fragments of a flow that a policy knows by its ports (RFC 4301, section 7): none of them leaves in clear, or comes in so, where
the whole may not. (Of IPv6: those of IPv4 Linux puts together below DPDK's af_packet driver; they are in
dataplane/tests/datagrams.rs.)"""

from lab.names import SITE_A
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from . import esp
from .esp import Sa
from .scenarios import HEAD
from .test_scenarios import ScenarioCase, datagram, forwarded

PEER = "192.0.2.77"
THEIRS = "2001:db8:b:1::9"
OUT = Sa(0x1700, bytes(range(16)), b"port", False, "tunnel", SITE_A.wan_v4, PEER)
IN = Sa(0x2700, b"\x23" * 16, b"\x23" * 4, False, "tunnel", PEER, SITE_A.wan_v4)
PROTECTED, CLEAR = 4433, 4434

ENTRY = f"""
ipv6 access-list PORTS
 permit udp 2001:db8:a::/64 2001:db8:b::/48 eq {PROTECTED}
crypto ipsec transform-set PORTS esp-gcm 128
crypto map ALL 950 ipsec-manual
 set peer {PEER}
 set transform-set PORTS
 match address PORTS
 set session-key inbound esp {IN.spi} cipher {(IN.key + IN.salt).hex()}
 set session-key outbound esp {OUT.spi} cipher {(OUT.key + OUT.salt).hex()}
end
"""
CONFIG = HEAD + ENTRY


class PortFragments(ScenarioCase):
    config_text = CONFIG
    scenarios = ()
    others = (IN,)

    def fragments(self, port, number, options=False):
        """A datagram of 2000 bytes to a port, by scapy; with destination options, only the first fragment says that it is UDP."""
        whole = datagram(SITE_A.host_v6, THEIRS, (7000, port), bytes(range(250)) * 8)
        header = IPv6(whole[:40], plen=None, nh=44)
        behind = (IPv6ExtHdrDestOpt(nh=17) if options else Raw(b"")) / Raw(whole[40:])
        parts = fragment6(header / IPv6ExtHdrFragment(id=number, nh=60 if options else 17) / behind, 700)
        return whole, [bytes(part) for part in parts]

    def on_the_wire(self, parts, seconds=1.0):
        for part in parts:
            self.lan.send(self.station("lan") + self.from_host + b"\x86\xdd" + part)
        ours = bytes(IPv6(src=SITE_A.host_v6))[8:24]
        clear = lambda frame: frame[12:14] == b"\x86\xdd" and frame[22:38] == ours  # noqa: E731
        sealed = lambda frame: frame[12:14] == b"\x08\x00" and frame[23] == esp.ESP  # noqa: E731
        frames = self.wire.receive(seconds, lambda frame: clear(frame) or sealed(frame))
        return [f[14:] for f in frames if sealed(f)], [f[14:] for f in frames if clear(f)]

    def test_what_ports_protect_leaves_as_one(self):
        for number, options in ((1, False), (2, True)):
            whole, parts = self.fragments(PROTECTED, number, options)
            self.assertGreater(len(parts), 2)
            # The last comes first.
            sealed, clear = self.on_the_wire(parts[::-1])
            self.assertEqual(clear, [])
            # Too long for the wire as one, so cut again, but outside.
            self.assertGreater(len(sealed), 1)
            text = b"".join(outer[20:] for outer in sorted(sealed, key=lambda o: int.from_bytes(o[6:8], "big") & 0x1FFF))
            outer = sealed[0][:20] + text
            inner = OUT.open(outer)
            self.assertTrue(inner.endswith(whole[40:]) or whole[40:] in inner)

    def test_without_the_first_nothing_leaves(self):
        before = self.counters()
        for number, port in ((11, PROTECTED), (12, CLEAR)):
            _, parts = self.fragments(port, number)
            self.assertEqual(self.on_the_wire(parts[1:]), ([], []))
        self.assertGreater(self.counters().waiting, before.waiting)

    def test_other_ports_leave_in_clear(self):
        for number, options in ((21, False), (22, True)):
            _, parts = self.fragments(CLEAR, number, options)
            sealed, clear = self.on_the_wire(parts)
            self.assertEqual((sealed, sorted(clear)), ([], sorted(map(forwarded, parts))))

    def test_zz_all_is_accounted_for(self):
        self.assertEqual(self.settled(0).unaccounted(), 0)
