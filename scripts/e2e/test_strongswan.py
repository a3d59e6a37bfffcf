"""One gateway of ours and strongSwan's in the other's place: real traffic from host to host, both roles, both rekeying.

strongSwan's user-space ESP speaks in UDP only, so that this is also the way of a peer behind a translator."""

import shutil

from lab.capture import Capture
from lab.names import LAN_LINK, SITE_A, SITE_B, SITES, WAN_LINK
from lab.traffic import PING_MARK, ping

from . import negotiated
from .case import LabCase
from .certificates import Authority
from .strongswan import StrongSwan

CONFIG = f"""
connections {{
    peer {{
        version = 2
        local_addrs = {SITE_B.wan_v4}
        remote_addrs = {SITE_A.wan_v4}
        proposals = aes256gcm16-prfsha256-curve25519
        encap = yes
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
                local_ts = 10.2.0.0/24
                remote_ts = 10.1.0.0/24
                esp_proposals = ESP
            }}
        }}
    }}
}}
secrets {{
    ike-a {{
        id-a = gw-a.example.net
        id-b = gw-b.example.net
        secret = "{negotiated.KEY}"
    }}
}}
"""


class StrongSwanCarries(LabCase):
    """Ours in gw-a, strongSwan in gw-b."""

    gateways = False
    seconds = 120

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network, role = cls.lab.network, SITE_B.gateway
        for link, address in ((WAN_LINK, SITE_B.wan_v4), (LAN_LINK, SITE_B.lan_v4)):
            network.ip(role, "link", "set", link, "arp", "on", "promisc", "off")
            network.ip(role, "address", "add", f"{address}/24", "dev", link)
        network.sysctl(role, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        network.ip(role, "route", "add", "default", "via", SITE_A.wan_v4)
        cls.swan = StrongSwan(cls.lab, role)
        cls.gateway = cls.lab.add_gateway(SITE_A, negotiated.write(cls.lab, SITE_A, entry=""))
        cls.gateway.start()
        cls.gateway.wait_ready(sas=0)
        cls.lab.network.wait_for_hosts()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        outcome = super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"--- charon said last:\n{self.swan.log(60)}", flush=True)
        return outcome

    def fresh(self, transform="esp-gcm 256", esp="aes256gcm16", entry="", swan=CONFIG, **more):
        """Both ends anew, of this suite, with nothing between them."""
        self.swan.swanctl("--terminate", "--ike", "peer", "--force", check=False)
        self.swan.load(swan.replace("ESP", esp))
        self.gateway.config.write_text(negotiated.config(SITE_A, entry=entry, transform=transform, **more))
        self.gateway.espalier("reload")
        self.gateway.espalier("clear", "crypto", "session")
        self.eventually("nothing to be left", lambda: not self.gateway.associations() and not self.swan.sas())

    def ours(self):
        """Our pair by direction, once there is one."""
        pair = {sa["direction"]: sa for sa in self.gateway.associations()}
        return pair if len(pair) == 2 and len(self.gateway.associations()) == 2 else None

    def theirs(self):
        children = [c for sa in self.swan.sas() for c in sa["children"] if c["state"] == "INSTALLED"]
        return children[0] if len(children) == 1 else None

    def agreed(self):
        def same():
            ours, theirs = self.ours(), self.theirs()
            return ours and theirs and (ours["inbound"]["spi"], ours["outbound"]["spi"]) == (theirs["out"], theirs["in"])

        self.eventually("both ends to have the same SAs", same)
        return self.ours(), self.theirs()

    def raise_by_ping(self):
        def answered():
            return ping(self.lab, SITE_A, SITE_B, 4, count=1, patience=1)["received"]

        self.eventually("a ping to be answered", answered, 20)

    def carries(self, count=20):
        """Pings both ways; what both ends' SAs counted moved by exactly these, and the wire showed none of it."""
        capture = Capture(self.lab, marks=(PING_MARK[:12],))
        ours, theirs = self.agreed()
        rows = [ping(self.lab, s, r, 4, size=size, count=count) for s, r in (SITES, SITES[::-1]) for size in (56, 1200)]
        self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
        wire = capture.stop()
        sent = sum(row["sent"] for row in rows)
        ours_now, theirs_now = self.agreed()
        self.assertEqual(ours_now["outbound"]["packets"] - ours["outbound"]["packets"], sent)
        self.assertEqual(ours_now["inbound"]["packets"] - ours["inbound"]["packets"], sent)
        self.assertEqual(theirs_now["in_packets"] - theirs["in_packets"], sent)
        self.assertEqual(theirs_now["out_packets"] - theirs["out_packets"], sent)
        self.assertEqual(wire["cleartext_packets"], 0, wire)
        self.assertEqual(wire["esp_packets"], 2 * sent, wire)

    def test_we_initiate_by_traffic(self):
        for transform, esp in (
            ("esp-gcm 256", "aes256gcm16"),
            ("esp-gcm 128 icv 12", "aes128gcm12"),
            ("esp-aes 256 esp-sha256-hmac", "aes256-sha256"),
            ("esp-chacha20-poly1305", "chacha20poly1305"),
        ):
            with self.subTest(transform):
                self.fresh(transform, esp)
                self.raise_by_ping()
                self.carries()

    def test_padding_is_cut_off_at_the_other_end(self):
        self.fresh(entry=" set security-association tfc-padding mtu\n")
        self.raise_by_ping()
        self.carries()
        self.assertGreater(self.ours()["outbound"]["tfc_padding"], 20 * 1000)

    def test_strongswan_initiates(self):
        self.fresh()
        self.swan.swanctl("--initiate", "--child", "net")
        self.carries()
        self.swan.swanctl("--terminate", "--ike", "peer")
        self.eventually("our SAs to go with theirs", lambda: not self.gateway.associations())

    def test_certificates_go_in_fragments(self):
        authority = Authority(self.lab.folder)
        for kind in ("ed25519", "p256", "rsa"):
            with self.subTest(kind):
                theirs, their_key = authority.issue("gw-b.example.net", kind)
                shutil.copy(their_key, self.swan.private / "gw-b.key")
                by = [f"auth = pubkey\n            {what}" for what in (f"certs = {theirs}", f"cacerts = {authority.path}")]
                swan = CONFIG.replace("auth = psk", by[0], 1).replace("auth = psk", by[1], 1)
                self.fresh(swan=swan, **negotiated.papers(authority, SITE_A, kind, others=30))
                self.raise_by_ping()
                self.carries(5)
                self.swan.swanctl("--terminate", "--ike", "peer")
                self.eventually("our SAs to go with theirs", lambda: not self.gateway.associations())
                self.swan.swanctl("--initiate", "--child", "net")
                self.carries(5)
        # They are long: what both say in IKE_AUTH goes in fragments (RFC 7383).
        said = self.swan.log(2000)
        for of in ("request", "response"):
            self.assertRegex(said, rf"parsed IKE_AUTH {of} 1 \[ EF\(1/\d\) \]")
            self.assertRegex(said, rf"generating IKE_AUTH {of} 1 \[ EF\(1/\d\) \]")

    def test_rekeying_from_strongswan_loses_nothing(self):
        self.fresh()
        self.raise_by_ping()
        seen = set()
        steady = self.lab.start(
            "steady ping", ["ping", "-n", "-q", "-i", "0.005", "-c", 1500, "-W", 2, SITE_B.host_v4], "steady.log", SITE_A.host
        )
        for _ in range(4):
            ours, _ = self.agreed()
            seen.add(ours["inbound"]["spi"])
            self.swan.swanctl("--rekey", "--child", "net")
            self.eventually("other SAs", lambda: self.ours() and self.ours()["inbound"]["spi"] not in seen)
        self.swan.swanctl("--rekey", "--ike", "peer")
        steady.child.wait(30)
        self.assertIn("1500 packets transmitted, 1500 received", steady.said(5))
        self.assertEqual(len(seen), 4)
        self.carries()

    def test_rekeying_by_us_loses_nothing(self):
        self.fresh(esp="aes256gcm16-ecp256", entry=" set pfs group19\n set security-association lifetime kilobytes 2560\n")
        self.raise_by_ping()
        before = self.ours()["inbound"]["spi"]
        # No faster: strongSwan's socket holds some ninety of these, and our core may be somebody else's for a second.
        command = ["ping", "-n", "-q", "-i", "0.02", "-c", 2300, "-W", 2, "-s", 1200, SITE_B.host_v4]
        _, said = self.lab.complete("steady ping", command, SITE_A.host, timeout=90)
        self.assertIn("2300 packets transmitted, 2300 received", said)
        log = self.gateway.controlplane.log.read_text(errors="replace")
        self.assertIn("has new keys", log)
        self.assertNotEqual(self.ours()["inbound"]["spi"], before)
        self.carries()

    def reauthenticates(self, seconds, ask=lambda: None):
        """Under pings of so many seconds, another IKE SA and another pair take the place of those there are; none is lost."""
        capture = Capture(self.lab, marks=(PING_MARK[:12],))
        (ours, _), ike = self.agreed(), self.swan.sas()[0]["spis"]
        before = ours["inbound"]["spi"]
        count = 100 * seconds
        command = ["ping", "-n", "-q", "-i", "0.01", "-c", count, "-W", 2, "-p", PING_MARK.hex(), SITE_B.host_v4]
        steady = self.lab.start("steady ping", command, "steady.log", SITE_A.host)
        ask()
        steady.child.wait(3 * seconds + 10)
        self.assertIn(f"{count} packets transmitted, {count} received", steady.said(5))
        wire = capture.stop()
        self.assertEqual((wire["cleartext_packets"], wire["esp_packets"]), (0, 2 * count), wire)
        ours, _ = self.agreed()
        self.assertNotEqual(ours["inbound"]["spi"], before)
        self.eventually("the old IKE SA to be gone", lambda: len(self.swan.sas()) == 1)
        (sa,) = self.swan.sas()
        self.assertTrue(set(sa["spis"]).isdisjoint(ike), "it is the same IKE SA")
        self.carries()

    def test_reauthenticating_loses_nothing(self):
        self.fresh()
        self.raise_by_ping()
        self.reauthenticates(2, lambda: self.swan.swanctl("--rekey", "--ike", "peer", "--reauth"))
        self.fresh(profile=" reauth 10\n")
        self.raise_by_ping()
        self.reauthenticates(10)

    def test_a_peer_that_comes_anew_is_believed_and_one_that_is_silent_missed(self):
        self.fresh(profile=" dpd 10 2 periodic\n")
        self.raise_by_ping()
        before = self.ours()["inbound"]["spi"]
        # It says that it knows of nothing (INITIAL_CONTACT): our old pair goes with what took its place.
        self.swan.come_anew()
        self.swan.load(CONFIG.replace("ESP", "aes256gcm16"))
        self.swan.swanctl("--initiate", "--child", "net")
        self.carries()
        after = self.ours()["inbound"]["spi"]
        self.assertNotEqual(after, before)
        # It says nothing: we ask after ten seconds of silence, and give it up after half a minute.
        self.swan.come_anew()
        self.swan.load(CONFIG.replace("ESP", "aes256gcm16"))
        self.eventually("the silent peer to be missed", lambda: not self.gateway.associations(), 60)
        self.assertIn("the peer does not answer", self.gateway.controlplane.log.read_text(errors="replace"))
        self.raise_by_ping()
        self.carries()

    def test_what_differs_is_named(self):
        self.fresh("esp-gcm 128", "aes256gcm16")
        ping(self.lab, SITE_A, SITE_B, 4, count=1, patience=1)

        def named():
            failures = self.gateway.json("show", "crypto", "session", "--json")["failures"]
            return any("NO_PROPOSAL_CHOSEN" in f["why"] or "no proposal in common" in f["why"] for f in failures)

        self.eventually("the refusal to be named", named)
