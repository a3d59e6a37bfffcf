"""One Espalier gateway in its namespace: the two processes, and the operator's command."""

import json
import os
import shutil

from .process import Failed, Process, call, wait_until


class Gateway:
    """`espalier-dataplane` and `espalier-controlplane` of one site."""

    def __init__(self, lab, site, config, core):
        self.lab, self.site, self.core = lab, site, core
        self.role = site.gateway
        self.folder = lab.folder / self.role
        self.folder.mkdir(mode=0o700)
        self.config = self.folder / f"{self.role}.conf"
        shutil.copy(config, self.config)
        self.config.chmod(0o600)
        self.dataplane_socket = self.folder / "dataplane.sock"
        self.control_socket = self.folder / "control.sock"
        self.dataplane = None
        self.controlplane = None

    # --- The processes -------------------------------------------------------------------------------------------

    def start(self):
        self.start_dataplane()
        self.start_controlplane()

    def dataplane_command(self, socket=None, core=None, idle="sleep", options=(), eal=()):
        command = [
            self.lab.program("espalier-dataplane"), "--socket", socket or self.dataplane_socket,
            "--cores", self.core if core is None else core, "--idle", idle, *options,
        ]  # fmt: skip
        return [*command, "--", *eal] if eal else command

    def controlplane_command(self, control_socket=None):
        return [
            self.lab.program("espalier-controlplane"), "--config", self.config,
            "--dataplane-socket", self.dataplane_socket, "--control-socket", control_socket or self.control_socket,
        ]  # fmt: skip

    def start_dataplane(self, **options):
        self.dataplane = self.lab.start(
            f"espalier-dataplane of {self.role}",
            self.dataplane_command(**options),
            f"{self.role}/dataplane.log",
            self.role,
        )
        self._wait(self.dataplane, "its socket", lambda: self.dataplane_socket.is_socket(), 30)

    def start_controlplane(self):
        self.controlplane = self.lab.start(
            f"espalier-controlplane of {self.role}",
            # A data plane that was killed left its socket, so that the new one's is not known by its being there.
            [*self.controlplane_command(), "--wait", 30],
            f"{self.role}/controlplane.log",
            self.role,
        )

    def wait_ready(self, seconds=30, sas=2):
        """Until so many SAs are in the data plane (none, where IKE is to bring them) and the ports' links are up."""
        if sas:
            self._wait(self.controlplane, f"{sas} SAs to be installed", lambda: len(self.associations(quiet=True)) >= sas, seconds)
        self._wait(self.controlplane, "its ports to come up", self._ports_up, seconds)

    def _ports_up(self):
        ports = (self.stats(quiet=True) or {}).get("ports", [])
        return len(ports) >= 2 and all(port.get("link_up") for port in ports)

    def _wait(self, process, what, condition, seconds):
        def check():
            if not process.running():
                raise Failed(f"{process.name} ended by itself (status {process.status()}):\n{process.said()}")
            return condition()

        try:
            return wait_until(f"{process.name} and {what}", check, seconds)
        except Failed as failure:
            raise Failed(f"{failure}\n{process.name} said last:\n{process.said()}") from failure

    def stop(self):
        for process in (self.controlplane, self.dataplane):
            if process is not None:
                process.stop()

    # --- The operator's command ----------------------------------------------------------------------------------

    def environment(self):
        """What makes `espalier` speak to this gateway."""
        return {
            "ESPALIER_DATAPLANE_SOCKET": str(self.dataplane_socket),
            "ESPALIER_CONTROL_SOCKET": str(self.control_socket),
        }

    def espalier(self, *words, check=True):
        """Runs `espalier WORDS` for this gateway."""
        command = ["env", *(f"{name}={value}" for name, value in self.environment().items())]
        return call(*command, self.lab.program("espalier"), *words, check=check)

    def json(self, *words, quiet=False):
        """What `espalier WORDS` prints, read as JSON. With `quiet`, None where it fails."""
        done = self.espalier(*words, check=not quiet)
        if done.returncode != 0:
            return None
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise Failed(f"'espalier {' '.join(words)}' printed no JSON ({error}):\n{done.stdout[:400]}") from error

    def stats(self, quiet=False):
        return self.json("stats", quiet=quiet)

    def associations(self, quiet=False):
        """The SAs, as `show crypto ipsec sa --json` lists them."""
        shown = self.json("show", "crypto", "ipsec", "sa", "--json", quiet=quiet)
        return shown.get("sa", []) if shown else []


def two_cores():
    """Two cores that we may use, the same one twice where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[1 % len(cores)]
