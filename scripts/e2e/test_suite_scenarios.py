"""A suite of each kind in every way in which ESP can go: mode, families, UDP. Each byte that can be foretold is."""

import itertools
import os
from dataclasses import dataclass

from . import esp
from .scenarios import HEAD, Scenario
from .suites import Association, Suite, all_suites
from .test_scenarios import SIZES, ScenarioCase

# One of each kind, with HMACs of every length.
KINDS = (
    "esp-gcm 192 icv 8",
    "esp-gmac 256",
    "esp-chacha20-poly1305",
    "esp-null esp-sha384-hmac",
    "esp-3des esp-sha-hmac",
    "esp-aes 256 esp-sha256-hmac",
    "esp-aes-ctr 128 esp-sha512-hmac",
)


@dataclass(frozen=True)
class SuiteSa(esp.Sa):
    """One direction of an SA of any suite."""

    association: Association = None

    # CBC's must not be foretold, and NULL has none.
    counts = False

    @property
    def block(self):
        return self.association.suite.block

    @property
    def iv(self):
        return self.association.suite.iv

    def seal(self, sequence, plaintext, iv=None):
        iv = os.urandom(self.iv) if iv is None else iv
        return self.association.seal(sequence, iv, plaintext)


@dataclass(frozen=True)
class SuiteScenario(Scenario):
    """An entry with a suite of its own."""

    suite: Suite = None

    def __str__(self):
        return f"{super().__str__()}-{self.suite.words.replace(' ', '-')}"

    @property
    def transforms(self):
        return self.suite.words

    def session_key(self, direction):
        return self.sa(direction).association.words

    def material(self, direction):
        return b"", b""

    def sa(self, direction):
        plain = super().sa(direction)
        return SuiteSa(**plain.__dict__, association=Association(self.suite, plain.spi, self.esn))


def _all():
    suites = {suite.words: suite for suite in all_suites()}
    numbers = itertools.count()
    for mode, outer, inner, udp in itertools.product(("tunnel", "transport"), (4, 6), (4, 6), (False, True)):
        if mode == "transport" and outer != inner:
            continue
        for words in KINDS:
            number = next(numbers)
            yield SuiteScenario(number, mode, outer, inner, 0, number % 2 == 1, udp, suites[words])


SCENARIOS = tuple(_all())


class SuiteScenarios(ScenarioCase):
    """gw-a with an entry for each."""

    config_text = HEAD + "\n".join(scenario.config() for scenario in SCENARIOS) + "\nend\n"
    scenarios = SCENARIOS
    others = ()

    def test_out_every_byte_is_as_foretold(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario=str(scenario)):
                tos = scenario.number * 4 % 256 | 1
                self.assert_sealed(scenario, [self.inner_out(scenario, size, tos) for size in SIZES])

    def test_in_every_byte_arrives(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario=str(scenario)):
                sa = scenario.sa("inbound")
                for size in SIZES:
                    inner = self.inner_in(scenario, size)
                    self.assert_taken(scenario, esp.encapsulated(sa, self.next_number(sa), inner), inner)

    def test_nothing_altered_comes_in(self):
        for scenario in SCENARIOS:
            with self.subTest(scenario=str(scenario)):
                sa = scenario.sa("inbound")
                altered = bytearray(esp.encapsulated(sa, self.next_number(sa), self.inner_in(scenario, 40)))
                altered[-1] ^= 1
                self.assert_dropped({"esp_bad_icv": 1}, [bytes(altered)])

    def test_zz_a_peer_that_moves_is_followed(self):
        """Its SAs are made again for that, and go on with their numbers and keys."""
        for scenario in (scenario for scenario in SCENARIOS if scenario.udp):
            with self.subTest(scenario=str(scenario)):
                sa, out = scenario.sa("inbound"), scenario.sa("outbound")
                inner = self.inner_in(scenario, 10)
                there = SuiteSa(**{**sa.__dict__, "ports": (61000, esp.PORT)})
                self.assert_taken(scenario, esp.encapsulated(there, self.next_number(sa), inner), inner)
                self.eventually("the port to move", lambda out=out: self.is_moved(out))
                to = SuiteSa(**{**out.__dict__, "ports": (esp.PORT, 61000)})
                self.assert_sealed(scenario, [self.inner_out(scenario, size) for size in (9, 10)], to)
                self.assert_taken(scenario, esp.encapsulated(there, self.next_number(sa), inner), inner)

    def is_moved(self, sa):
        shown = next(shown for shown in self.gateway.associations() if shown["spi"] == sa.spi)
        return (shown["moved_to"] or "").endswith(":61000")
