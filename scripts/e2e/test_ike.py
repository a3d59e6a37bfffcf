"""Our IKE endpoint and strongSwan's agree: with a pre-shared key, in both roles, on every algorithm that both have."""

from lab.names import SITE_A, SITE_B, WAN_LINK

from .case import LabCase
from .ikepeer import IkePeer
from .strongswan import StrongSwan

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

CONFIG = """
connections {{
    peer {{
        version = 2
        local_addrs = {there}
        remote_addrs = {here}
        proposals = {ike}
        {more}
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

    def pair(self, ike=IKE_SUITES[0], esp=ESP_SUITES[0], psk="a key that both know", more="", child="", **ours):
        """Both ends, of these suites, not yet connected."""
        # Whatever came before this, and may have failed.
        if self.peer is not None:
            self.peer.stop()
        self.swan.swanctl("--terminate", "--ike", "peer", "--force", check=False)
        self.swan.load(
            CONFIG.format(
                here=SITE_A.wan_v4, there=SITE_B.wan_v4, ike=ike[1], esp=esp[1], psk=psk, more=more, child=child
            )
        )
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
