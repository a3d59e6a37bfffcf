"""Our IKE endpoint in a namespace of the laboratory, by the example `ike-peer` of crate ike."""

import json
import subprocess
import time


class IkePeer:
    """One endpoint: commands go in, events come out. It ends with the laboratory."""

    def __init__(self, lab, role, **options):
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        program = lab.program("examples/ike-peer")
        log = f"ike-peer-{role}-{time.monotonic_ns()}.log"
        # The laboratory closes standard input; a pipe in a shell of its own is where commands come from.
        self.commands = lab.folder / f"{log}.in"
        subprocess.run(["mkfifo", self.commands], check=True)
        script = 'exec "$0" "${@:2}" <>"$1"'
        command = ["bash", "-c", script, program, self.commands, *words]
        self.process = lab.start(f"espalier ike-peer in {role}", command, log, role)
        self.wait("ready")

    def say(self, command):
        with open(self.commands, "w") as pipe:
            pipe.write(command + "\n")

    def events(self, kind=None):
        """All events so far, or those of a kind."""
        text = self.process.log.read_text(errors="replace")
        events = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in events if kind is None or event["event"] == kind]

    def wait(self, kind, count=1, seconds=10):
        """Waits for the `count`th event of a kind and returns it."""
        deadline = time.monotonic() + seconds
        while len(events := self.events(kind)) < count:
            if time.monotonic() > deadline or not self.process.running():
                raise AssertionError(f"no {kind} number {count} within {seconds} s; it said:\n{self.process.said(30)}")
            time.sleep(0.02)
        return events[count - 1]

    def show(self):
        """Its IKE SAs now."""
        count = len(self.events("show"))
        self.say("show")
        return self.wait("show", count + 1)["sas"]

    def stop(self):
        self.process.stop()
