"""Our IKE endpoint and strongSwan's agree: with a pre-shared key, in both roles, on every algorithm that both have."""

import shutil
import time

from lab.names import SITE_A, SITE_B, WAN_LINK
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation

from .case import LabCase
from .certificates import Authority
from .ikepeer import IkePeer
from .strongswan import StrongSwan
from .wire import Cable

# Ours, and what swanctl calls it.
IKE_SUITES = (
    ("aes-gcm-256/prf-hmac-sha256/group31", "aes256gcm16-prfsha256-curve25519"),
    ("aes-gcm-128/prf-hmac-sha384/group19", "aes128gcm16-prfsha384-ecp256"),
    ("aes-cbc-256/hmac-sha512-256/prf-hmac-sha512/group20", "aes256-sha512-ecp384"),
    ("aes-cbc-128/hmac-sha256-128/prf-hmac-sha256/group21", "aes128-sha256-ecp521"),
    ("aes-cbc-192/hmac-sha384-192/prf-hmac-sha384/group14", "aes192-sha384-modp2048"),
    ("aes-cbc-128/hmac-sha1-96/prf-hmac-sha1/group2", "aes128-sha1-modp1024"),
    ("3des/hmac-sha1-96/prf-hmac-sha1/group5", "3des-sha1-modp1536"),
    ("aes-gcm-192/prf-hmac-sha512/group15", "aes192gcm16-prfsha512-modp3072"),
    ("aes-cbc-256/hmac-sha256-128/prf-hmac-sha256/group16", "aes256-sha256-modp4096"),
)
ESP_SUITES = (
    ("aes-gcm-256", "aes256gcm16"),
    ("aes-gcm-128-icv-12/group31", "aes128gcm12-curve25519"),
    ("aes-gcm-192-icv-8", "aes192gcm8"),
    ("aes-cbc-128/hmac-sha256-128/group14", "aes128-sha256-modp2048"),
    ("aes-cbc-256/hmac-sha512-256", "aes256-sha512"),
    ("aes-cbc-192/hmac-sha384-192/group19", "aes192-sha384-ecp256"),
    ("aes-ctr-256/hmac-sha1-96", "aes256ctr-sha1"),
    ("3des/hmac-sha1-96/group2", "3des-sha1-modp1024"),
    ("chacha20-poly1305/group20", "chacha20poly1305-ecp384"),
)

# What strongSwan is not offered in these tests.
OTHER_IKE = "aes-cbc-128/hmac-sha1-96/prf-hmac-sha1/group14"
OTHER_ESP = "aes-cbc-128/hmac-sha1-96"

CONFIG = """
connections {{
    peer {{
        version = 2
        local_addrs = {there}
        remote_addrs = {here}
        proposals = {ike}
        {more}
        local {{
            auth = {auth}
            id = gw-b.example.net
            {local}
        }}
        remote {{
            auth = {remote_auth}
            id = gw-a.example.net
            {remote}
        }}
        children {{
            net {{
                local_ts = 10.2.0.0/16
                remote_ts = 10.1.0.0/16
                esp_proposals = {esp}
                {child}
            }}
        }}
    }}
}}
secrets {{
    ike-a {{
        id-a = gw-a.example.net
        id-b = gw-b.example.net
        secret = "{psk}"
    }}
}}
"""


class StrongSwanAgrees(LabCase):
    """Ours in gw-a, strongSwan in gw-b, a cable between."""

    gateways = False
    seconds = 120
    peer = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        network = cls.lab.network
        for site in (SITE_A, SITE_B):
            network.ip(site.gateway, "link", "set", WAN_LINK, "arp", "on", "promisc", "off")
            network.ip(site.gateway, "address", "add", f"{site.wan_v4}/24", "dev", WAN_LINK)
            network.sysctl(site.gateway, f"net.ipv6.conf.{WAN_LINK}.disable_ipv6=0")
            network.ip(site.gateway, "-6", "address", "add", f"{site.wan_v6}/64", "dev", WAN_LINK, "nodad")
        # charon routes what it protects by an address of its own on that side.
        network.ip(SITE_B.gateway, "address", "add", f"{SITE_B.lan_v4}/16", "dev", "lo")
        network.ip(SITE_B.gateway, "route", "add", "default", "via", SITE_A.wan_v4)
        cls.swan = StrongSwan(cls.lab, "gw-b")

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        outcome = super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"--- charon said last:\n{self.swan.log(60)}", flush=True)
        return outcome

    def pair(self, ike=IKE_SUITES[0], esp=ESP_SUITES[0], theirs=None, **ours):
        """Both ends, of these suites, not yet connected. `theirs`: more for the template of strongSwan's side."""
        # Whatever came before this, and may have failed.
        if self.peer is not None:
            self.peer.stop()
        self.swan.swanctl("--terminate", "--ike", "peer", "--force", check=False)
        fields = {
            "here": SITE_A.wan_v4,
            "there": SITE_B.wan_v4,
            "ike": ike[1],
            "esp": esp[1],
            "psk": "a key that both know",
            "auth": "psk",
            "remote_auth": "psk",
        }
        empty = dict.fromkeys(("more", "child", "local", "remote"), "")
        self.swan.load(CONFIG.format(**(empty | fields | (theirs or {}))))
        options = {
            "local": SITE_A.wan_v4,
            "remote": SITE_B.wan_v4,
            "id": "gw-a.example.net",
            "peer_id": "gw-b.example.net",
            "psk": "a key that both know",
            "ike": ike[0],
            "esp": esp[0],
            "local_net": "10.1.0.0/16",
            "remote_net": "10.2.0.0/16",
        }
        type(self).peer = IkePeer(self.lab, "gw-a", **(options | ours))
        return self.peer

    def assert_agreed(self, peer, children=1):
        """Both show the same SAs: SPIs of the IKE SA, and of each child in either direction."""

        def agreed():
            ours = [sa for sa in peer.show() if sa["state"] == "established"]
            theirs = [sa for sa in self.swan.sas() if sa["state"] == "ESTABLISHED"]
            if len(ours) != 1 or len(theirs) != 1:
                return False
            (our, their) = ours[0], theirs[0]
            spis = (our["ike"], our["peer_spi"]) if our["initiator"] else (our["peer_spi"], our["ike"])
            pairs = {(child["inbound"], child["outbound"]) for child in our["children"]}
            mirrored = {
                (child["out"], child["in"]) for child in their["children"] if child["state"] == "INSTALLED"
            }
            same = [int(spi, 16) for spi in spis] == [int(spi, 16) for spi in their["spis"]]
            return same and len(pairs) == children and pairs == mirrored and (our, their)

        return self.eventually("both ends to agree", agreed)

    def test_we_initiate_every_suite(self):
        for ike, esp in zip(IKE_SUITES, ESP_SUITES):
            with self.subTest(ike=ike[0], esp=esp[0]):
                peer = self.pair(ike, esp)
                peer.say("initiate")
                peer.wait("child-up")
                self.assert_agreed(peer)
                # With a key exchange of its own, where the suite has one.
                peer.say("rekey-child")
                peer.wait("child-up", 2)
                peer.wait("child-down")
                self.assert_agreed(peer)
                peer.say("delete")
                peer.wait("ike-down")
                self.eventually("strongSwan to have nothing left", lambda: not self.swan.sas())

    def test_strongswan_initiates_every_suite(self):
        for ike, esp in zip(IKE_SUITES, ESP_SUITES):
            with self.subTest(ike=ike[0], esp=esp[0]):
                peer = self.pair(ike, esp)
                self.swan.swanctl("--initiate", "--child", "net")
                self.assert_agreed(peer)
                self.swan.swanctl("--rekey", "--child", "net")
                peer.wait("child-up", 2)
                peer.wait("child-down")
                self.assert_agreed(peer)
                self.swan.swanctl("--terminate", "--ike", "peer")
                self.assertEqual(peer.wait("ike-down")["reason"], "peer")

    def test_the_ike_sa_is_rekeyed_from_both_sides(self):
        peer = self.pair()
        peer.say("initiate")
        peer.wait("child-up")
        seen = {self.assert_agreed(peer)[0]["ike"]}
        for turn in range(4):
            if turn % 2 == 0:
                peer.say("rekey")
            else:
                self.swan.swanctl("--rekey", "--ike", "peer")
            peer.wait("ike-rekeyed", turn + 1)
            ike = self.assert_agreed(peer)[0]["ike"]
            self.assertNotIn(ike, seen)
            seen.add(ike)
            # The new one works in both directions.
            peer.say("rekey-child")
            peer.wait("child-up", 2 * turn + 2)
            self.assert_agreed(peer)
            self.swan.swanctl("--rekey", "--child", "net")
            peer.wait("child-up", 2 * turn + 3)
            self.assert_agreed(peer)
        self.assertEqual(peer.events("failed"), [])
        self.assertEqual(peer.events("ike-down"), [])

    def test_certificates(self):
        authority = Authority(self.lab.folder)
        for kind, auth, pss in (
            ("rsa", "pubkey", "no"),
            ("rsa", "rsa/pss-sha256", "yes"),
            ("p256", "pubkey", "no"),
            ("p384", "pubkey", "no"),
            ("p521", "pubkey", "no"),
            ("ed25519", "pubkey", "no"),
        ):
            ours, our_key = authority.issue("gw-a.example.net", kind)
            theirs, their_key = authority.issue("gw-b.example.net", kind)
            shutil.copy(their_key, self.swan.private / "gw-b.key")
            template = {
                "auth": auth,
                # What it wants of our signature it would want of our authority's, too.
                "remote_auth": "pubkey",
                "local": f"certs = {theirs}",
                "remote": f"cacerts = {authority.path}",
            }
            options = {"certificates": ours, "key": our_key, "authorities": authority.path, "pss": pss}
            for we_initiate in (True, False):
                with self.subTest(kind=kind, auth=auth, we_initiate=we_initiate):
                    # Certificates make IKE_AUTH long: it goes in fragments, both ways.
                    peer = self.pair(theirs=template, fragment_above=576, **options)
                    if we_initiate:
                        peer.say("initiate")
                    else:
                        self.swan.swanctl("--initiate", "--child", "net")
                    self.assert_agreed(peer)
                    self.assertEqual(peer.events("failed"), [])
        self.assertIn("generating IKE_AUTH response 1 [ EF(", self.swan.log(100_000))

    def test_scapy_reads_what_strongswan_writes_with_our_keys(self):
        """What neither end's word proves: that both have derived the same keys, and cut them in the same order."""
        wire = Cable(self.lab, "gw-a", WAN_LINK)
        self.addCleanup(wire.close)
        for esp, cipher, salt, integrity, length in (
            (ESP_SUITES[0], "AES-GCM", 4, None, 0),
            (("aes-cbc-128/hmac-sha256-128", "aes128-sha256"), "AES-CBC", 0, "SHA2-256-128", 32),
            (("aes-cbc-256/hmac-sha512-256/group19", "aes256-sha512-ecp256"), "AES-CBC", 0, "SHA2-512-256", 64),
            (("3des/hmac-sha1-96", "3des-sha1"), "3DES", 0, "HMAC-SHA1-96", 20),
            (("aes-ctr-256/hmac-sha384-192", "aes256ctr-sha384"), "AES-CTR", 4, "SHA2-384-192", 48),
            (("chacha20-poly1305", "chacha20poly1305"), "CHACHA20-POLY1305", 4, None, 0),
        ):
            with self.subTest(esp=esp[0]):
                peer = self.pair(esp=esp, show_keys="yes")
                peer.say("initiate")
                peer.wait("child-up")
                # The second pair has a key exchange of its own where the suite has one.
                peer.say("rekey-child")
                child = peer.wait("child-up", 2)
                peer.wait("child-down")
                self.assert_agreed(peer)
                material = bytes.fromhex(child["keys"][0])
                crypt, auth = material[: len(material) - length], material[len(material) - length :]
                association = SecurityAssociation(
                    ESP,
                    spi=child["inbound"],
                    crypt_algo=cipher,
                    crypt_key=crypt,
                    auth_algo=integrity,
                    auth_key=auth if integrity else None,
                    tunnel_header=IP(src=SITE_B.wan_v4, dst=SITE_A.wan_v4),
                    nat_t_header=UDP(sport=4500, dport=4500),
                )
                wire.drain()
                self.lab.start(
                    "ping", ["ping", "-c", "1", "-W", "1", "-I", SITE_B.lan_v4, SITE_A.host_v4], "ping.log", "gw-b"
                )
                spi = child["inbound"].to_bytes(4, "big")
                frames = wire.receive(5, lambda frame, spi=spi: frame[42:46] == spi, count=1)
                self.assertEqual(len(frames), 1, "no ESP came")
                inner = association.decrypt(IP(frames[0][14:]))
                self.assertEqual((inner[ICMP].type, inner.src, inner.dst), (8, SITE_B.lan_v4, SITE_A.host_v4))

    def cut(self):
        """Lets what both send go astray, until `mend`."""
        for site, other in ((SITE_A, SITE_B), (SITE_B, SITE_A)):
            self.lab.network.ip(
                site.gateway, "neigh", "replace", other.wan_v4, "lladdr", "02:00:00:00:00:99", "dev", WAN_LINK,
                "nud", "permanent",
            )  # fmt: skip

    def mend(self):
        for site, other in ((SITE_A, SITE_B), (SITE_B, SITE_A)):
            self.lab.network.ip(site.gateway, "neigh", "del", other.wan_v4, "dev", WAN_LINK)

    def test_both_rekey_at_once(self):
        peer = self.pair()
        peer.say("initiate")
        peer.wait("child-up")
        for ours, theirs in (("rekey-child", "--child=net"), ("rekey", "--ike=peer")) * 4:
            with self.subTest(ours):
                before = {(sa["ike"], child["inbound"]) for sa in peer.show() for child in sa["children"]}
                # Neither hears of the other's request before it has sent its own; then both come again.
                self.cut()
                try:
                    peer.say(ours)
                    self.swan.swanctl("--rekey", theirs)
                    time.sleep(0.2)
                finally:
                    self.mend()

                def another(before=before):
                    now = {(sa["ike"], child["inbound"]) for sa in peer.show() for child in sa["children"]}
                    return self.assert_agreed(peer) and before.isdisjoint(now)

                self.eventually("another SA", another)
                # One pair stays in the end, in one IKE SA.
                time.sleep(2)
                self.assert_agreed(peer)
        self.assertEqual(peer.events("ike-down"), [])
        self.assertEqual(peer.events("failed"), [])
        self.assertIn("collision", self.swan.log(100_000))

    def test_over_ipv6(self):
        there = {"here": SITE_A.wan_v6, "there": SITE_B.wan_v6}
        for we_initiate in (True, False):
            with self.subTest(we_initiate=we_initiate):
                peer = self.pair(theirs=there, local=SITE_A.wan_v6, remote=SITE_B.wan_v6)
                if we_initiate:
                    peer.say("initiate")
                else:
                    self.swan.swanctl("--initiate", "--child", "net")
                self.assert_agreed(peer)
                peer.say("rekey-child")
                peer.wait("child-up", 2)
                self.assert_agreed(peer)
                peer.say("delete")
                peer.wait("ike-down")

    def test_failures_are_explained(self):
        for we_initiate in (True, False):
            for what, options, theirs, said in (
                ("key", {"psk": "another key"}, {}, "the pre-shared key of fqdn gw-b.example.net"),
                ("ike", {"ike": (OTHER_IKE, IKE_SUITES[0][1])}, {}, "first difference in encryption"),
                ("esp", {"esp": (OTHER_ESP, ESP_SUITES[0][1])}, {}, "first difference in encryption"),
                ("selectors", {"remote_net": "172.16.0.0/12"}, {}, "no traffic selectors in common"),
                ("identity", {"peer_id": "gw-x.example.net"}, {}, "identity differs"),
            ):
                with self.subTest(what, we_initiate=we_initiate):
                    peer = self.pair(theirs=theirs, **options)
                    if we_initiate:
                        peer.say("initiate")
                    else:
                        self.swan.swanctl("--initiate", "--child", "net", "--timeout", "3", check=False)
                    failed = peer.wait("failed")
                    if we_initiate:
                        # strongSwan says no more than that it refuses.
                        self.assertTrue(failed["explanation"]["by_peer"], failed)
                    else:
                        self.assertIn(said, failed["text"])

    def test_liveness(self):
        peer = self.pair(theirs={"more": "dpd_delay = 1s"}, dpd=1)
        peer.say("initiate")
        peer.wait("child-up")
        time.sleep(4)
        # Both asked, and both answered.
        self.assert_agreed(peer)
        self.assertIn("INFORMATIONAL request", self.swan.log(100_000))
        self.assertEqual(peer.events("ike-down"), [])
        # Ours falls silent.
        peer.process.kill()
        self.eventually("strongSwan to give up", lambda: not self.swan.sas(), 30)
