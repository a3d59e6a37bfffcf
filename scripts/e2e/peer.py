"""One gateway under test, and ourselves on both of its cables: on the LAN as a host, on the wire as the peer gateway.

The peer speaks ESP by scapy and the library `cryptography`, never by code of ours."""

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lab.names import HOST_LINK, SITE_A, SITE_B, WAN_LINK
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, SecurityAssociation

from .case import LabCase
from .counters import Counters
from .wire import Cable

_SESSION_KEY = re.compile(r"set session-key (inbound|outbound) esp (\S+) cipher ([0-9A-Fa-f]+)")


@dataclass(frozen=True)
class ManualKey:
    """One `set session-key` of a configuration: the AES key, and the salt behind it (RFC 4106, section 8.1)."""

    spi: int
    key: bytes
    salt: bytes


def manual_keys(config):
    """The session keys of a configuration's first crypto map entry, by direction."""
    keys = {}
    for direction, spi, digits in _SESSION_KEY.findall(config.read_text()):
        material = bytes.fromhex(digits)
        keys.setdefault(direction, ManualKey(int(spi, 0), material[:-4], material[-4:]))
    return keys


def scapy_association(key, source, destination):
    """The SA as scapy sees it."""
    return SecurityAssociation(
        ESP,
        spi=key.spi,
        crypt_algo="AES-GCM",
        crypt_key=key.key + key.salt,
        tunnel_header=IP(src=source, dst=destination),
    )


def esp_by_hand(key, sequence, plaintext, source=SITE_B.wan_v4, destination=SITE_A.wan_v4, high=None, **header):
    """An outer packet around exactly this plaintext, trailer and all: what no honest sender would write."""
    esp_header = key.spi.to_bytes(4, "big") + (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    aad = esp_header if high is None else esp_header[:4] + high.to_bytes(4, "big") + esp_header[4:]
    iv = sequence.to_bytes(8, "big")
    sealed = AESGCM(key.key).encrypt(key.salt + iv, plaintext, aad)
    return bytes(IP(src=source, dst=destination, proto=50, **header) / (esp_header + iv + sealed))


def trailer(inner, next_header=4):
    """An inner packet with the padding and trailer of RFC 4303, section 2.4."""
    length = -(len(inner) + 2) % 4
    return inner + bytes(range(1, length + 1)) + bytes((length, next_header))


class PeerCase(LabCase):
    """gw-a runs; gw-b's place on the wire is ours. Linux answers there for its addresses (ARP and ND), and so it does
    in host-a; everything else is what a test puts on the cables."""

    gateways = False
    # Instead of that of scripts/e2e/manual.
    config_text = None
    # SAs that it has from the start.
    written_down = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network = cls.lab.network
        network.sysctl("gw-b", f"net.ipv6.conf.{WAN_LINK}.disable_ipv6=0")
        network.ip("gw-b", "link", "set", WAN_LINK, "arp", "on", "promisc", "off")
        network.ip("gw-b", "address", "add", f"{SITE_B.wan_v4}/24", "dev", WAN_LINK)
        network.ip("gw-b", "-6", "address", "add", f"{SITE_B.wan_v6}/64", "dev", WAN_LINK, "nodad")
        cls.gateway = cls.lab.add_gateway(SITE_A, cls.configuration())
        cls.gateway.start()
        cls.gateway.wait_ready(sas=cls.written_down)
        cls.keys = manual_keys(cls.gateway.config)
        cls.wire = Cable(cls.lab, "gw-b", WAN_LINK)
        cls.addClassCleanup(cls.wire.close)
        cls.lan = Cable(cls.lab, "host-a", HOST_LINK)
        cls.addClassCleanup(cls.lan.close)
        cls.from_peer = cls.lab.mac("gw-b", WAN_LINK)
        cls.from_host = cls.lab.mac("host-a", HOST_LINK)
        cls.sequence = 0
        cls.stations = {}

    @classmethod
    def configuration(cls):
        """The gateway's configuration: a path, or None for that of scripts/e2e/manual."""
        if not cls.config_text:
            return None
        config = cls.lab.folder / "test.conf"
        config.write_text(cls.config_text)
        return config

    def counters(self):
        return Counters(self.gateway.stats())

    def settled(self, received):
        """The counters when so many packets have come, and each has left by one door."""

        def read():
            now = self.counters()
            return now if now.received >= received and not now.unaccounted() else None

        return self.eventually(f"{received} packets to come, and to leave by a door", read)

    def station(self, port):
        """The MAC address of one of the gateway's ports."""
        if port not in self.stations:
            self.stations[port] = self.counters().mac(port)
        return self.stations[port]

    def next_sequence(self):
        """A number that the inbound SA has not seen."""
        type(self).sequence += 1
        return self.sequence

    def ethernet(self, packet, kind=None):
        """An outer packet as a frame from the peer to the gateway."""
        if kind is None:
            kind = b"\x86\xdd" if packet[:1] and packet[0] >> 4 == 6 else b"\x08\x00"
        return self.station("wan") + self.from_peer + kind + bytes(packet)
