"""The product of mode, families, key size, ESN and UDP: one crypto map entry for each, with a peer of its own."""

import hashlib
import itertools
from dataclasses import dataclass

from lab.names import SITE_A

from .esp import PORT, Sa

HEAD = f"""
hostname gw-a
crypto ipsec dscp map 61 cs1
crypto ipsec dscp map 62 default
interface lan
 device net_af_packet0,iface=veth-lan,framecnt=4096
 mac-address 0200.5e00.0101
 ip address {SITE_A.lan_v4} 255.255.255.0
 ipv6 address {SITE_A.lan_v6}/64
interface wan
 device net_af_packet1,iface=veth-wan,framecnt=4096
 mac-address 0200.5e00.0102
 ip address {SITE_A.wan_v4} 255.255.255.0
 ipv6 address {SITE_A.wan_v6}/64
 ip mtu 1600
 crypto map ALL
ip route 10.2.0.0 255.255.0.0 192.0.2.2
ipv6 route 2001:db8:b::/48 2001:db8:ffff::2
"""


@dataclass(frozen=True)
class Scenario:
    """One entry of the map."""

    number: int
    mode: str
    outer: int
    inner: int
    bits: int
    esn: bool
    udp: bool

    def __str__(self):
        extras = ("-esn" if self.esn else "") + ("-udp" if self.udp else "")
        return f"{self.mode}-{self.inner}in{self.outer}-{self.bits}{extras}"

    @property
    def local(self):
        return SITE_A.wan_v4 if self.outer == 4 else SITE_A.wan_v6

    @property
    def peer(self):
        return f"192.0.2.{10 + self.number}" if self.outer == 4 else f"2001:db8:ffff::1:{self.number:x}"

    @property
    def ours(self):
        """Our end of the protected traffic: a host of ours, or the gateway itself."""
        if self.mode == "transport":
            return self.local
        return SITE_A.host_v4 if self.inner == 4 else SITE_A.host_v6

    @property
    def theirs(self):
        if self.mode == "transport":
            return self.peer
        return f"10.2.{self.number}.9" if self.inner == 4 else f"2001:db8:b:{self.number:x}::9"

    def material(self, direction):
        """AES key and salt."""
        digest = hashlib.sha512(f"{self} {direction}".encode()).digest()
        return digest[: self.bits // 8], digest[-4:]

    def sa(self, direction):
        """As the RFCs want it; `direction` is the gateway's."""
        spi = {"outbound": 0x1000, "inbound": 0x2000}[direction] + self.number
        key, salt = self.material(direction)
        ends = (self.local, self.peer) if direction == "outbound" else (self.peer, self.local)
        return Sa(spi, key, salt, self.esn, self.mode, *ends, ports=(PORT, PORT) if self.udp else None)

    @property
    def transforms(self):
        return f"esp-gcm {self.bits}"

    def session_key(self, direction):
        """What stands behind `set session-key inbound|outbound`."""
        key, salt = self.material(direction)
        return f"esp {self.sa(direction).spi} cipher {(key + salt).hex()}"

    def config(self):
        lines = []
        if self.mode == "transport":
            permit = f"host {self.ours} host {self.theirs}"
        elif self.inner == 4:
            permit = f"10.1.0.0 0.0.0.255 10.2.{self.number}.0 0.0.0.255"
        else:
            permit = f"2001:db8:a::/64 2001:db8:b:{self.number:x}::/64"
        if self.inner == 4:
            lines += [f"ip access-list extended L{self.number}", f" permit ip {permit}"]
        else:
            lines += [f"ipv6 access-list L{self.number}", f" permit ipv6 {permit}"]
        lines += [f"crypto ipsec transform-set T{self.number} {self.transforms}", f" mode {self.mode}"]
        lines += [" esn"] * self.esn
        lines += [
            f"crypto map ALL {self.number + 1} ipsec-manual",
            f" description {self}",
            f" set peer {self.peer}",
            f" set transform-set T{self.number}",
            f" match address L{self.number}",
        ]
        lines += [" set udp-encapsulation"] * self.udp
        for direction in ("outbound", "inbound"):
            lines.append(f" set session-key {direction} {self.session_key(direction)}")
        return "\n".join(lines)


def _all():
    numbers = itertools.count()
    for mode, outer, inner in itertools.product(("tunnel", "transport"), (4, 6), (4, 6)):
        if mode == "transport" and outer != inner:
            continue
        for bits, esn, udp in itertools.product((128, 256), (False, True), (False, True)):
            yield Scenario(next(numbers), mode, outer, inner, bits, esn, udp)


SCENARIOS = tuple(_all())

# What comes of a peer that puts ESP packets to us into a tunnel to us.
NEST = Sa(0x2900, bytes(range(16)), b"nest", False, "tunnel", "192.0.2.90", SITE_A.wan_v4)
_NEST = f"""
ip access-list extended NEST
 permit esp host {SITE_A.wan_v4} host {SCENARIOS[0].peer}
 permit esp host {SITE_A.wan_v4} host {NEST.source}
crypto ipsec transform-set NEST esp-gcm 128
crypto map ALL 900 ipsec-manual
 set peer {NEST.source}
 set transform-set NEST
 match address NEST
 set session-key inbound esp {NEST.spi} cipher {(NEST.key + NEST.salt).hex()}
 set session-key outbound esp {NEST.spi} cipher {"17" * 20}
"""
CONFIG = HEAD + "\n".join(scenario.config() for scenario in SCENARIOS) + _NEST + "end\n"


def only(**wanted):
    """The scenarios that have these fields."""
    return [s for s in SCENARIOS if all(getattr(s, name) == value for name, value in wanted.items())]
