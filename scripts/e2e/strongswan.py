"""strongSwan's charon in a namespace of the laboratory, told what to do by swanctl: an IKE peer that is not ours.

It is Debian's, with the plugin kernel-libipsec: ESP in user space and in UDP only, without extended sequence numbers."""

import re
from pathlib import Path

from lab.process import Failed, call, wait_until

CHARON = Path("/usr/lib/ipsec/charon")
SETTINGS = """
charon {{
    load_modular = yes
    install_routes = no
    install_virtual_ip = no
    retransmit_timeout = 1
    retransmit_tries = 3
    keep_alive = {keep_alive}
    fragment_size = 700
    make_before_break = yes
    filelog {{
        log {{
            path = {folder}/charon.log
            default = 1
            ike = 2
            cfg = 2
            flush_line = yes
        }}
    }}
    plugins {{
        include /etc/strongswan.d/charon/*.conf
        kernel-libipsec {{
            load = yes
            allow_peer_ts = yes
        }}
        vici {{
            socket = unix://{folder}/vici
        }}
        bypass-lan {{
            load = no
        }}
    }}
}}
"""
_IKE = re.compile(r"^(\S+): #\d+, (\w+), IKEv2, ([0-9a-f]+)_i\*? ([0-9a-f]+)_r\*?$")
_CHILD = re.compile(r"^  (\S+): #\d+, reqid \d+, (\w+), (\S+), (ESP\S+)$")
_SPI = re.compile(r"^    (in|out) +([0-9a-f]{8}).*?(\d+) packets")


class StrongSwan:
    """One charon. It ends with the laboratory."""

    def __init__(self, lab, role, keep_alive=20):
        """`keep_alive`: after how many silent seconds it says something, behind a translator; 0: never."""
        self.lab, self.role = lab, role
        self.folder = lab.folder / f"strongswan-{role}"
        (self.folder / "run").mkdir(parents=True)
        # Where swanctl looks for private keys, beside its configuration.
        self.private = self.folder / "private"
        self.private.mkdir()
        self.uri = f"unix://{self.folder}/vici"
        self.settings = self.folder / "strongswan.conf"
        self.settings.write_text(SETTINGS.format(folder=self.folder, keep_alive=keep_alive))
        self.start()

    def start(self):
        # Its process ID file lives in /run, of which each charon needs one of its own.
        script = 'mount --bind "$1" /run && exec env STRONGSWAN_CONF="$2" "$3"'
        command = ["unshare", "-m", "sh", "-c", script, "charon", self.folder / "run", self.settings, CHARON]
        self.process = self.lab.start(f"charon in {self.role}", command, f"charon-{self.role}.out", self.role)
        wait_until("charon to listen", lambda: (self.folder / "vici").exists(), 15)

    def come_anew(self):
        """Dies without a word to anybody, and starts without a memory."""
        self.process.kill()
        (self.folder / "vici").unlink(missing_ok=True)
        self.start()

    def swanctl(self, *words, check=True, timeout=30):
        return call(
            "swanctl", *words, "--uri", self.uri,
            namespace=self.lab.network.namespace(self.role), check=check, timeout=timeout,
        )  # fmt: skip

    def load(self, config):
        """Takes a swanctl.conf as its whole configuration."""
        path = self.folder / "swanctl.conf"
        path.write_text(config)
        said = self.swanctl("--load-all", "--noprompt", "--clear", "--file", path).stdout
        if "loaded connection" not in said:
            raise Failed(f"swanctl loaded no connection:\n{said}")

    def sas(self):
        """Its IKE SAs with their children: state, SPIs, suites, as `swanctl --list-sas` shows them."""
        sas = []
        for line in self.swanctl("--list-sas").stdout.splitlines():
            if found := _IKE.match(line):
                sas.append({"state": found[2], "spis": (found[3], found[4]), "suite": None, "children": []})
            elif found := _CHILD.match(line):
                sas[-1]["children"].append({"state": found[2], "mode": found[3], "suite": found[4]})
            elif found := _SPI.match(line):
                sas[-1]["children"][-1][found[1]] = int(found[2], 16)
                sas[-1]["children"][-1][f"{found[1]}_packets"] = int(found[3])
            elif sas and sas[-1]["suite"] is None and re.match(r"^  [A-Z0-9_]+[-/]", line):
                sas[-1]["suite"] = line.strip()
        return sas

    def log(self, lines=30):
        """What it said last."""
        path = self.folder / "charon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
