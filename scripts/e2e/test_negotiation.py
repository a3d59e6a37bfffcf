"""Two gateways raise their tunnel by IKEv2, keep it up, and say why when it does not come up."""

import itertools
import os
import re
import signal
import time

from lab.capture import Capture
from lab.names import HOST_LINK, SITE_A, SITE_B, SITES
from lab.traffic import PING_MARK, Iperf, first_contact, link_counters, ping

from . import negotiated
from .case import LabCase
from .certificates import Authority
from .counters import Counters, at_rest

_TRANSMITTED = re.compile(r"(\d+) packets transmitted, (\d+) received")


class Negotiates(LabCase):
    """Both gateways, and no key written down. `changes`: of their configurations, by gateway."""

    gateways = False
    changes = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for site in SITES:
            changes = cls.changes.get(site.gateway, cls.changes.get("both", {}))
            cls.lab.add_gateway(site, negotiated.write(cls.lab, site, **changes)).start()
        for gateway in cls.lab.gateways:
            gateway.wait_ready(sas=0)
        cls.lab.network.wait_for_hosts()
        cls.a, cls.b = cls.lab.gateways

    def raise_tunnel(self, seconds=20):
        """Pings until an answer comes, as a person would."""

        def answered():
            return ping(self.lab, SITE_A, SITE_B, 4, count=1, patience=1)["received"]

        self.eventually("a ping to be answered", answered, seconds)
        self.eventually("one pair of SAs at each gateway", lambda: self.settled(self.a) and self.settled(self.b))

    def settled(self, gateway):
        return len(gateway.associations()) == 2

    def clear(self):
        self.a.espalier("clear", "crypto", "session")
        for gateway in (self.a, self.b):
            self.eventually("no SA to be left", lambda gateway=gateway: not gateway.associations())

    def spis(self, gateway):
        return {sa["direction"]: sa["spi"] for sa in gateway.associations(quiet=True)}

    def said(self, gateway):
        return gateway.controlplane.log.read_text(errors="replace")

    def reload(self, gateway, site, **changes):
        gateway.config.write_text(negotiated.config(site, **changes))
        return gateway.espalier("reload").stdout


class RaisedByTraffic(Negotiates):
    """What a newcomer does: ping."""

    def test_pings_raise_the_tunnel_and_not_one_is_in_clear(self):
        self.clear()
        capture = Capture(self.lab, marks=(PING_MARK[:12],))
        self.raise_tunnel()
        first_contact(self.lab, SITES)
        before = [at_rest(lambda g=g: Counters(g.stats())) and self.packets(g) for g in (self.a, self.b)]
        rows = [
            ping(self.lab, sender, receiver, family, size=size, count=20)
            for sender, receiver in (SITES, SITES[::-1])
            for family in (4, 6)
            for size in (56, 1400)
        ]
        self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
        wire = capture.stop()
        after = [self.packets(gateway) for gateway in (self.a, self.b)]
        sent = sum(row["sent"] for row in rows)
        for was, now in zip(before, after):
            self.assertEqual(now["outbound"] - was["outbound"], sent)
            self.assertEqual(now["inbound"] - was["inbound"], sent)
        self.assertEqual(after[0]["outbound"], after[1]["inbound"])
        self.assertEqual(wire["cleartext_packets"], 0, wire)
        self.assertEqual(wire["esp_packets"], after[0]["outbound"] + after[1]["outbound"])
        self.assertGreaterEqual(wire["ike_packets"], 4)

    def packets(self, gateway):
        return {sa["direction"]: sa["packets"] for sa in gateway.associations()}

    def test_the_first_packets_are_not_lost(self):
        self.raise_tunnel()
        self.clear()
        row = ping(self.lab, SITE_A, SITE_B, 4, count=3, patience=3)
        self.assertEqual((row["sent"], row["received"]), (3, 3))

    def test_a_storm_costs_one_negotiation(self):
        self.raise_tunnel()
        self.clear()
        asked = self.said(self.a).count("asking 192.0.2.2")
        ping(self.lab, SITE_A, SITE_B, 4, count=100, patience=1)
        self.raise_tunnel()
        self.assertEqual(self.said(self.a).count("asking 192.0.2.2"), asked + 1)

    def test_the_operator_sees_both_ends_and_clears_them(self):
        self.raise_tunnel()
        for gateway, peer in ((self.a, SITE_B), (self.b, SITE_A)):
            shown = gateway.json("show", "crypto", "ikev2", "sa", "--json")
            # What is over still answers what comes late.
            (sa,) = [sa for sa in shown["sa"] if sa["state"] != "closing"]
            self.assertEqual((sa["state"], sa["remote"]), ("established", f"{peer.wan_v4}:500"), sa)
            self.assertEqual(sa["remote_identity"], f"fqdn {peer.gateway}.example.net")
            self.assertEqual(sa["children"][0]["policy"], "SITES 10")
            text = gateway.espalier("show", "crypto", "ikev2", "sa", "detail").stdout
            self.assertIn("aes-gcm-256", text)
            text = gateway.espalier("show", "crypto", "ipsec", "sa").stdout
            self.assertRegex(text, r"remaining key lifetime \(k/sec\): \(unlimited/[1-9]\d+\)")
            for word in ("encaps", "encrypt", "digest", "decaps", "decrypt", "verify"):
                self.assertRegex(text, rf"#pkts {word}: [1-9]")
            (session,) = gateway.json("show", "crypto", "session", "--json")["sessions"]
            self.assertEqual((session["status"], session["peer"]), ("up", peer.wan_v4))
            self.assertIn("UP-ACTIVE", gateway.espalier("show", "crypto", "session").stdout)
        # What one end clears is gone at the other, too, and comes again.
        self.a.espalier("clear", "crypto", "session", "192.0.2.99")
        self.assertTrue(self.settled(self.a))
        self.clear()
        self.assertEqual(self.a.json("show", "crypto", "session", "--json")["sessions"][0]["status"], "down")
        self.raise_tunnel()

    def test_reload_leaves_alone_what_did_not_change(self):
        self.raise_tunnel()
        before = self.spis(self.a)
        self.reload(self.a, SITE_A, globals="crypto ikev2 proposal SPARE\n encryption aes-cbc-128\n integrity sha256\n group 19\n")
        self.assertEqual(self.spis(self.a), before)
        self.assertEqual(ping(self.lab, SITE_A, SITE_B, 4, count=5)["received"], 5)
        # Another lifetime is another tunnel.
        self.reload(self.a, SITE_A, entry=" match address TUNNEL6\n set security-association lifetime seconds 600\n")
        self.raise_tunnel()
        self.assertNotEqual(self.spis(self.a), before)

    def test_either_process_may_die(self):
        self.raise_tunnel()
        before = self.spis(self.a)
        self.a.dataplane.kill()
        self.a.start_dataplane()
        self.eventually("the SAs to be back", lambda: self.spis(self.a) == before)
        self.raise_tunnel()
        self.assertEqual(self.spis(self.a), before)

    def test_a_control_plane_that_comes_back_takes_over(self):
        """Its keys died with the one before, and the data plane has them: traffic flows until others take their place."""
        self.raise_tunnel()
        first_contact(self.lab, SITES)
        before = self.spis(self.a)
        # The peer has no time for a moment: nothing but the old pair can carry these.
        self.b.controlplane.child.send_signal(signal.SIGSTOP)
        self.a.controlplane.kill()
        self.a.start_controlplane()
        self.eventually("a new one to ask for others", lambda: "asking 192.0.2.2" in self.a.controlplane.said(50))
        rows = [ping(self.lab, s, r, family, count=50) for s, r in (SITES, SITES[::-1]) for family in (4, 6)]
        self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
        self.assertEqual(self.spis(self.a), before)
        command = ["ping", "-n", "-q", "-i", "0.01", "-c", 500, "-W", 2, "-p", PING_MARK.hex(), SITE_B.host_v4]
        steady = self.lab.start("steady ping", command, "steady.out", SITE_A.host)
        self.b.controlplane.child.send_signal(signal.SIGCONT)
        self.eventually("others to take their place", lambda: self.settled(self.a) and not self.is_of(self.spis(self.a), before))
        self.eventually("the peer to have them, too", lambda: self.settled(self.b))
        steady.child.wait(60)
        transmitted, received = map(int, _TRANSMITTED.search(steady.said()).groups())
        # The peer sends on the new pair when it has answered, and we have it when we have read that: on a busy machine that
        # may be some hundredths of a second, of which each has an answer.
        self.assertEqual(transmitted, 500)
        self.assertGreaterEqual(received, 480, steady.said())

    def is_of(self, spis, before):
        return bool(set(spis.values()) & set(before.values()))


# How often keys change under load: four times, or as often as somebody says who has some minutes for a thousand.
REKEYS = int(os.environ.get("ESPALIER_REKEYS", "4"))
# Megabits a second of the stream meanwhile. An SA may carry 2.6 MB, of which a tenth at least is left when others are asked
# for: a quarter of a second at this pace. Who is in a hurry, on a machine that nobody else uses, has more of them a second.
PACE = int(os.environ.get("ESPALIER_PACE", "8"))


class Rekeys(Negotiates):
    """Limits that are soon reached."""

    seconds = 120 + 5 * REKEYS
    changes = {"both": {"entry": " match address TUNNEL6\n set security-association lifetime kilobytes 2560\n set pfs group19\n"}}

    def test_no_packet_is_lost_while_keys_change(self):
        self.raise_tunnel()
        gateways = (self.a, self.b)
        first = [self.spis(gateway) for gateway in gateways]
        capture, iperf = Capture(self.lab), Iperf(self.lab, SITE_A, SITE_B)
        before, sent = self.ways(), 0
        for attempt in itertools.count():
            if (missing := REKEYS - self.rekeyed()) <= 0:
                break
            # Other keys are due every 18 megabits.
            run = iperf.run(f"stream-{attempt}", min(60, 1 + missing * 18 // PACE), tcp_pace=PACE * 1_000_000)
            self.assertTrue(run["ok"], run)
            sent += run["bytes"]
        iperf.stop()
        if not self.waits_for(lambda: not self.lost_since(before)):
            self.fail(f"after {self.rekeyed()} changes of keys, this is lost: {self.lost_since(before)}")
        if "ESPALIER_REKEYS" in os.environ:
            print(f"{self.rekeyed()} changes of keys, {sent} bytes, no packet lost", flush=True)
        wire = capture.stop()
        self.assertEqual(wire["cleartext_packets"], 0, wire)
        self.assertGreaterEqual(wire["esp_packets"] + wire["missed_by_capture"], sent // 1500)
        for gateway, earlier in zip(gateways, first):
            self.assertFalse(set(earlier.values()) & set(self.spis(gateway).values()))
            self.assertNotIn("past its limit", self.said(gateway))

    def ways(self):
        """For each stretch of the way, packets that went into it and have not come out of it (yet); and those that a gateway
        has dropped, by reason."""
        lost, ports = {}, {}
        for gateway in (self.a, self.b):
            counters = Counters(gateway.stats())
            lost |= {f"{gateway.role}: {reason}": count for reason, count in counters.drops.items()}
            for row in (row for worker in counters.stats["workers"] for row in worker["ports"]):
                rx, tx = ports.get((gateway.role, row["name"]), (0, 0))
                ports[gateway.role, row["name"]] = rx + row["rx_packets"], tx + row["tx_packets"]
        for site in SITES:
            ports[site.host, "lan"] = tuple(link_counters(self.lab, site.host, HOST_LINK)[way]["packets"] for way in ("rx", "tx"))
        a, b = SITES
        for one, other, cable in ((a.host, a.gateway, "lan"), (b.host, b.gateway, "lan"), (a.gateway, b.gateway, "wan")):
            for sender, receiver in ((one, other), (other, one)):
                lost[f"from {sender} to {receiver}"] = ports[sender, cable][1] - ports[receiver, cable][0]
        return lost

    def lost_since(self, before):
        return {where: count - before.get(where, 0) for where, count in self.ways().items() if count != before.get(where, 0)}

    def waits_for(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return met

    def rekeyed(self):
        return self.said(self.a).count("has new keys")


class FailsOver(Negotiates):
    """The first peer of gw-a's entry is nobody."""

    changes = {"gw-a": {"peers": " set peer 192.0.2.99\n set peer 192.0.2.2\n"}, "gw-b": {}}

    def test_the_second_peer_is_taken(self):
        self.raise_tunnel(30)
        self.assertIn("the peer does not answer; trying the next one", self.said(self.a))
        # And asked first the next time.
        self.clear()
        began = time.monotonic()
        self.raise_tunnel()
        self.assertLess(time.monotonic() - began, 8)


class Explains(Negotiates):
    """A difference between the ends is named at both."""

    def mismatch(self, changes, at_a, at_b):
        self.reload(self.b, SITE_B)
        self.reload(self.a, SITE_A, **changes)
        marks = [len(self.said(gateway)) for gateway in (self.a, self.b)]
        ping(self.lab, SITE_A, SITE_B, 4, count=1, patience=1)
        for gateway, mark, wanted in ((self.a, marks[0], at_a), (self.b, marks[1], at_b)):
            self.eventually(f"{gateway.role} to say {wanted!r}", lambda g=gateway, m=mark, w=wanted: w in self.said(g)[m:])
            failures = gateway.json("show", "crypto", "session", "--json")["failures"]
            self.assertTrue(any(wanted in failure["why"] for failure in failures), failures)
        self.assertEqual(self.a.associations(), [])

    def test_a_group_that_the_other_has_not(self):
        # To another Espalier each end says what it would have taken.
        both = "first difference in dh-group"
        self.mismatch({"ike_group": "20"}, both, both)

    def test_a_key_that_is_not_the_same(self):
        self.mismatch(
            {"key": "5ec2e7-that-is-another"},
            "AUTHENTICATION_FAILED: to the peer, our identity or our proof of it is wrong",
            "the pre-shared key of fqdn gw-a.example.net is not the one that the peer has",
        )

    def test_a_transform_that_the_other_has_not(self):
        both = "first difference in encryption: ours "
        self.mismatch({"transform": "esp-gcm 128"}, both, both)
        # No key of ours is said.
        for gateway in (self.a, self.b):
            self.assertNotIn("5ec2e7", self.said(gateway))


class Hub(Negotiates):
    """gw-a has a dynamic map: it knows gw-b by name and key, and neither its address nor what is behind it."""

    @classmethod
    def setUpClass(cls):
        LabCase.setUpClass.__func__(cls)
        config = cls.lab.folder / "hub.conf"
        config.write_text(negotiated.hub())
        cls.lab.add_gateway(SITE_A, config).start()
        cls.lab.add_gateway(SITE_B, negotiated.write(cls.lab, SITE_B, ike_group="19")).start()
        for gateway in cls.lab.gateways:
            gateway.wait_ready(sas=0)
        cls.lab.network.wait_for_hosts()
        cls.a, cls.b = cls.lab.gateways

    def raise_from_b(self):
        def answered():
            return ping(self.lab, SITE_B, SITE_A, 4, count=1, patience=1)["received"]

        self.eventually("a ping to be answered", answered, 20)
        self.eventually("one pair of SAs at each gateway", lambda: self.settled(self.a) and self.settled(self.b))

    def test_a_spoke_comes_and_goes_and_comes_again(self):
        for _ in range(2):
            capture = Capture(self.lab, marks=(PING_MARK[:12],))
            self.raise_from_b()
            first_contact(self.lab, SITES)
            rows = [
                ping(self.lab, sender, receiver, family, count=20)
                for sender, receiver in (SITES, SITES[::-1])
                for family in (4, 6)
            ]
            self.assertEqual([row for row in rows if row["sent"] != row["received"]], [])
            wire = capture.stop()
            self.assertEqual(wire["cleartext_packets"], 0, wire)
            (session,) = self.a.json("show", "crypto", "session", "--json")["sessions"]
            self.assertEqual((session["policy"], session["status"]), ("SITES 65000/SPOKES 10", "up"))
            of_map = ("show", "crypto", "ipsec", "sa", "map", "SITES")
            pair = self.a.json(*of_map, "--json")["sa"]
            self.assertEqual({(sa["map_sequence"], sa["dynamic_map"]) for sa in pair}, {(65000, "SPOKES 10")}, pair)
            self.assertTrue(all(3000 < sa["remaining_seconds"] <= 3600 for sa in pair), pair)
            text = self.a.espalier(*of_map).stdout
            self.assertRegex(text, r"Crypto map tag: SITES 65000, dynamic SPOKES 10, local addr")
            self.assertRegex(text, r"path mtu 1600, ip mtu 1600, ip mtu idb wan\n")
            self.assertRegex(text, r"remaining key lifetime \(k/sec\): \(\w+/3\d\d\d\)")
            # New keys in its place, under the same rules.
            before = self.spis(self.a)
            self.b.espalier("clear", "crypto", "session")
            self.eventually("no SA to be left", lambda: not self.a.associations() and not self.b.associations())
            self.raise_from_b()
            self.assertNotEqual(self.spis(self.a), before)
            self.a.espalier("clear", "crypto", "session")
            self.eventually("no SA to be left", lambda: not self.a.associations() and not self.b.associations())

    def test_a_stranger_is_not_let_in(self):
        self.reload(self.b, SITE_B, ike_group="19", key="5ec2e7-that-is-another")
        ping(self.lab, SITE_B, SITE_A, 4, count=1, patience=1)
        wanted = "the pre-shared key of fqdn gw-b.example.net is not the one that the peer has"
        self.eventually("gw-a to say so", lambda: wanted in self.said(self.a))
        self.assertEqual(self.a.associations(), [])
        self.reload(self.b, SITE_B, ike_group="19")


class Certified(Negotiates):
    """Both prove themselves by certificates out of files; the second time round, with other kinds of keys."""

    changes = {}

    @classmethod
    def setUpClass(cls):
        LabCase.setUpClass.__func__(cls)
        cls.authority = Authority(cls.lab.folder)
        for site in SITES:
            cls.lab.add_gateway(site, negotiated.write(cls.lab, site, **cls.papers(site, "p256"))).start()
        for gateway in cls.lab.gateways:
            gateway.wait_ready(sas=0)
        cls.lab.network.wait_for_hosts()
        cls.a, cls.b = cls.lab.gateways

    @classmethod
    def papers(cls, site, kind):
        return negotiated.papers(cls.authority, site, kind)

    def test_each_kind_of_key(self):
        self.raise_tunnel()
        for kind in ("rsa", "ed25519"):
            before = self.spis(self.a)
            for gateway, site in ((self.b, SITE_B), (self.a, SITE_A)):
                self.reload(gateway, site, **self.papers(site, kind))
            self.raise_tunnel()
            self.assertNotEqual(self.spis(self.a), before)

    def test_a_file_that_is_not_there_changes_nothing(self):
        self.raise_tunnel()
        before = self.spis(self.a)
        papers = self.papers(SITE_A, "p256")
        papers["profile"] = papers["profile"].replace("ca-certificate /", "ca-certificate /nowhere/")
        self.a.config.write_text(negotiated.config(SITE_A, **papers))
        said = self.a.espalier("reload", check=False)
        self.assertIn("trustpoint CA: cannot read /nowhere/", said.stderr)
        self.assertEqual(self.spis(self.a), before)
        self.assertEqual(ping(self.lab, SITE_A, SITE_B, 4, count=5)["received"], 5)
