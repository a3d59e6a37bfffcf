"""What stands between peers, and what they are: translators, other families, transport mode, a peer that comes anew.

strongSwan is Debian's, where there is one; where it cannot do a thing (plain ESP, transport mode), both ends are ours."""

import re
import time

from lab.capture import Capture
from lab.names import SITE_A, SITE_B, SITES, WAN_LINK
from lab.process import call
from lab.traffic import PING_MARK, first_contact, ping

from . import negotiated
from .case import LabCase
from .strongswan import StrongSwan
from .test_negotiation import Negotiates

INSIDE = "172.16.0.2"
SPOKE_NET, SPOKE = "10.2.0.0/24", "10.2.0.1"

SPOKE_CONFIG = f"""
connections {{
    peer {{
        version = 2
        remote_addrs = {SITE_A.wan_v4}
        proposals = aes256gcm16-prfsha256-ecp256
        local {{
            auth = psk
            id = gw-b.example.net
        }}
        remote {{
            auth = psk
            id = gw-a.example.net
        }}
        children {{
            net {{
                local_ts = {SPOKE_NET},10.2.9.0/24
                remote_ts = 10.1.0.0/24
                esp_proposals = aes256gcm16
            }}
        }}
    }}
}}
secrets {{
    ike-a {{
        secret = "{negotiated.KEY}"
    }}
}}
"""


class BehindATranslator(LabCase):
    """A hub of ours that knows no address, and strongSwan in a network of its own behind Linux's masquerade."""

    gateways = False
    seconds = 120

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network, role = cls.lab.network, SITE_B.gateway
        network.roles.append("inside")
        network._add_namespace("inside")
        network._add_veth((role, "veth-in"), ("inside", "eth0"), 1500)
        network.ip(role, "link", "set", WAN_LINK, "arp", "on", "promisc", "off")
        network.ip(role, "address", "add", f"{SITE_B.wan_v4}/24", "dev", WAN_LINK)
        network.ip(role, "address", "add", "172.16.0.1/24", "dev", "veth-in")
        network.ip(role, "link", "set", "veth-in", "up")
        network.ip("inside", "address", "add", f"{INSIDE}/24", "dev", "eth0")
        network.ip("inside", "link", "set", "eth0", "up")
        for address in (SPOKE, "10.2.9.1"):
            network.ip("inside", "address", "add", f"{address}/24", "dev", "lo")
        network.ip("inside", "route", "add", "default", "via", "172.16.0.1")
        network.sysctl(role, "net.ipv4.ip_forward=1")
        network.sysctl("inside", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        rules = "table ip nat { chain out { type nat hook postrouting priority 100; oifname %s masquerade random; }; }"
        call("nft", rules % f'"{WAN_LINK}"', namespace=network.namespace(role))
        # What is silent for a moment is forgotten, and gets another port when it speaks again.
        network.sysctl(role, "net.netfilter.nf_conntrack_udp_timeout=1", "net.netfilter.nf_conntrack_udp_timeout_stream=1")
        cls.swan = StrongSwan(cls.lab, "inside", keep_alive=0)
        config = cls.lab.folder / "hub.conf"
        # Nobody else tells it where the second subnet is.
        route = f"ip route 10.2.9.0 255.255.255.0 {SITE_B.wan_v4}\n"
        config.write_text(negotiated.hub().replace("end\n", route + "end\n"))
        cls.gateway = cls.lab.add_gateway(SITE_A, config)
        cls.gateway.start()
        cls.gateway.wait_ready(sas=0)
        cls.lab.network.wait_for_hosts()

    def ping(self, source=SPOKE, count=10):
        command = ["ping", "-n", "-q", "-i", "0.05", "-c", count, "-W", 2, "-p", PING_MARK.hex(), "-I", source, SITE_A.host_v4]
        _, said = self.lab.complete("ping", command, "inside")
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
        return sent, received

    def seen_at(self):
        """Where the hub sees its peer's ESP come from."""
        (inbound,) = [sa for sa in self.gateway.associations() if sa["direction"] == "outbound"]
        return inbound["moved_to"] or f"{inbound['remote']}:{inbound['udp_port']}"

    def test_a_spoke_behind_it_is_reached_and_followed(self):
        self.swan.load(SPOKE_CONFIG)
        said = self.swan.swanctl("--initiate", "--child", "net", check=False)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        (sa,) = [sa for sa in self.gateway.json("show", "crypto", "ikev2", "sa", "--json")["sa"] if sa["state"] == "established"]
        self.assertTrue(sa["remote_nat"] and not sa["local_nat"], sa)
        self.assertEqual(sa["local"], f"{SITE_A.wan_v4}:4500")
        self.assertNotEqual(sa["remote"], f"{SITE_B.wan_v4}:4500", "the translator has left the port alone")
        self.assertEqual(self.ping(), (10, 10))
        # Both of its subnets, by one pair.
        self.assertEqual(self.ping("10.2.9.1"), (10, 10))
        # The translator forgets it, and gives it another port.
        before = self.seen_at()
        (out,) = [sa for sa in self.swan.sas()[0]["children"]]
        for _ in range(5):
            time.sleep(2.5)
            # Answers that are on their way while it is followed are lost: the translator drops them.
            self.ping(count=20)
            if self.seen_at() != before:
                break
        self.assertNotEqual(self.seen_at(), before)
        (after,) = [sa for sa in self.swan.sas()[0]["children"]]
        self.assertEqual((after["in"], after["out"]), (out["in"], out["out"]), "it is the same tunnel")
        self.assertEqual(self.ping(), (10, 10))

    def test_we_keep_a_translator_before_us_awake(self):
        # To strongSwan we are somewhere else than where we think. For as long as nobody speaks, we do (RFC 3948, section 4).
        self.swan.swanctl("--terminate", "--ike", "peer", "--force", check=False)
        namespace = self.lab.network.namespace(SITE_B.gateway)
        self.lab.network.sysctl(
            SITE_B.gateway, "net.netfilter.nf_conntrack_udp_timeout=60", "net.netfilter.nf_conntrack_udp_timeout_stream=60"
        )
        rules = (
            "table ip before { chain to { type nat hook prerouting priority -100; ip daddr 203.0.113.9 dnat to %s; };"
            ' chain count { type filter hook prerouting priority -300; iifname "%s" udp sport 4500 udp length 9 counter; }; }'
        )
        call("nft", rules % (SITE_A.wan_v4, WAN_LINK), namespace=namespace)
        self.swan.load(SPOKE_CONFIG.replace(f"remote_addrs = {SITE_A.wan_v4}", "remote_addrs = 203.0.113.9"))
        self.swan.swanctl("--initiate", "--child", "net")
        standing = self.gateway.json("show", "crypto", "ikev2", "sa", "--json")["sa"]
        (sa,) = [sa for sa in standing if sa["state"] == "established"]
        self.assertTrue(sa["local_nat"] and sa["remote_nat"], sa)
        self.assertEqual(self.ping(), (10, 10))

        def kept_awake():
            shown = call("nft", "list", "chain", "ip", "before", "count", namespace=namespace).stdout
            return int(re.search(r"packets (\d+)", shown)[1])

        self.assertEqual(kept_awake(), 0)
        self.eventually("a keepalive of ours", kept_awake, 30)
        self.assertEqual(self.ping(), (10, 10))


class OverIpv6(Negotiates):
    """The outer packets and IKE are IPv6's, and both families go through."""

    changes = {
        "gw-a": {"peers": f" set peer {SITE_B.wan_v6}\n", "key_address": "2001:db8:ffff::/64"},
        "gw-b": {"peers": f" set peer {SITE_A.wan_v6}\n", "key_address": "2001:db8:ffff::/64"},
    }

    def test_both_families_go_through(self):
        self.raise_tunnel()
        first_contact(self.lab, SITES)
        before = [sum(sa["packets"] for sa in gateway.associations()) for gateway in (self.a, self.b)]
        rows = [ping(self.lab, s, r, family, count=20) for s, r in (SITES, SITES[::-1]) for family in (4, 6)]
        self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
        after = [sum(sa["packets"] for sa in gateway.associations()) for gateway in (self.a, self.b)]
        self.assertEqual([now - then for now, then in zip(after, before)], [2 * 80, 2 * 80])
        for gateway, peer in ((self.a, SITE_B), (self.b, SITE_A)):
            self.assertEqual({sa["remote"] for sa in gateway.associations()}, {peer.wan_v6})


TRANSPORT = """\
ip access-list extended GATEWAYS
 permit icmp host {us} host {them}
"""


class Transport(Negotiates):
    """The gateways themselves, without a tunnel around."""

    changes = {
        site.gateway: {
            "mode": " mode transport\n",
            "list": "GATEWAYS",
            "entry": "",
            "globals": TRANSPORT.format(us=site.wan_v4, them=other.wan_v4),
        }
        for site, other in (SITES, SITES[::-1])
    }

    def test_pings_between_the_gateways(self):
        capture = Capture(self.lab, marks=(PING_MARK[:12],))
        command = ["ping", "-n", "-q", "-i", "0.02", "-c", 50, "-W", 2, "-p", PING_MARK.hex(), SITE_B.wan_v4]
        _, said = self.lab.complete("ping", command, SITE_A.gateway)
        self.assertIn("50 packets transmitted, 50 received", said)
        wire = capture.stop()
        self.assertEqual((wire["cleartext_packets"], wire["esp_packets"]), (0, 100), wire)
        for gateway in (self.a, self.b):
            shown = gateway.associations()
            self.assertEqual({sa["mode"] for sa in shown}, {"transport"})
            self.assertEqual(sorted(sa["packets"] for sa in shown), [50, 50])


class Filtered(Negotiates):
    """What the operator sees of a tunnel, and hears as it comes up."""

    def test_debug_is_live_and_filtered_and_show_shows_some(self):
        listeners = {}
        for words in (("ikev2",), ("ipsec",), ("ikev2", "peer", SITE_B.wan_v4), ("ikev2", "peer", "192.0.2.99")):
            name = f"debug-{'-'.join(words)}.out"
            command = ["env", *(f"{k}={v}" for k, v in self.a.environment().items())]
            command += [self.lab.program("espalier"), "debug", "crypto", *words, "--json"]
            listeners[words] = self.lab.start(name, command, name)
        # They listen once the daemon has taken their question; what is cleared before is heard or not.
        for _ in range(3):
            self.raise_tunnel()
            self.clear()
        self.raise_tunnel()

        def heard(*words):
            return listeners[words].said(10_000)

        self.eventually("messages to be told", lambda: "IKE_AUTH request" in heard("ikev2"))
        self.eventually("those of the peer, too", lambda: "IKE_AUTH request" in heard("ikev2", "peer", SITE_B.wan_v4))
        self.eventually("SAs to be told", lambda: "stands: SA" in heard("ipsec"))
        self.assertNotIn("IKE_AUTH", heard("ipsec"))
        self.assertEqual(heard("ikev2", "peer", "192.0.2.99"), "")
        self.assertNotIn(negotiated.KEY[:6], heard("ikev2") + heard("ipsec"))

        def count(*words):
            return len(self.a.json("show", "crypto", "ipsec", "sa", *words, "--json")["sa"])

        self.assertEqual([count("peer", SITE_B.wan_v4), count("peer", "192.0.2.99")], [2, 0])
        self.assertEqual([count("map", "SITES"), count("map", "OTHERS")], [2, 0])
        self.assertEqual([count("interface", "wan"), count("interface", "lan")], [2, 0])
        wrong = self.a.espalier("show", "crypto", "ipsec", "sa", "nobody", "x", check=False)
        self.assertIn("`nobody` is not `peer`, `map` or `interface`", wrong.stderr)
