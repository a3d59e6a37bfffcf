"""scripts/run, as a person runs it: twice in a row, and interrupted in between."""

import json
import os
import signal
import subprocess
import time
import unittest

from lab.lab import REPOSITORY, standing_runs

from .case import limit


# Every process of a run inherits this, and is known by it.
MARK = "ESPALIER_TEST_MARK"


class RunScript(unittest.TestCase):
    """It reports facts, and leaves nothing behind."""

    def script(self, *arguments):
        # Its own programs are those under test, not a second build of them.
        return subprocess.Popen(
            [REPOSITORY / "scripts" / "run", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, MARK: self.mark},
        )

    def setUp(self):
        self.before = set(standing_runs())
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"

    def tearDown(self):
        self.assertEqual(set(standing_runs()) - self.before, set(), "something was left behind")

    def run_once(self, facts_file):
        process = self.script("--seconds", 2, "--json", facts_file)
        said, _ = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, said)
        with open(facts_file, encoding="utf-8") as file:
            facts = json.load(file)
        self.assertIs(facts["ok"], True)
        self.assertEqual((facts["ike"]["sas_before"], facts["ike"]["first"]["received"]), (0, 1))
        self.assertGreater(facts["ping"]["sent"], 100)
        self.assertEqual(facts["ping"]["sent"], facts["ping"]["received"])
        self.assertGreater(facts["tcp"]["bits_per_second"], 1_000_000)
        self.assertGreater(facts["wire"]["esp_packets"], facts["ping"]["sent"])
        self.assertEqual(facts["wire"]["cleartext_packets"], 0)
        self.assertEqual([gateway["name"] for gateway in facts["gateways"]], ["gw-a", "gw-b"])
        for gateway in facts["gateways"]:
            self.assertEqual(len(gateway["sa"]), 2)
            for association in gateway["sa"]:
                self.assertGreater(association["packets"], 100)
        self.assertIn("show crypto ipsec sa", said)
        self.assertIn("crypto ikev2 keyring PEERS", said)
        self.assertNotIn("\x1b[", said, "colours are for terminals")

    def test_twice_in_a_row(self):
        folder = os.environ.get("TMPDIR", "/tmp")
        file = f"{folder}/espalier-facts-{os.getpid()}.json"
        self.addCleanup(lambda: os.path.exists(file) and os.unlink(file))
        with limit(240, "two runs"):
            for _ in range(2):
                self.run_once(file)

    def test_interrupted_it_leaves_nothing(self):
        with limit(120, "an interrupted run"):
            for wanted in ("namespaces", "is watched"):
                process = self.script("--seconds", 30)
                for line in process.stdout:
                    if wanted in line:
                        break
                time.sleep(0.5)
                os.kill(process.pid, signal.SIGINT)
                said, _ = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 130, said)
                self.assertEqual(set(standing_runs()) - self.before, set(), "something was left behind")
                self.assertEqual(self.strays(), [], "a process was left behind")

    def strays(self):
        """The processes of our runs that still live."""
        mark, left = f"{MARK}={self.mark}".encode(), []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if mark in file.read():
                        left.append(entry)
            except OSError:  # it ended while we looked
                continue
        return left
