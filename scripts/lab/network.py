"""Namespaces and the veth pairs between them."""

from pathlib import Path

from .names import HOST_LINK, LAN_LINK, LAN_MTU, SITES, WAN_LINK, WAN_MTU
from .process import Failed, call, wait_until

NAMESPACES = Path("/run/netns")
IPV6_MULTICAST_ROUTES = ("-6", "route", "show", "table", "local", "type", "multicast", "dev", HOST_LINK)


class Network:
    """host-a, gw-a, gw-b and host-b of one run. Each namespace's name begins with the run's name, and every
    interface is born inside its namespace, so that runs cannot meet."""

    def __init__(self, run):
        self.run = run
        self.roles = [role for site in SITES for role in (site.host, site.gateway)]

    def namespace(self, role):
        return f"{self.run}-{role}"

    def build(self):
        for role in self.roles:
            self._add_namespace(role)
        for site in SITES:
            self._add_veth((site.host, HOST_LINK), (site.gateway, LAN_LINK), LAN_MTU)
        self._add_veth((SITES[0].gateway, WAN_LINK), (SITES[1].gateway, WAN_LINK), WAN_MTU)
        for site in SITES:
            self._quiet_gateway(site.gateway)
            self._address_host(site)

    def wait_for_hosts(self):
        """Waits until the hosts take part in IPv6. Linux looks at an interface that came up only once a second, and
        before that hears no question that is asked by multicast."""
        for site in SITES:
            wait_until(
                f"{site.host} to listen to multicast",
                lambda role=site.host: "ff00::/8" in self.ip(role, *IPV6_MULTICAST_ROUTES).stdout,
                10,
            )

    def take_down(self):
        """Deletes what there is of it, and with it every interface inside."""
        for role in self.roles:
            if (NAMESPACES / self.namespace(role)).exists():
                call("ip", "netns", "del", self.namespace(role), check=False)

    def ip(self, role, *words):
        """`ip WORDS` in that namespace."""
        return call("ip", "-n", self.namespace(role), *words)

    def sysctl(self, role, *settings):
        call("sysctl", "-qw", *settings, namespace=self.namespace(role))

    def offloads_off(self, role, link):
        """A packet through a veth must look as on a cable: whole checksums, no packet larger than the MTU."""
        for feature in ("tx", "rx", "tso", "gso", "gro", "sg"):
            call("ethtool", "-K", link, feature, "off", namespace=self.namespace(role), check=False)

    def _add_namespace(self, role):
        done = call("ip", "netns", "add", self.namespace(role), check=False)
        if done.returncode != 0:
            raise Failed(
                f"cannot make the network namespace {self.namespace(role)}: {done.stderr.strip()}\n"
                "It takes root, and a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged)."
            )
        self.ip(role, "link", "set", "lo", "up")

    def _add_veth(self, one, other, mtu):
        (role, link), (other_role, other_link) = one, other
        self.ip(
            role, "link", "add", link, "mtu", str(mtu), "type", "veth",
            "peer", "name", other_link, "mtu", str(mtu), "netns", self.namespace(other_role),
        )  # fmt: skip
        for end_role, end_link in (one, other):
            self.offloads_off(end_role, end_link)

    def _quiet_gateway(self, role):
        """The gateway's ends of the cables belong to DPDK. Linux must neither speak nor listen on them; it has the
        mirror TAPs, which bear the gateway's addresses."""
        self.sysctl(
            role,
            # A new address answers at once; the cables are ours, and nobody else can have it.
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.default.router_solicitations=0",
        )
        for link in (LAN_LINK, WAN_LINK):
            self.sysctl(role, f"net.ipv6.conf.{link}.disable_ipv6=1")
            self.ip(role, "link", "set", link, "arp", "off", "promisc", "on", "up")

    def _address_host(self, site):
        self.sysctl(
            site.host,
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
            f"net.ipv6.conf.{HOST_LINK}.accept_dad=0",
            f"net.ipv6.conf.{HOST_LINK}.accept_ra=0",
            f"net.ipv6.conf.{HOST_LINK}.router_solicitations=0",
        )
        self.ip(site.host, "address", "add", f"{site.host_v4}/24", "dev", HOST_LINK)
        self.ip(site.host, "-6", "address", "add", f"{site.host_v6}/64", "dev", HOST_LINK, "nodad")
        self.ip(site.host, "link", "set", HOST_LINK, "up")
        self.ip(site.host, "route", "add", "default", "via", site.lan_v4)
        self.ip(site.host, "-6", "route", "add", "default", "via", site.lan_v6)
