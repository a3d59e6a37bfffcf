"""What a test gets: a laboratory, gateways that run in it, a limit to its time, and their logs when it fails."""

import signal
import time
import unittest

from lab.lab import REPOSITORY, Lab

# Gateways whose keys are written down: what most tests are about is not how keys come to be.
MANUAL_CONFIGS = REPOSITORY / "scripts" / "e2e" / "manual"


class TooLong(BaseException):
    """The test's time is up."""


class LabCase(unittest.TestCase):
    """Tests that share a laboratory. `gateways` says whether Espalier runs in it from the start."""

    gateways = True
    # What one test may take, and what building the laboratory may.
    seconds = 60

    @classmethod
    def setUpClass(cls):
        with limit(cls.seconds, f"{cls.__name__}'s laboratory"):
            cls.lab = Lab(configs=MANUAL_CONFIGS)
            cls.lab.__enter__()
            cls.addClassCleanup(cls.lab.__exit__, None, None, None)
            if cls.gateways:
                cls.a, cls.b = cls.lab.start_gateways()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        try:
            with limit(self.seconds, self.id()):
                outcome = super().run(result)
        except TooLong as late:
            result.addError(self, (TooLong, AssertionError(str(late)), late.__traceback__))
            outcome = result
        if result and len(result.failures) + len(result.errors) > before:
            self._show_logs()
        return outcome

    def _show_logs(self):
        for process in self.lab.processes:
            if "espalier" in process.name:
                print(f"--- {process.name}, status {process.status()}, said last:\n{process.said(20)}", flush=True)

    def eventually(self, what, condition, seconds=10):
        """Waits until `condition()` gives something true; fails with what it gave last."""
        deadline = time.monotonic() + seconds
        while True:
            seen = condition()
            if seen:
                return seen
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {seconds:g} seconds; last seen: {seen!r}")
            time.sleep(0.05)


class limit:
    """Raises `TooLong` in the main thread when the time is up."""

    def __init__(self, seconds, what):
        self.seconds, self.what = seconds, what

    def __enter__(self):
        signal.signal(signal.SIGALRM, self._up)
        signal.alarm(self.seconds)

    def __exit__(self, *_):
        signal.alarm(0)

    def _up(self, *_):
        raise TooLong(f"{self.what} took longer than {self.seconds} seconds")
