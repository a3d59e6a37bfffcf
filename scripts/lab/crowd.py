"""scripts/bench ike: what a tunnel costs a gateway that many peers negotiate with."""

import argparse
import json
import os
import sys

from .lab import Lab, programs_folder
from .names import LAN_LINK, SITE_A, WAN_LINK
from .process import Failed, call, wait_until

CROWD = "198.51.100.1"
KEY = "that-everyone-in-the-crowd-knows"
CASES = {"psk-x25519": ("psk", "31"), "rsa2048-p256": ("rsa", "19")}
# What strongSwan 6.0.6 took on such a machine, both sides on two cores: ms of the responder a tunnel, and KiB a tunnel.
STRONGSWAN = {"psk-x25519": 0.58, "rsa2048-p256": 1.58}
STRONGSWAN_KIB = 13.8

HUB = f"""\
hostname hub
interface lan
 device net_af_packet0,iface={LAN_LINK}
 ip address {SITE_A.lan_v4} 255.255.255.0
interface wan
 device net_af_packet1,iface={WAN_LINK}
 ip address {SITE_A.wan_v4} 255.255.255.0
 crypto map HUB
crypto ikev2 proposal CROWD
 encryption aes-gcm-256
 prf sha256
 group {{group}}
crypto ikev2 policy CROWD
 proposal CROWD
{{papers}}\
crypto ikev2 profile CROWD
 match identity remote fqdn spoke.example.net
 identity local fqdn hub.example.net
 authentication remote {{method}}
 authentication local {{method}}
 {{source}}
crypto ipsec transform-set GCM esp-gcm 256
crypto dynamic-map CROWD 10
 set transform-set GCM
 set ikev2-profile CROWD
crypto map HUB 10 ipsec-isakmp dynamic CROWD
end
"""
KEYRING = f"""\
crypto ikev2 keyring CROWD
 peer spoke
  identity fqdn spoke.example.net
  pre-shared-key {KEY}
"""

EPILOG = """\
One gateway, both of its processes, and a crowd of initiators in one process beside it (the example ike-crowd of crate ike),
which raises one tunnel alone and then --count, --burst of them at a time; each is an IKE SA and a child SA with a rule of its
own, installed in the data plane before its peer hears of it. The gateway logs what it always logs.

A hundred thousand tunnels: --only psk --count 100000 --burst 256. A transaction costs more the more tunnels there are, and what
comes at once shares one.

Columns and JSON fields:
  tunnels        how many came up
  per_second     of them, in a second of time, initiator and responder on the same cores
  cpu_ms         what the control plane took of a core, per tunnel; pool_ms: of that, the threads of Diffie-Hellman and signatures
  manager_ms     what the data plane's manager took, per tunnel
  kib            by how much the control plane's memory grew, per tunnel
  beside         what strongSwan 6.0.6 took in cpu_ms (measured elsewhere)
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="scripts/bench ike",
        description="Measures what a tunnel costs a responder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, metavar="N", help="tunnels of a case (10000; with --quick 2000)")
    parser.add_argument("--burst", type=int, default=64, metavar="N", help="negotiations at a time (64)")
    parser.add_argument("--quick", action="store_true", help="fewer tunnels")
    parser.add_argument("--only", metavar="SUBSTR", default="", help=f"cases of this name: {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    count = options.count or (2000 if options.quick else 10_000)
    rows = []
    try:
        for name in CASES:
            if options.only in name:
                rows.append(measure(name, count, options.burst))
                say(rows[-1])
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump(rows, out, indent=2)
    return 0


def say(row):
    print(
        f"{row['case']:14} {row['tunnels']:7,} tunnels {row['per_second']:7.0f}/s   cpu {row['cpu_ms']:.3f} ms "
        f"(pool {row['pool_ms']:.3f}), strongSwan {row['beside']}   manager {row['manager_ms']:.3f} ms   {row['kib']:.1f} KiB",
        flush=True,
    )


def measure(name, count, burst):
    method, group = CASES[name]
    with Lab() as lab:
        mine = papers(lab.folder, "spoke") if method == "rsa" else ["--psk", KEY]
        config = lab.folder / "hub.conf"
        config.write_text(hub(lab, method, group))
        gateway = lab.add_gateway(SITE_A, config)
        gateway.start_dataplane(options=("--max-sas", max(131_072, 4 * count)))
        gateway.start_controlplane()
        gateway.wait_ready(sas=0)
        role = SITE_A.gateway
        lab.network.ip(role, "address", "add", f"{CROWD}/32", "dev", "lo")
        before = cpu(gateway), resident(gateway.controlplane.pid)
        command = [
            programs_folder() / "examples" / "ike-crowd", "--local", CROWD, "--remote", SITE_A.wan_v4,
            "--count", count + 1, "--burst", burst, "--group", f"group{group}", *mine,
        ]  # fmt: skip
        crowd = lab.start("the crowd", command, "crowd.out", role)
        wait_until("the crowd to come up", lambda: crowd.said(1).startswith("{") or not crowd.running(), 60 + count / 20)
        if not crowd.running():
            raise Failed(f"the crowd ended: {crowd.said()}")
        said = json.loads(crowd.said(1))
        if said["failed"]:
            raise Failed(f"{said['failed']} of {count} came to nothing: {said['why']}\n{gateway.controlplane.said()}")
        after = cpu(gateway), resident(gateway.controlplane.pid)
        held = sum(1 for sa in gateway.stats()["sa"])
        if held != 2 * (count + 1):
            raise Failed(f"the data plane holds {held} SAs, and not {2 * (count + 1)}")
        spent = {what: 1000 * (after[0][what] - before[0][what]) / count for what in after[0]}
        return {
            "case": name,
            "tunnels": count,
            "burst": burst,
            "seconds": said["seconds"],
            "per_second": count / said["seconds"],
            "retransmitted": said["retransmitted"],
            "cpu_ms": spent["control"],
            "pool_ms": spent["pool"],
            "manager_ms": spent["manager"],
            "kib": (after[1] - before[1]) / 1024 / count,
            "beside": STRONGSWAN[name],
            "beside_kib": STRONGSWAN_KIB,
        }


def hub(lab, method, group):
    if method == "psk":
        return HUB.format(group=group, method="pre-share", papers=KEYRING, source="keyring local CROWD")
    _, certificate, _, key, _, authority = papers(lab.folder, "hub")
    trustpoint = f"crypto pki trustpoint CA\n ca-certificate {authority}\n certificate {certificate}\n private-key {key}\n"
    return HUB.format(group=group, method="rsa-sig", papers=trustpoint, source="pki trustpoint CA")


def papers(folder, host):
    """A certificate for a host from an authority of RSA-2048, which is made first; as arguments of the crowd."""
    authority, its_key = folder / "authority.pem", folder / "authority.key"
    if not authority.exists():
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=authority", "-days", 2,
                "-keyout", its_key, "-out", authority)  # fmt: skip
    certificate, key, request = (folder / f"{host}.{kind}" for kind in ("pem", "key", "csr"))
    names = folder / f"{host}.names"
    names.write_text(f"subjectAltName=DNS:{host}.example.net\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", its_key, "-CAcreateserial", "-days", 2,
            "-extfile", names, "-out", certificate)  # fmt: skip
    key.chmod(0o600)
    return ["--certificate", certificate, "--key", key, "--authority", authority]


def openssl(*words):
    call("openssl", *words)


def cpu(gateway):
    """Seconds of a core that each part of the gateway has taken."""
    pool = sum(seconds for name, seconds in threads(gateway.controlplane.pid) if name.startswith("ike-pool"))
    # The thread that the data plane began with is its manager; workers and DPDK's helpers have names of their own.
    manager = next(seconds for _, seconds in threads(gateway.dataplane.pid))
    # The whole process, with threads that have ended: compilers of rules come and go.
    return {"control": seconds(f"/proc/{gateway.controlplane.pid}/stat")[1], "pool": pool, "manager": manager}


def threads(pid):
    """(name, seconds of a core) of each thread; the first is the process's own."""
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        yield seconds(f"/proc/{pid}/task/{task}/stat")


def seconds(path):
    """The name of a thread or process, and the seconds of a core that it has taken."""
    with open(path, encoding="utf-8") as file:
        head, _, tail = file.read().rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    """Bytes of memory that the process has to itself."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        private = [line.split() for line in file if line.startswith("Private")]
    return 1024 * sum(int(words[1]) for words in private)


if __name__ == "__main__":
    sys.exit(main())
