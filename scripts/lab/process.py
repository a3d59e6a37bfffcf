"""Starting programs in a namespace, and ending them: only ever those that were started here, by their own pid."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something did not work; the text is for the person at the terminal."""


class _Shield:
    """Used as `with shield:` in the main thread, where signals cut in: holds an interruption back while a child is
    being started that nobody could end yet, or a short command runs."""

    def __init__(self):
        self.depth = 0
        self.held = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.depth += 1

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            self.depth -= 1
            if self.depth == 0 and self.held is not None:
                held, self.held = self.held, None
                raise held

    def interrupt(self, exception):
        """For a signal's handler: raises `exception`, now or when the shield is put down."""
        if self.depth == 0:
            raise exception
        self.held = exception


shield = _Shield()


def in_namespace(namespace, command):
    """The command line that runs `command` in `namespace`."""
    command = [str(word) for word in command]
    return command if namespace is None else ["ip", "netns", "exec", namespace, *command]


def call(*command, namespace=None, check=True, timeout=60, stdin=None):
    """Runs a short command to its end and returns what it did; raises `Failed` with what it said."""
    line = in_namespace(namespace, command)
    try:
        with shield:
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=timeout, start_new_session=True, input=stdin
            )
    except FileNotFoundError as error:
        raise Failed(f"{line[0]} is not installed; run scripts/setup") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"'{' '.join(line)}' did not end within {timeout} seconds") from error
    if check and done.returncode != 0:
        raise Failed(f"'{' '.join(line)}' failed: {(done.stderr or done.stdout).strip()}")
    return done


def start_time(pid):
    """When the process of this pid started, in clock ticks since boot; None if there is none. Tells a process from
    a later one that was given the same pid."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


class Process:
    """A program that runs in the background, with its output in a file."""

    def __init__(self, name, command, log, namespace=None, stdout=None, environment=None, outlives=False):
        """`stdout=subprocess.PIPE` keeps the output for the caller; only what it says on stderr is logged then.
        A process that `outlives` us stays when we are killed; any other goes with us."""
        self.name = name
        self.log = Path(log)

        def last_breath():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self.log, "ab") as out:
            # What an earlier process of this name said is not what this one says.
            self.said_before = out.tell()
            try:
                self.child = subprocess.Popen(
                    in_namespace(namespace, command),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout if stdout is not None else out,
                    stderr=out,
                    start_new_session=True,
                    env=None if environment is None else {**os.environ, **environment},
                    preexec_fn=None if outlives else last_breath,
                )
            except FileNotFoundError as error:
                raise Failed(f"{name} cannot be started: {error}") from error
        self.pid = self.child.pid
        self.started = start_time(self.pid)

    def running(self):
        return self.child.poll() is None

    def status(self):
        """Its exit status; None while it runs."""
        return self.child.poll()

    def kill(self):
        """Ends it without warning, as a crash would."""
        self.child.kill()
        self.child.wait()

    def stop(self, by=signal.SIGTERM, patience=5.0):
        """Asks it to end, and ends it when it does not."""
        if self.running():
            self.child.send_signal(by)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.returncode

    def said(self, lines=12):
        """The last lines of its log, of what it said itself."""
        try:
            said = self.log.read_bytes()[self.said_before :].decode(errors="replace")
            return "\n".join(said.splitlines()[-lines:])
        except OSError:
            return ""


def end_by_pid(pid, started, patience=3.0):
    """Ends a process of an earlier life of this script, if it is still the same one."""
    if started is None or start_time(pid) != started:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if start_time(pid) != started:
            return
        time.sleep(0.05)
    if start_time(pid) == started:
        os.kill(pid, signal.SIGKILL)


def wait_until(what, condition, seconds, every=0.05):
    """Waits until `condition()` gives something true and returns that. `what` ends the sentence 'waited ... for'."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:g} seconds in vain for {what}")
        time.sleep(every)
