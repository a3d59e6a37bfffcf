"""The facts that the laboratory, the configurations in scripts/demo and scripts/e2e/manual, and the tests agree on.

    host-a --- lan [gw-a] wan ======= ESP ======= wan [gw-b] lan --- host-b
"""

from dataclasses import dataclass

LAN_MTU = 1500
# Room for a full LAN packet in its ESP and outer headers.
WAN_MTU = 1600


@dataclass(frozen=True)
class Site:
    """One side: a host, and the gateway before it."""

    letter: str
    host_v4: str
    host_v6: str
    lan_v4: str
    lan_v6: str
    wan_v4: str
    wan_v6: str

    @property
    def host(self) -> str:
        return f"host-{self.letter}"

    @property
    def gateway(self) -> str:
        return f"gw-{self.letter}"

    def host_address(self, family: int) -> str:
        return self.host_v4 if family == 4 else self.host_v6


SITE_A = Site("a", "10.1.0.10", "2001:db8:a::10", "10.1.0.1", "2001:db8:a::1", "192.0.2.1", "2001:db8:ffff::1")
SITE_B = Site("b", "10.2.0.10", "2001:db8:b::10", "10.2.0.1", "2001:db8:b::1", "192.0.2.2", "2001:db8:ffff::2")
SITES = (SITE_A, SITE_B)

# In a host's namespace.
HOST_LINK = "eth0"
# In a gateway's: the ends of the veth pairs that DPDK drives. What Linux uses there are the mirror TAPs.
LAN_LINK = "veth-lan"
WAN_LINK = "veth-wan"
