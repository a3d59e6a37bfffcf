"""ESP as the RFCs have it, by struct and the library `cryptography` alone: what each byte of a packet ought to be.

Nothing here is of Espalier, and little of scapy, so that a test that finds both equal has found something."""

import ipaddress
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .wire import checksum

ESP, UDP, TCP, ICMPV6 = 50, 17, 6, 58
IPV4, IPV6, NO_NEXT_HEADER = 4, 41, 59
PORT = 4500
# Hop-by-hop options, routing header, fragment header, destination options.
EXTENSIONS = (0, 43, 44, 60)


@dataclass(frozen=True)
class Sa:
    """One direction, as both of its ends know it."""

    spi: int
    key: bytes
    salt: bytes
    esn: bool
    mode: str
    source: str
    destination: str
    # ESP in UDP: source and destination port.
    ports: tuple | None = None

    # What the trailer ends on a multiple of.
    block = 4
    # Bytes of IV, and whether the next packet's is one more.
    iv = 8
    counts = True

    def seal(self, sequence, plaintext, iv=None):
        """ESP header, IV, ciphertext and ICV (RFC 4303, section 2; RFC 4106, sections 3 to 5)."""
        iv = sequence.to_bytes(8, "big") if iv is None else iv
        low, high = sequence & 0xFFFFFFFF, sequence >> 32
        aad = struct.pack("!III", self.spi, high, low) if self.esn else struct.pack("!II", self.spi, low)
        return struct.pack("!II", self.spi, low) + iv + AESGCM(self.key).encrypt(self.salt + iv, plaintext, aad)

    def open(self, packet):
        """What is in a whole packet with ESP in it, trailer and all; raises if the ICV does not verify."""
        at = find(packet)
        low = int.from_bytes(packet[at + 4 : at + 8], "big")
        aad = struct.pack("!III", self.spi, 0, low) if self.esn else packet[at : at + 8]
        return AESGCM(self.key).decrypt(self.salt + packet[at + 8 : at + 16], packet[at + 16 :], aad)


def version(packet):
    return packet[0] >> 4


def address(text):
    return ipaddress.ip_address(text).packed


def ipv4(source, destination, protocol, length, tos=0, ttl=64, identification=0, flags=0, options=b""):
    """A header for `length` bytes behind it."""
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | words, tos, 4 * words + length, identification, flags, ttl, protocol, 0,
        address(source), address(destination),
    ) + options  # fmt: skip
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]


def ipv6(source, destination, next_header, length, traffic_class=0, hop_limit=64, label=0):
    word = 6 << 28 | traffic_class << 20 | label
    return struct.pack("!IHBB", word, length, next_header, hop_limit) + address(source) + address(destination)


def pseudo_header(packet, number, length):
    """Of a packet's next layer (RFC 768; RFC 8200, section 8.1)."""
    ends = packet[12:20] if version(packet) == 4 else packet[8:40]
    return ends + struct.pack("!IBBBB", length, 0, 0, 0, number)


def trailer(text, next_header, pad=None, block=4):
    """Padding, pad length, next header (RFC 4303, section 2.4)."""
    pad = -(len(text) + 2) % block if pad is None else pad
    return text + bytes(range(1, pad + 1)) + bytes((pad, next_header))


def divided(packet):
    """A packet's headers before ESP, what is behind them, its number, and where the byte is that names it (RFC 4303,
    section 3.1.1)."""
    if version(packet) == 4:
        length = (packet[0] & 15) * 4
        return packet[:length], packet[length:], packet[9], 9
    chain = [(packet[6], 6, 40)]
    while chain[-1][0] in EXTENSIONS:
        number, _, at = chain[-1]
        chain.append((packet[at], at, at + (8 if number == 44 else 8 * (packet[at + 1] + 1))))
    # Destination options that no routing header follows are protected.
    last = max((i for i, (number, _, _) in enumerate(chain) if number in (0, 43, 44)), default=-1)
    number, named_at, at = chain[last + 1]
    return packet[:at], packet[at:], number, named_at


def renamed(headers, named_at, number, length):
    """The headers, with `length` bytes of `number` behind them."""
    headers = bytearray(headers)
    headers[named_at] = number
    if version(headers) == 4:
        headers[2:4] = (len(headers) + length).to_bytes(2, "big")
        headers[10:12] = b"\0\0"
        headers[10:12] = checksum(bytes(headers)).to_bytes(2, "big")
    else:
        headers[4:6] = (len(headers) - 40 + length).to_bytes(2, "big")
    return bytes(headers)


def flow_label(spi):
    """Espalier's choice for an SA; RFC 6437 leaves it to the sender."""
    return ((spi * 0x9E3779B1) & 0xFFFFFFFF) >> 12 or 1


def encapsulated(sa, sequence, inner, iv=None, plaintext=None, outer_tos=None, behind_udp=b"", udp_sum=None):
    """The whole packet that carries `inner`. By keyword, what a sender may choose: the plaintext, trailer and all; the outer
    TOS; bytes behind the datagram; the UDP checksum."""
    if sa.mode == "transport":
        headers, rest, number, named_at = divided(inner)
        plaintext = trailer(rest, number, block=sa.block) if plaintext is None else plaintext
    else:
        number = IPV4 if version(inner) == 4 else IPV6
        plaintext = trailer(inner, number, block=sa.block) if plaintext is None else plaintext
    body = sa.seal(sequence, plaintext, iv)
    carrier = ESP
    if sa.ports:
        carrier = UDP
        body = struct.pack("!HHHH", *sa.ports, 8 + len(body), 0) + body
    length = len(body) + len(behind_udp)
    if sa.mode == "transport":
        headers = renamed(headers, named_at, carrier, length)
    else:
        headers = outer(sa, sequence, inner, carrier, length, outer_tos)
    if sa.ports and (udp_sum is not None or version(headers) == 6):
        # Over IPv4 it is zero (RFC 3948, section 2.1), over IPv6 not (RFC 8200, section 8.1).
        total = checksum(pseudo_header(headers, UDP, len(body)) + body) or 0xFFFF
        body = body[:6] + (total if udp_sum is None else udp_sum).to_bytes(2, "big") + body[8:]
    return headers + body + behind_udp


def outer(sa, sequence, inner, carrier, length, tos):
    """RFC 4301, sections 5.1.2.1 and 5.1.2.2; RFC 6040, section 4.1."""
    if version(inner) == 4:
        inner_tos, dont_fragment = inner[1], bool(inner[6] & 0x40)
    else:
        inner_tos, dont_fragment = (inner[0] << 4 | inner[1] >> 4) & 0xFF, True
    tos = inner_tos if tos is None else tos
    if ":" in sa.source:
        return ipv6(sa.source, sa.destination, carrier, length, tos, label=flow_label(sa.spi))
    identification, flags = (0, 0x4000) if dont_fragment else (sequence & 0xFFFF, 0)
    return ipv4(sa.source, sa.destination, carrier, length, tos, identification=identification, flags=flags)


def find(packet):
    """Where the ESP header of a packet begins; None where there is none."""
    if version(packet) == 4:
        at, number = (packet[0] & 15) * 4, packet[9]
    else:
        at, number = 40, packet[6]
        while number in EXTENSIONS:
            number, at = packet[at], at + (8 if number == 44 else 8 * (packet[at + 1] + 1))
    if number == UDP and PORT in struct.unpack("!HH", packet[at : at + 4]) and len(packet) >= at + 12:
        return at + 8 if any(packet[at + 8 : at + 12]) else None
    return at if number == ESP else None
