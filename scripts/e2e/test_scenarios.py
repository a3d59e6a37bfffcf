"""Every way in which ESP can go, with ourselves as the opposite end: mode, families, key size, ESN, UDP. Each byte that can be
foretold is."""

import itertools
import socket
import struct

from lab.names import SITE_A
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP as ScapyEsp
from scapy.layers.ipsec import SecurityAssociation

from . import esp
from .counters import at_rest
from .peer import PeerCase
from .scenarios import CONFIG, NEST, SCENARIOS, only
from .wire import Cable, checksum, in_namespace_of

ELSEWHERE = {4: "192.0.2.200", 6: "2001:db8:ffff::200"}
# Payloads around the ends of words and of cipher blocks; 0 is the tiniest packet that there is.
SIZES = (0, 1, 2, 3, 12, 13, 14, 15, 64, 500, 1400)
WINDOW = 4096
# Echo replies that nobody asked for: the one thing that every Linux takes without a word. ICMP and ICMPv6, by their types.
SILENT = {4: (1, 0), 6: (esp.ICMPV6, 129)}


def packet(source, destination, number, data, tos=0, ttl=64, **fields):
    """A whole packet of either family."""
    if ":" in source:
        return esp.ipv6(source, destination, number, len(data), tos, ttl, **fields) + data
    return esp.ipv4(source, destination, number, len(data), tos, ttl, **fields) + data


def silent(source, destination, size, salt=0):
    """The number and the bytes of an echo reply, cut to a size; its checksum is right, where there is room for it."""
    number, kind = SILENT[6 if ":" in source else 4]
    data = bytes((kind, 0, 0, 0)) + bytes((index * 7 + salt) % 251 for index in range(size))
    data = data[:size]
    if size >= 4:
        covered = data if number == 1 else esp.pseudo_header(packet(source, destination, number, data), number, size) + data
        data = data[:2] + checksum(covered).to_bytes(2, "big") + data[4:]
    return number, data


def reply(source, destination, size, tos=0, salt=0, **fields):
    """A whole packet with an echo reply of so many bytes."""
    return packet(source, destination, *silent(source, destination, size, salt), tos, **fields)


def datagram(source, destination, ports, data, **fields):
    """A UDP packet with its checksum."""
    header = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    whole = packet(source, destination, esp.UDP, header + data, **fields)
    total = checksum(esp.pseudo_header(whole, esp.UDP, 8 + len(data)) + header + data) or 0xFFFF
    at = len(whole) - len(data)
    return whole[: at - 2] + total.to_bytes(2, "big") + whole[at:]


def forwarded(inner):
    """The same packet behind one more router."""
    if inner[0] >> 4 == 6:
        return inner[:7] + bytes((inner[7] - 1,)) + inner[8:]
    header = bytearray(inner[: (inner[0] & 15) * 4])
    header[8] -= 1
    header[10:12] = b"\0\0"
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + inner[len(header) :]


class ScenarioCase(PeerCase):
    """gw-a with an entry for every scenario. What the gateway itself would say and hear goes through its mirror TAP."""

    config_text = CONFIG
    scenarios = SCENARIOS
    others = (NEST,)
    seconds = 120

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.own = Cable(cls.lab, SITE_A.gateway, "wan")
        cls.addClassCleanup(cls.own.close)
        peers = [scenario.peer for scenario in cls.scenarios]
        peers += [sa.source for sa in cls.others] + list(ELSEWHERE.values())
        mac = cls.from_peer.hex(":")
        for address in peers:
            cls.lab.network.ip(SITE_A.gateway, "neigh", "replace", address, "lladdr", mac, "dev", "wan", "nud", "permanent")
        cls.numbers = {}

    def setUp(self):
        count = 2 * (len(self.scenarios) + len(self.others))
        self.eventually("all SAs are there", lambda: len(self.gateway.associations()) == count)
        for cable in (self.own, self.lan, self.wire):
            cable.drain()

    def next_number(self, sa):
        self.numbers[sa.spi] = self.numbers.get(sa.spi, 0) + 1
        return self.numbers[sa.spi]

    # --- Out ----------------------------------------------------------------------------------------------------

    def inner_out(self, scenario, size, tos=0):
        """What the protected traffic is made of, in the direction out."""
        return reply(scenario.ours, scenario.theirs, size, tos, scenario.number)

    def emit(self, scenario, inner):
        """Has the gateway get a packet: from its host, or from its own Linux."""
        kind = b"\x86\xdd" if inner[0] >> 4 == 6 else b"\x08\x00"
        if scenario.mode == "transport":
            self.own.send(self.from_peer + self.station("wan") + kind + inner)
        else:
            self.lan.send(self.station("lan") + self.from_host + kind + inner)

    def sealed_out(self, spi, count, seconds=3):
        """The IP packets with ESP of that SPI that come on the wire, each with its sequence number and what is behind it."""

        def wanted(frame):
            at = esp.find(frame[14:]) if frame[12:14] in (b"\x08\x00", b"\x86\xdd") else None
            return at is not None and frame[14 + at : 18 + at] == spi.to_bytes(4, "big")

        found = []
        for frame in self.wire.receive(seconds, wanted, count):
            outer = frame[14:]
            at = esp.find(outer)
            found.append((outer, int.from_bytes(outer[at + 4 : at + 8], "big"), outer[at + 8 :]))
        return found

    def assert_sealed(self, scenario, inners, sa=None):
        """Each of these packets leaves as it must, byte for byte; the IV alone is the gateway's to choose."""
        sa = sa or scenario.sa("outbound")
        for inner in inners:
            self.emit(scenario, inner)
        found = self.sealed_out(sa.spi, len(inners))
        self.assertEqual(len(found), len(inners), scenario)
        for (outer, sequence, behind), inner in zip(found, inners):
            seen = inner if scenario.mode == "transport" else forwarded(inner)
            self.assertEqual(outer.hex(), esp.encapsulated(sa, sequence, seen, behind[: sa.iv]).hex(), scenario)
        sequences = [sequence for _, sequence, _ in found]
        self.assertEqual(sequences, list(range(sequences[0], sequences[0] + len(found))), "in order, without gaps")
        if sa.counts:
            ivs = [int.from_bytes(behind[: sa.iv], "big") for _, _, behind in found]
            self.assertEqual(ivs, list(range(ivs[0], ivs[0] + len(found))))

    # --- In -----------------------------------------------------------------------------------------------------

    def inner_in(self, scenario, size, tos=0, salt=0):
        return reply(scenario.theirs, scenario.ours, size, tos, scenario.number + salt)

    def deliver(self, outer):
        self.wire.send(self.ethernet(outer))

    def arrived(self, scenario, expected, seconds=3):
        """Waits until a packet comes where it must go; what else comes meanwhile is no matter."""
        cable = self.own if scenario.mode == "transport" else self.lan
        frames = cable.receive(seconds, lambda frame: frame[14 : 14 + len(expected)] == expected, count=1)
        return bool(frames)

    def assert_taken(self, scenario, outer, inner):
        """The outer packet brings the inner one, to the last byte."""
        self.deliver(outer)
        expected = inner if scenario.mode == "transport" else forwarded(inner)
        self.assertTrue(self.arrived(scenario, expected), f"{scenario}: no {expected.hex()} out of {outer.hex()}")

    def assert_dropped(self, expected, outers):
        before = self.settled(0)
        for outer in outers:
            self.deliver(outer)
        after = self.settled(before.received + len(outers))
        self.assertEqual(after.dropped_since(before), expected)


class Scenarios(ScenarioCase):
    """Honest packets."""

    def test_out_every_byte_is_as_foretold(self):
        for scenario in SCENARIOS:
            tos = scenario.number * 4 % 256 | 1
            self.assert_sealed(scenario, [self.inner_out(scenario, size, tos) for size in SIZES])

    def test_out_what_the_gateways_own_sockets_say(self):
        """Linux's own datagrams, as it makes them, checksum and all."""
        for scenario in only(mode="transport", bits=128):
            family = socket.AF_INET if scenario.outer == 4 else socket.AF_INET6
            with in_namespace_of(self.lab, SITE_A.gateway):
                sender = socket.socket(family, socket.SOCK_DGRAM)
            with sender:
                sender.bind((scenario.local, 7009))
                sender.sendto(b"our own", (scenario.peer, 9))
            sa = scenario.sa("outbound")
            ((outer, _, _),) = self.sealed_out(sa.spi, 1)
            whole = datagram(scenario.local, scenario.peer, (7009, 9), b"our own")
            self.assertEqual(sa.open(outer), esp.trailer(esp.divided(whole)[1], esp.UDP), scenario)

    def test_out_scapy_reads_it(self):
        """Another's reading of the same packets, where scapy knows the way: not in UDP."""
        for scenario in only(udp=False):
            sa = scenario.sa("outbound")
            inner = self.inner_out(scenario, 50)
            self.emit(scenario, inner)
            ((outer, _, _),) = self.sealed_out(sa.spi, 1)
            layer = IP(outer) if outer[0] >> 4 == 4 else IPv6(outer)
            plain = scapy_sa(sa).decrypt(layer)
            seen = inner if scenario.mode == "transport" else forwarded(inner)
            self.assertEqual(bytes(plain)[: len(seen)].hex(), seen.hex(), scenario)

    def test_in_every_byte_arrives(self):
        for scenario in SCENARIOS:
            sa = scenario.sa("inbound")
            for size in SIZES:
                inner = self.inner_in(scenario, size)
                self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner), inner)

    def test_in_what_scapy_writes(self):
        for scenario in only(udp=False):
            sa = scenario.sa("inbound")
            inner = self.inner_in(scenario, 51)
            layer = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
            association = scapy_sa(sa)
            association.seq_num = self.next_number(sa)
            self.assert_taken(scenario, bytes(association.encrypt(layer)), inner)

    def test_all_is_counted(self):
        for scenario in (SCENARIOS[0], only(mode="transport")[0]):
            before = {sa["spi"]: sa for sa in self.gateway.associations()}
            sa = scenario.sa("inbound")
            inner = self.inner_in(scenario, 100)
            self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner), inner)
            after = {sa["spi"]: sa for sa in self.gateway.associations()}
            rose = {name: after[sa.spi][name] - before[sa.spi][name] for name in ("packets", "bytes")}
            self.assertEqual(rose, {"packets": 1, "bytes": len(inner)})
            self.assertEqual(after[sa.spi]["mode"], scenario.mode)
        self.assertEqual(at_rest(self.counters).unaccounted(), 0)


class Headers(ScenarioCase):
    """What stands before ESP, and what is copied between headers."""

    def test_dont_fragment_is_copied(self):
        for scenario in only(mode="tunnel", outer=4, inner=4, bits=128, esn=False):
            for flags in (0, 0x4000):
                inner = reply(scenario.ours, scenario.theirs, 30, flags=flags, identification=77)
                self.assert_sealed(scenario, [inner])

    def test_code_points_are_copied_or_mapped(self):
        """As scenarios.py has it: RFC 4301, section 5.1.2.1, note 6. In transport mode a packet keeps its own."""
        for scenario in only(bits=128, esn=False):
            sa = scenario.sa("outbound")
            tunnel = scenario.mode == "tunnel"
            for inner_point, outer_point in ((61, 8), (62, 0), (46, 46), (0, 0)):
                inner = self.inner_out(scenario, 30, tos=inner_point << 2 | 2)
                self.emit(scenario, inner)
                ((outer, sequence, behind),) = self.sealed_out(sa.spi, 1)
                seen = forwarded(inner) if tunnel else inner
                tos = outer_point << 2 | 2 if tunnel else None
                expected = esp.encapsulated(sa, sequence, seen, behind[: sa.iv], outer_tos=tos)
                self.assertEqual(outer.hex(), expected.hex(), (scenario, inner_point))

    def test_ecn_whole_table(self):
        """RFC 6040, figure 4: rows are the inner codepoint, columns the outer one. None: dropped."""
        figure = {0: (0, 0, 0, None), 2: (2, 1, 2, 3), 1: (1, 1, 1, 3), 3: (3, 3, 3, 3)}
        for scenario in only(mode="tunnel", bits=128, esn=False):
            sa = scenario.sa("inbound")
            for inner_ecn, outer_ecn in itertools.product(range(4), range(4)):
                inner = self.inner_in(scenario, 20, tos=0xB8 | inner_ecn, salt=outer_ecn)
                outer = esp.encapsulated(sa, self.next_number(sa), inner, outer_tos=0x28 | outer_ecn)
                joined = figure[inner_ecn][outer_ecn]
                if joined is None:
                    self.assert_dropped({"esp_ecn_drop": 1}, [outer])
                    continue
                seen = self.inner_in(scenario, 20, tos=0xB8 | joined, salt=outer_ecn)
                self.assert_taken(scenario, outer, seen)

    def test_ipv4_options(self):
        options = b"\x01\x01\x94\x04\x00\x00\x01\x00"
        for scenario in only(outer=4, bits=128, esn=False):
            sa = scenario.sa("inbound")
            if scenario.mode == "transport":
                self.assert_sealed(scenario, [reply(scenario.ours, scenario.theirs, 33, options=options)])
                inner = reply(scenario.theirs, scenario.ours, 34, options=options)
                self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner), inner)
                continue
            inner = self.inner_in(scenario, 34)
            outer = esp.encapsulated(sa, self.next_number(sa), inner)
            self.assert_taken(scenario, packet(sa.source, sa.destination, outer[9], outer[20:], options=options), inner)

    def test_ipv6_extension_headers(self):
        """Hop-by-hop options, routing, fragment, and destination options on either side of ESP."""
        padding = b"\x01\x04\0\0\0\0"
        chains = ((0,), (60,), (0, 60), (60, 43), (43,), (44,), (0, 60, 43, 60), (0, 43, 44, 60))
        for scenario, numbers in itertools.product(only(outer=6, inner=6, bits=128, esn=False), chains):
            sa = scenario.sa("inbound")

            def chained(source, destination, last_and_data, numbers=numbers):
                last, data = last_and_data
                bodies = {0: padding, 60: padding, 43: b"\0\0\0\0\0\0", 44: b"\0\0\0\0\0\x09"}
                chain = b"".join(
                    bytes((following, 0)) + bodies[number] for number, following in zip(numbers, (*numbers[1:], last))
                )
                return packet(source, destination, numbers[0], chain + data)

            if scenario.mode == "transport":
                out = chained(scenario.ours, scenario.theirs, silent(scenario.ours, scenario.theirs, 21))
                self.assert_sealed(scenario, [out])
                inner = chained(scenario.theirs, scenario.ours, silent(scenario.theirs, scenario.ours, 22))
                self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner), inner)
            else:
                inner = self.inner_in(scenario, 23)
                outer = esp.encapsulated(sa, self.next_number(sa), inner)
                self.assert_taken(scenario, chained(sa.source, sa.destination, (outer[6], outer[40:])), inner)


class Strange(ScenarioCase):
    """Packets that no honest sender writes, and sequence numbers at every edge."""

    def few(self):
        """One scenario of each mode, outer family and way to carry ESP."""
        return [s for s in only(bits=256, esn=True) if s.inner == s.outer]

    def test_trailers(self):
        for scenario in self.few():
            sa = scenario.sa("inbound")
            inner = self.inner_in(scenario, 30)
            protected, right = inner, esp.IPV4 if scenario.inner == 4 else esp.IPV6
            if scenario.mode == "transport":
                _, protected, right, _ = esp.divided(inner)

            def outer(plaintext):
                return esp.encapsulated(sa, self.next_number(sa), inner, plaintext=plaintext)

            for pad in (0, 1, 2, 3, 200, 255):
                self.assert_taken(scenario, outer(esp.trailer(protected, right, pad)), inner)
            wrong = [b"\1\2\4\3", b"\0\0\0\3", b"\2\1\2"]
            self.assert_dropped({"esp_bad_padding": 3}, [outer(protected + bad + bytes((right,))) for bad in wrong])
            self.assert_dropped({"esp_bad_padding": 1}, [outer(bytes((3, right)))])
            self.assert_dropped({"esp_dummy": 1}, [outer(esp.trailer(protected, esp.NO_NEXT_HEADER))])
            if scenario.mode == "tunnel":
                bad = [outer(esp.trailer(protected, number)) for number in (0, 6, 17, 50, 255)]
                self.assert_dropped({"esp_bad_next_header": 5}, bad)
                other = esp.IPV6 if scenario.inner == 4 else esp.IPV4
                self.assert_dropped({"esp_bad_inner": 1}, [outer(esp.trailer(protected, other))])
                tiny = [outer(esp.trailer(protected[:size], right)) for size in (0, 1, 19)]
                self.assert_dropped({"esp_bad_inner": 3}, tiny)
                # What is behind the inner packet is there to hide its size (RFC 4303, section 2.7).
                self.assert_taken(scenario, outer(esp.trailer(protected + bytes(99), right)), inner)

    def test_too_short_or_tampered_with(self):
        for scenario in self.few():
            sa = scenario.sa("inbound")
            whole = esp.encapsulated(sa, self.next_number(sa), self.inner_in(scenario, 40))
            at = esp.find(whole)
            headers, carrier = whole[: at - (8 if scenario.udp else 0)], 8 if scenario.udp else 0
            cut = []
            for length in (8, 15, 16, 33):
                body = whole[at - carrier : at + length]
                if scenario.udp:
                    body = body[:4] + len(body).to_bytes(2, "big") + body[6:]
                named_at = 9 if scenario.outer == 4 else 6
                cut.append(esp.renamed(headers, named_at, esp.UDP if scenario.udp else esp.ESP, len(body)) + body)
            self.assert_dropped({"esp_truncated": len(cut)}, cut)
            tampered = []
            for place in (at + 6, at + 8, at + 16, len(whole) - 17, len(whole) - 1):
                bad = bytearray(whole)
                bad[place] ^= 1
                tampered.append(bytes(bad))
            self.assert_dropped({"esp_bad_icv": len(tampered)}, tampered)
            unknown = bytearray(whole)
            unknown[at] ^= 0x40
            self.assert_dropped({"esp_unknown_spi": 1}, [bytes(unknown)])

    def test_replay_at_the_edges_of_the_window(self):
        for scenario in self.few() + [s for s in only(bits=256, esn=False, udp=False) if s.inner == s.outer]:
            sa = scenario.sa("inbound")
            top = self.numbers.get(sa.spi, 0) + 2 * WINDOW
            self.numbers[sa.spi] = top

            def inner(number):
                return self.inner_in(scenario, 16, salt=number)

            def outer(number):
                return esp.encapsulated(sa, number, inner(number))

            edges = (top, top - 1, top - WINDOW + 1, top - WINDOW + 2, top - 31, top - 32, top - 33)
            for number in edges:
                self.assert_taken(scenario, outer(number), inner(number))
            self.assert_dropped({"esp_replayed": len(edges)}, [outer(number) for number in edges])
            # To an ESN window, what lies left of it is of the next run of 2^32, and fails its ICV (appendix A2.2).
            reason = "esp_bad_icv" if scenario.esn else "esp_too_old"
            self.assert_dropped({reason: 2}, [outer(top - WINDOW), outer(top - WINDOW - 1)])

    def test_zz_the_low_half_wraps(self):
        """Last, as it leaves SAs without ESN near their ends."""
        edge = 1 << 32
        for scenario in self.few():
            sa = scenario.sa("inbound")
            for number in (edge - 2, edge - 1, edge, edge + 5, edge - 3, edge + 1):
                inner = self.inner_in(scenario, 24, salt=number % 97)
                self.assert_taken(scenario, esp.encapsulated(sa, number, inner), inner)
            again = esp.encapsulated(sa, edge - 1, self.inner_in(scenario, 24, salt=(edge - 1) % 97))
            self.assert_dropped({"esp_replayed": 1}, [again])
        for scenario in [s for s in only(bits=256, esn=False) if s.inner == s.outer]:
            sa = scenario.sa("inbound")
            inner = self.inner_in(scenario, 25)
            self.assert_taken(scenario, esp.encapsulated(sa, edge - 1, inner), inner)
            # Without ESN there is no number behind the last: 0 and 1 lie far left of the window.
            self.assert_dropped({"esp_too_old": 2}, [esp.encapsulated(sa, n, inner) for n in (edge, edge + 1)])


class InUdp(ScenarioCase):
    """RFC 3948."""

    def test_bytes_behind_the_datagram_and_checksums_of_any_kind(self):
        for scenario in only(udp=True, bits=128, esn=False):
            sa = scenario.sa("inbound")
            for extra in ({"behind_udp": b"none of it"}, {"udp_sum": 0}, {"udp_sum": 0xBAD}):
                inner = self.inner_in(scenario, 45, salt=len(extra))
                self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner, **extra), inner)

    def test_either_way_is_taken(self):
        """RFC 7296, section 2.23: whatever was agreed, ESP in UDP and ESP as it is are both received."""
        for scenario in only(bits=128, esn=True):
            sa = scenario.sa("inbound")
            other = esp.Sa(**{**sa.__dict__, "ports": None if sa.ports else (esp.PORT, esp.PORT)})
            inner = self.inner_in(scenario, 46)
            self.assert_taken(scenario, esp.encapsulated(other, self.next_number(sa), inner), inner)

    def test_keepalives_are_absorbed(self):
        packets = []
        for scenario in (only(udp=True, outer=4)[0], only(mode="transport", outer=6)[0]):
            packets += [datagram(scenario.peer, scenario.local, (port, esp.PORT), b"\xff") for port in (4500, 61000)]
        self.assert_dropped({"udp_keepalive": 4}, packets)

    def test_ike_is_linuxs(self):
        """Also where a policy wants everything between the two ends protected."""
        for scenario in only(mode="transport", bits=128, esn=False):
            for ports, data in (((500, 500), b"IKE"), ((61000, 4500), bytes(4) + b"IKE"), ((4500, 4500), bytes(4) + b"IKE")):
                ike = datagram(scenario.peer, scenario.local, ports, data)
                self.deliver(ike)
                self.assertTrue(self.arrived(scenario, ike), f"{scenario} {ports}")
                answer = datagram(scenario.local, scenario.peer, ports[::-1], data)
                self.emit(scenario, answer)
                frames = self.wire.receive(3, lambda frame, answer=answer: frame[14 : 14 + len(answer)] == answer, count=1)
                self.assertTrue(frames, f"{scenario} {ports}: in clear")
            hidden = datagram(scenario.local, scenario.peer, (4500, 4500), b"\x00\x00\x10\x00 looks like ESP")
            self.assert_sealed(scenario, [hidden])

    def test_neighbours_are_found_without_protection(self):
        scenario = only(mode="transport", outer=6)[0]
        question = b"\x87\0\0\0\0\0\0\0" + esp.address(scenario.local) + b"\x01\x01" + self.from_peer
        whole = packet(scenario.peer, scenario.local, esp.ICMPV6, question, ttl=255)
        total = checksum(esp.pseudo_header(whole, esp.ICMPV6, len(question)) + question)
        self.deliver(whole[:42] + total.to_bytes(2, "big") + whole[44:])
        answered = self.wire.receive(3, lambda frame: frame[20:21] == b"\x3a" and frame[54:55] == b"\x88", count=1)
        self.assertTrue(answered, "neighbour advertisement in clear")

    def test_translated_addresses_break_no_checksum(self):
        """Transport mode in UDP: Linux takes datagrams whose checksum was made for other addresses."""
        for family in (4, 6):
            scenario = only(mode="transport", outer=family, udp=True)[0]
            sa = scenario.sa("inbound")
            with in_namespace_of(self.lab, SITE_A.gateway):
                taker = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            with taker:
                taker.bind((scenario.local, 7007))
                taker.settimeout(3)
                hidden = "10.99.0.5" if family == 4 else "fd00::5"
                inner = datagram(hidden, scenario.local, (9, 7007), b"from behind a translator")
                headers = packet(scenario.peer, scenario.local, esp.UDP, inner[20 if family == 4 else 40 :])
                self.deliver(esp.encapsulated(sa, self.next_number(sa), headers))
                data, _ = taker.recvfrom(100)
                self.assertEqual(data, b"from behind a translator")

    def test_a_peer_that_moves_is_followed(self):
        for scenario in only(udp=True, bits=128, esn=False, mode="tunnel"):
            sa, out = scenario.sa("inbound"), scenario.sa("outbound")
            elsewhere = ELSEWHERE[scenario.outer]
            self.assert_sealed(scenario, [self.inner_out(scenario, 9)])
            old, new = self.next_number(sa), self.next_number(sa)
            inner = self.inner_in(scenario, 10)
            self.assert_taken(scenario, esp.encapsulated(sa, new, inner), inner)

            def moved(source, port, number, sa=sa, inner=inner):
                there = esp.Sa(**{**sa.__dict__, "source": source, "ports": (port, esp.PORT)})
                return esp.encapsulated(there, number, inner)

            # Who is not authentic moves nobody, and neither does who was overtaken, or comes twice.
            forged = bytearray(moved(elsewhere, 61000, new + 1))
            forged[-1] ^= 1
            self.assert_dropped({"esp_bad_icv": 1}, [bytes(forged)])
            self.assert_taken(scenario, moved(elsewhere, 61000, old), inner)
            self.assert_dropped({"esp_replayed": 1}, [moved(elsewhere, 61000, new)])
            self.assert_sealed(scenario, [self.inner_out(scenario, 9)])
            self.assertIsNone(self.shown(out)["moved_to"])

            for source, port in ((elsewhere, 61000), (elsewhere, 61001), (scenario.peer, esp.PORT)):
                self.assert_taken(scenario, moved(source, port, self.next_number(sa)), inner)
                where = f"[{source}]:{port}" if ":" in source else f"{source}:{port}"
                self.eventually(f"{scenario} at {where}", lambda where=where: self.shown(out)["moved_to"] == where)
                there = esp.Sa(**{**out.__dict__, "destination": source, "ports": (esp.PORT, port)})
                self.assert_sealed(scenario, [self.inner_out(scenario, 11)], there)
            said = self.gateway.controlplane.log.read_text()
            self.assertIn("moved to", said)

    def test_in_transport_mode_only_the_port_moves(self):
        for scenario in only(udp=True, bits=128, esn=False, mode="transport"):
            sa, out = scenario.sa("inbound"), scenario.sa("outbound")
            inner = self.inner_in(scenario, 12)
            there = esp.Sa(**{**sa.__dict__, "ports": (62000, esp.PORT)})
            self.assert_taken(scenario, esp.encapsulated(there, self.next_number(sa), inner), inner)
            self.eventually("the port to move", lambda: (self.shown(out)["moved_to"] or "").endswith(":62000"))
            to = esp.Sa(**{**out.__dict__, "ports": (esp.PORT, 62000)})
            self.wire.drain()
            self.assert_sealed(scenario, [self.inner_out(scenario, 13)], to)
            stranger = reply(ELSEWHERE[scenario.outer], scenario.ours, 12)
            self.assert_dropped(
                {"esp_selector_mismatch": 1}, [esp.encapsulated(sa, self.next_number(sa), stranger)]
            )
            self.assertTrue(self.shown(out)["moved_to"].endswith(":62000"))

    def shown(self, sa):
        return next(shown for shown in self.gateway.associations() if shown["spi"] == sa.spi)


class Policy(ScenarioCase):
    """RFC 4301, section 5.2."""

    def test_cleartext_that_should_be_protected(self):
        packets = [self.inner_in(scenario, 60) for scenario in SCENARIOS]
        self.assert_dropped({"policy_cleartext": len(packets)}, packets)

    def test_what_comes_by_another_sa_is_refused(self):
        for scenario, other in zip(only(bits=128, esn=False), only(bits=256, esn=False)):
            sa = scenario.sa("inbound")
            inner = self.inner_in(other, 60)
            wrong = esp.encapsulated(sa, self.next_number(sa), inner)
            self.assert_dropped({"esp_selector_mismatch": 1}, [wrong])

    def test_esp_in_esp(self):
        """A tunnel inside of a tunnel, both of which end here; a third one is too much."""
        scenario = SCENARIOS[0]
        sa = scenario.sa("inbound")
        inner = self.inner_in(scenario, 70)
        once = esp.encapsulated(sa, self.next_number(sa), inner)
        twice = esp.encapsulated(NEST, self.next_number(NEST), once)
        self.assert_taken(scenario, twice, inner)
        once = esp.encapsulated(sa, self.next_number(sa), inner)
        inside = esp.encapsulated(NEST, self.next_number(NEST), once)
        self.assert_dropped({"esp_nested": 1}, [esp.encapsulated(NEST, self.next_number(NEST), inside)])


def scapy_sa(sa):
    layer = IPv6 if ":" in sa.source else IP
    return SecurityAssociation(
        ScapyEsp,
        spi=sa.spi,
        crypt_algo="AES-GCM",
        crypt_key=sa.key + sa.salt,
        tunnel_header=layer(src=sa.source, dst=sa.destination) if sa.mode == "tunnel" else None,
        esn_en=sa.esn,
        esn=0,
    )

