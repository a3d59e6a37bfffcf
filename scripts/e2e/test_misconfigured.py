"""Twelve ways in which the two ends of a tunnel do not fit, and what each gateway then says of it.

With ESPALIER_TABLE=FILE it writes there, as a table, all that they said."""

import os

from lab.names import SITE_A, SITE_B

from . import negotiated
from .certificates import Authority
from .test_negotiation import Negotiates

OTHER_LIST = """\
ip route 10.9.0.0 255.255.0.0 192.0.2.2
ip access-list extended OTHER
 permit ip 10.1.0.0 0.0.0.255 10.9.0.0 0.0.0.255
"""
REFUSED = "AUTHENTICATION_FAILED: to the peer, our identity or our proof of it is wrong"

# What does not fit; changes at gw-a, which asks, and at gw-b; what each says among the rest.
CASES = (
    ("IKE: DH group", {"ike_group": "20"}, {}, "first difference in dh-group", "first difference in dh-group"),
    (
        "IKE: encryption",
        {"ike_encryption": "aes-gcm-128"},
        {},
        "first difference in encryption: ours aes-gcm-128, theirs aes-gcm-256",
        "first difference in encryption: ours aes-gcm-256, theirs aes-gcm-128",
    ),
    ("IKE: PRF", {"ike_prf": "sha512"}, {}, "first difference in prf", "first difference in prf"),
    ("pre-shared key", {"key": "5ec2e7-another"}, {}, REFUSED, "the pre-shared key of fqdn gw-a.example.net is not the one"),
    ("who we say we are", {"us": "gw-x"}, {}, REFUSED, "the peer should be fqdn gw-a.example.net and says it is fqdn gw-x"),
    ("whom we expect", {"them": "gw-y"}, {}, REFUSED, "we are fqdn gw-b.example.net and the peer wants fqdn gw-y.example.net"),
    ("method of proof", {}, {"authentication": "rsa-sig"}, REFUSED, "the peer should use certificate and uses SHARED_KEY"),
    ("ESP: encryption", {"transform": "esp-gcm 128"}, {}, "first difference in encryption", "first difference in encryption"),
    (
        "ESP: integrity",
        {"transform": "esp-aes 256 esp-sha512-hmac"},
        {"transform": "esp-aes 256 esp-sha256-hmac"},
        "first difference in integrity",
        "first difference in integrity",
    ),
    ("ESP: extended sequence numbers", {"mode": " esn\n"}, {}, "first difference in esn", "first difference in esn"),
    ("access lists", {"list": "OTHER", "entry": "", "globals": OTHER_LIST}, {}, "they want (local 10.1.0.0/24", "they want (local 10.9.0.0/24"),
    ("address of the peer", {}, {"peers": " set peer 192.0.2.99\n"}, "they do not say what they offer", "no connection is configured"),
)


class Unlike:
    """Something else than what was waited for."""

    def __init__(self, why):
        self.why = why

    def __bool__(self):
        return False

    def __repr__(self):
        return repr(self.why)


class Misconfigured(Negotiates):
    """Each end says what it knows, and the other's wishes where it may hear of them."""

    seconds = 120

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        authority = Authority(cls.lab.folder)
        certificate, key = authority.issue("gw-b.example.net", "p256")
        cls.papers = (
            " pki trustpoint CA\ncrypto pki trustpoint CA\n"
            f" ca-certificate {authority.path}\n certificate {certificate}\n private-key {key}\n"
        )

    def failure(self, gateway):
        failures = gateway.json("show", "crypto", "session", "--json")["failures"]
        return failures[0]["why"] if failures else None

    def asks(self, to):
        """Pings; whether anything came of it. The daemon may be about to take its configuration up."""
        self.lab.complete("a ping", ["ping", "-c", 1, "-W", 1, to], SITE_A.host)
        return self.failure(self.a)

    def says(self, gateway, wanted):
        """True once it says so; else what it says."""
        why = self.failure(gateway)
        return wanted in (why or "") or Unlike(why)

    def test_each_end_says_what_does_not_fit(self):
        table = []
        for what, at_a, at_b, a_says, b_says in CASES:
            with self.subTest(what):
                if "authentication" in at_b:
                    at_b = at_b | {"profile": self.papers}
                for gateway in (self.a, self.b):
                    gateway.controlplane.stop()
                self.a.config.write_text(negotiated.config(SITE_A, **at_a))
                self.b.config.write_text(negotiated.config(SITE_B, **at_b))
                for gateway in (self.b, self.a):
                    gateway.start_controlplane()
                    gateway.wait_ready(sas=0)
                to = "10.9.0.1" if "list" in at_a else SITE_B.host_v4
                self.eventually("a ping to ask for the tunnel", lambda to=to: self.asks(to))
                for gateway, wanted in ((self.a, a_says), (self.b, b_says)):
                    self.eventually(f"{gateway.role} to say {wanted!r}", lambda g=gateway, w=wanted: self.says(g, w))
                table.append((what, self.failure(self.a), self.failure(self.b)))
                self.assertEqual([g.associations() for g in (self.a, self.b)], [[], []])
                for gateway in (self.a, self.b):
                    self.assertNotIn("5ec2e7", self.said(gateway))
        if path := os.environ.get("ESPALIER_TABLE"):
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(f"| {what} | {a} | {b} |\n" for what, a, b in table)
