"""The whole laboratory of one run, and how to take it down again."""

import json
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

from .gateway import Gateway, two_cores
from .names import LAN_LINK, SITES, WAN_LINK
from .network import NAMESPACES, Network
from .process import Failed, Process, end_by_pid, in_namespace, shield

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_CONFIGS = REPOSITORY / "scripts" / "demo"
RUNS = Path("/tmp")
PREFIX = "espalier-"


def programs_folder():
    """Where the built programs are: ESPALIER_BIN, else cargo's release folder."""
    chosen = os.environ.get("ESPALIER_BIN")
    target = os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target"
    return Path(chosen) if chosen else Path(target) / "release"


class Lab:
    """Used as `with Lab() as lab:`; whatever happens inside, nothing is left behind, unless `keep` is set."""

    def __init__(self, keep=False, configs=DEMO_CONFIGS):
        """`configs`: the folder of the gateways' configurations, where none is named."""
        if os.geteuid() != 0:
            raise Failed("this needs root, for namespaces and packet sockets; run it as root or by sudo")
        self.keep, self.configs = keep, configs
        self.programs = programs_folder()
        self.processes = []
        self.lock = threading.Lock()
        self.closing = False
        while True:
            self.run = PREFIX + "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(4))
            self.folder = RUNS / self.run
            if any(path.name.startswith(self.run) for path in NAMESPACES.glob("*")):
                continue
            try:
                self.folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            break
        self.network = Network(self.run)
        self.gateways = []

    def __enter__(self):
        try:
            self._remember()
            self.network.build()
        except BaseException:
            self.keep = False
            self.take_down()
            raise
        return self

    def __exit__(self, *_):
        if self.keep:
            self._remember()
        else:
            self.take_down()

    def program(self, name):
        path = self.programs / name
        if not path.exists():
            raise Failed(f"{path} is not there; build it (cargo build --release), or say where it is with ESPALIER_BIN")
        return path

    def start(self, name, command, log, role=None, **options):
        """Starts a program in the namespace of `role`; it ends with the laboratory."""
        namespace = self.network.namespace(role) if role else None
        options = {"outlives": self.keep} | options
        with shield, self.lock:
            if self.closing:
                raise Failed(f"{name} is not started any more: the laboratory closes")
            process = Process(name, command, self.folder / log, namespace, **options)
            self.processes.append(process)
        return process

    def complete(self, name, command, role, timeout=60):
        """Runs a program to its end, from any thread; returns its exit status and all that it said. It too ends
        with the laboratory."""
        log = f"{secrets.token_hex(4)}.out"
        process = self.start(name, command, log, role, outlives=True)
        try:
            status = process.child.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{name} did not end within {timeout:g} seconds") from error
        finally:
            process.stop()
            with self.lock:
                if process in self.processes:
                    self.processes.remove(process)
        said = process.log.read_text(errors="replace") if process.log.exists() else ""
        process.log.unlink(missing_ok=True)
        return status, said

    def add_gateway(self, site, config=None):
        """A gateway that does not run yet. `config`: a path; default: the one of the laboratory's folder."""
        core = two_cores()[SITES.index(site)]
        gateway = Gateway(self, site, config or self.configs / f"{site.gateway}.conf", core)
        self.gateways.append(gateway)
        return gateway

    def start_gateways(self, sas=2):
        """Starts both gateways and waits until they are ready, with so many SAs: none, where IKE is to bring them."""
        for site in SITES:
            self.add_gateway(site).start()
        for gateway in self.gateways:
            gateway.wait_ready(sas=sas)
        self.network.wait_for_hosts()
        return self.gateways

    def mac(self, role, link):
        """The MAC address of an interface, as six bytes."""
        shown = json.loads(self.network.ip(role, "-j", "link", "show", link).stdout)
        return bytes.fromhex(shown[0]["address"].replace(":", ""))

    def forward_by_linux(self):
        """Puts plain Linux routers in the gateways' places: what the instruments are tried on."""
        for site, other in (SITES, SITES[::-1]):
            role = site.gateway
            self.network.sysctl(role, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            for link, v4, v6 in ((LAN_LINK, site.lan_v4, site.lan_v6), (WAN_LINK, site.wan_v4, site.wan_v6)):
                self.network.sysctl(role, f"net.ipv6.conf.{link}.disable_ipv6=0", f"net.ipv6.conf.{link}.accept_dad=0")
                self.network.ip(role, "link", "set", link, "arp", "on", "promisc", "off")
                self.network.ip(role, "address", "add", f"{v4}/24", "dev", link)
                self.network.ip(role, "-6", "address", "add", f"{v6}/64", "dev", link, "nodad")
            self.network.ip(role, "route", "add", f"{other.host_v4}/32", "via", other.wan_v4)
            self.network.ip(role, "-6", "route", "add", f"{other.host_v6}/128", "via", other.wan_v6)

    def take_down(self):
        """Ends every process that was started here, by its pid, and deletes the namespaces and the folder."""
        with self.lock:
            self.closing = True
        for process in self.processes[::-1]:
            process.stop()
        self.network.take_down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remember(self):
        """Writes down what `take_down_run` needs when we are gone."""
        state = {"processes": [[process.pid, process.started, process.name] for process in self.processes]}
        (self.folder / "run.json").write_text(json.dumps(state))

    def command_in(self, role, *command):
        """What a person types to run `command` in that namespace."""
        return " ".join(in_namespace(self.network.namespace(role), command))


def take_down_run(run):
    """Takes down a run that was kept, or whose script was killed."""
    if not run.startswith(PREFIX) or "/" in run:
        raise Failed(f"'{run}' is no run; runs are named {PREFIX}xxxx")
    folder = RUNS / run
    network = Network(run)
    found = folder.is_dir() or any((NAMESPACES / network.namespace(role)).exists() for role in network.roles)
    if not found:
        raise Failed(f"there is no run '{run}' here; standing runs: {', '.join(standing_runs()) or 'none'}")
    try:
        state = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        state = {"processes": []}
    for pid, started, _ in reversed(state["processes"]):
        end_by_pid(pid, started)
    network.take_down()
    shutil.rmtree(folder, ignore_errors=True)


def standing_runs():
    """The runs of which something is left on this machine."""
    names = {path.name for path in RUNS.glob(f"{PREFIX}????") if (path / "run.json").exists()}
    return sorted(names | {path.name[: len(PREFIX) + 4] for path in NAMESPACES.glob(f"{PREFIX}????-*")})
