"""Runs the tests in the order in which a person would want to know: first whether the instruments can be believed."""

import logging
import signal
import sys
import time
import unittest

# In the order of running.
MODULES = (
    "test_instruments",
    "test_oracles",
    "test_suites",
    "test_tunnel",
    "test_hostile",
    "test_scenarios",
    "test_suite_scenarios",
    "test_tfc",
    "test_implicit_iv",
    "test_size",
    "test_conservation",
    "test_datagrams",
    "test_vlan",
    "test_crashes",
    "test_access_lists",
    "test_refusals",
    "test_run_script",
    "test_ike",
    "test_negotiation",
    "test_misconfigured",
    "test_strongswan",
    "test_interop",
)


class Result(unittest.TextTestResult):
    """One line for each test, with its time."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def getDescription(self, test):
        return test.id().removeprefix("e2e.")

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok ({time.monotonic() - self.began:.1f} s)")
        self.stream.flush()


def flatten(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from flatten(each)
        else:
            yield each


def main(arguments):
    logging.getLogger("scapy").setLevel(logging.ERROR)
    loader = unittest.TestLoader()
    tests = list(flatten(loader.loadTestsFromNames([f"e2e.{module}" for module in MODULES])))
    if arguments == ["--list"]:
        print("\n".join(test.id().removeprefix("e2e.") for test in tests))
        return 0
    chosen = [test for test in tests if not arguments or any(word in test.id() for word in arguments)]
    if not chosen:
        print(f"no test is named like {' or '.join(arguments)}; --list names them", file=sys.stderr)
        return 2

    # A signal takes the way of an exception, so that every laboratory is taken down.
    def interrupted(number, _frame):
        raise KeyboardInterrupt(f"signal {number}")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(unittest.TestSuite(_by_class(chosen)))
    print(f"STEP: {result.testsRun} end-to-end tests")
    return 0 if result.wasSuccessful() else 1


def _by_class(tests):
    """Tests of a class in a suite of their own, so that its laboratory is built and taken down once."""
    suites = {}
    for test in tests:
        suites.setdefault(type(test), unittest.TestSuite()).addTest(test)
    return suites.values()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
