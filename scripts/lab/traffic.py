"""Real programs between the hosts: ping of many sizes, and iperf3 by TCP and UDP."""

import json
import re
import threading
import time

from .names import HOST_LINK
from .process import Failed, call, wait_until

# Bytes behind the ICMP header: around every boundary of AES blocks and small packets, and up to the LAN's MTU.
PING_SIZES_V4 = (16, 17, 31, 32, 56, 64, 100, 128, 200, 256, 400, 512, 768, 1000, 1024, 1280, 1400, 1471, 1472)
PING_SIZES_V6 = (16, 17, 31, 32, 56, 64, 100, 128, 200, 256, 400, 512, 768, 1000, 1024, 1280, 1400, 1451, 1452)
# What ping fills its packets with, so that a packet left in clear is known by sight.
PING_MARK = bytes.fromhex("e5b011e4e5b011e4e5b011e4e5b011e4")

_TRANSMITTED = re.compile(r"(\d+) packets transmitted, (\d+) received")
_ROUND_TRIP = re.compile(r"= ([\d.]+)/([\d.]+)/([\d.]+)/")


def answers(lab, site):
    """Answers to IPv4 pings that the Linux of a site's host has had. Of a long stream of pings, ping itself may lose some for
    want of a buffer, and waits for the last only as long as for twice the slowest before it."""
    _, said = lab.complete("the count of answers", ["cat", "/proc/net/snmp"], site.host)
    names, counts = (line.split() for line in said.splitlines() if line.startswith("Icmp:"))
    return int(counts[names.index("InEchoReps")])


# Pings that are sent at once, at most.
AT_ONCE = 100


def ping(lab, sender, receiver, family, size=56, count=10, patience=2):
    """Pings; returns what ping counted. `sender` and `receiver` are sites, `size` is the ICMP payload in bytes.

    All packets are sent at once, and the last answer may take `patience` seconds. Once one answer has come, ping waits
    for the others only for its interval (`-i`), or twice the longest round trip, and not for `-W`: were the
    interval short, an answer that came late would be called lost. With all sent ahead (`-l`), the interval costs
    no time.

    No more than AT_ONCE, though: ping asks for a receive buffer that holds 146 small answers, and when these come before it
    reads it loses the others, while Linux counts them as received."""
    if not 0 < count <= AT_ONCE:
        raise ValueError(f"{count} pings at once are not between 1 and {AT_ONCE}, as many as ping can hold the answers of")
    _, said = lab.complete(
        f"ping from {sender.host} to {receiver.host}",
        [
            "ping", f"-{family}", "-n", "-q", "-c", count, "-l", count, "-i", patience, "-W", patience, "-s", size,
            "-M", "do", "-p", PING_MARK.hex(), receiver.host_address(family),
        ],
        sender.host,
        timeout=patience + 30,
    )  # fmt: skip
    numbers = _TRANSMITTED.search(said)
    if not numbers:
        raise Failed(f"ping from {sender.host} to {receiver.host} did not run: {said.strip()}")
    times = _ROUND_TRIP.search(said)
    return {
        "from": sender.host,
        "to": receiver.host,
        "family": family,
        "size": size,
        "sent": int(numbers[1]),
        "received": int(numbers[2]),
        "rtt_ms": {"min": float(times[1]), "avg": float(times[2]), "max": float(times[3])} if times else None,
    }


def first_contact(lab, sites):
    """One ping each way in each family, one after the other, so that hosts and gateways learn each other's link-layer
    addresses before there are many packets at once: Linux keeps a hundred of them while it asks. These pings count like
    all others. Returns their rows."""
    return [
        ping(lab, sender, receiver, family, count=1)
        for family in (4, 6)
        for sender, receiver in (sites, sites[::-1])
    ]


def ping_all_sizes(lab, sites, count=10, progress=lambda done, of: None):
    """Every size, both families, both directions; IPv4 and IPv6 at the same time. Returns one row per size."""
    rows, failures = [], []
    total = 2 * (len(PING_SIZES_V4) + len(PING_SIZES_V6))

    def run(family, sizes):
        try:
            for sender, receiver in (sites, sites[::-1]):
                for size in sizes:
                    rows.append(ping(lab, sender, receiver, family, size, count))
        except Failed as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=run, args=(4, PING_SIZES_V4), daemon=True),
        threading.Thread(target=run, args=(6, PING_SIZES_V6), daemon=True),
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        progress(len(rows), total)
    if failures:
        raise failures[0]
    return rows


def link_counters(lab, role, link):
    """What Linux counts of a link since it was made: `rx` and `tx`, each with `bytes` and `packets`."""
    shown = json.loads(call("ip", "-n", lab.network.namespace(role), "-s", "-j", "link", "show", link).stdout)
    return shown[0].get("stats64") or shown[0]["stats"]


class Iperf:
    """iperf3 servers in one host and clients in another."""

    def __init__(self, lab, client, server):
        self.lab, self.client, self.server = lab, client, server
        self.process = lab.start(
            f"iperf3 server in {server.host}", ["iperf3", "-s", "--forceflush"], f"iperf3-{server.host}.log", server.host
        )
        wait_until("iperf3 to listen", lambda: "listening" in self.process.said() or not self.process.running(), 10)
        if not self.process.running():
            raise Failed(f"iperf3 did not start: {self.process.said()}")

    def run(self, name, seconds, family=4, udp_rate=None, tcp_pace=None, reverse=False, progress=lambda done, rate: None):
        """One measurement. `udp_rate` in bit/s makes it UDP. `tcp_pace` in bit/s makes TCP send no faster, also not to catch
        up, and have no more than some fifty packets on their way, which every queue has room for, also while nobody takes
        from it. Returns the facts; `ok` is whether data arrived."""
        command = [
            "iperf3", f"-{family}", "-c", self.server.host_address(family), "-J", "-t", seconds,
            "--connect-timeout", 5000,
        ]  # fmt: skip
        if udp_rate:
            command += ["-u", "-b", udp_rate, "-l", 1300]
        if tcp_pace:
            command += ["--fq-rate", tcp_pace, "-w", "32K"]
        if reverse:
            command.append("-R")
        log = self.lab.folder / f"iperf3-{name}.json"
        process = self.lab.start(f"iperf3 {name}", command, log.name, self.client.host)
        sink = self.client.host if reverse else self.server.host
        began, before = time.monotonic(), link_counters(self.lab, sink, HOST_LINK)["rx"]["bytes"]
        last, last_at = before, began
        try:
            while process.running():
                time.sleep(0.25)
                now, at = link_counters(self.lab, sink, HOST_LINK)["rx"]["bytes"], time.monotonic()
                if at - last_at >= 0.5:
                    progress(at - began, (now - last) * 8 / (at - last_at))
                    last, last_at = now, at
                if at - began > seconds + 30:
                    raise Failed(f"iperf3 {name} did not end; its last words:\n{process.said()}")
        finally:
            process.stop()
        return self._read(log, name, family, bool(udp_rate), reverse)

    def _read(self, log, name, family, udp, reverse):
        ends = (self.server, self.client) if reverse else (self.client, self.server)
        facts = {"name": name, "family": family, "from": ends[0].host, "to": ends[1].host}
        try:
            report = json.loads(log.read_text())
            if "error" in report:
                raise Failed(report["error"])
            if udp:
                total = report["end"]["sum"]
                facts |= {
                    "bits_per_second": total["bits_per_second"] * (1 - total["lost_percent"] / 100),
                    "sent": total["packets"],
                    "lost": total["lost_packets"],
                    "jitter_ms": total["jitter_ms"],
                }
            else:
                facts |= {
                    "bits_per_second": report["end"]["sum_received"]["bits_per_second"],
                    "bytes": report["end"]["sum_received"]["bytes"],
                    "retransmits": report["end"]["sum_sent"].get("retransmits"),
                }
            facts["ok"] = facts["bits_per_second"] > 0
        except (Failed, ValueError, KeyError) as error:
            facts |= {"bits_per_second": 0.0, "error": str(error) or "its report cannot be read", "ok": False}
        return facts

    def stop(self):
        self.process.stop()
