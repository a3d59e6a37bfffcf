"""Reading `espalier stats`: drops by name, and whether every packet is accounted for."""

import time


class Counters:
    """One reading of one gateway's counters."""

    def __init__(self, stats):
        self.stats = stats
        workers = stats["workers"]
        self.drops = {}
        for worker in workers:
            for name, count in worker["drops"].items():
                self.drops[name] = self.drops.get(name, 0) + count
        rows = [row for worker in workers for row in worker["ports"]]
        self.received = sum(row["rx_packets"] for row in rows)
        self.sent = sum(row["tx_packets"] for row in rows)
        self.to_linux = sum(row["to_linux"] for row in rows)
        self.from_linux = sum(row["from_linux"] for row in rows)
        # Packets that inbound SAs took: authentic, new, and such as their selectors allow.
        self.accepted = sum(sa["packets"] for sa in stats["sa"] if sa["direction"] == "inbound")
        self.held = sum(worker["held"] for worker in workers)
        # Fragments that wait for the others, what became part of another packet, and what the gateway made itself.
        self.waiting = sum(worker["stored"] - worker["released"] for worker in workers)
        self.merged = sum(worker["merged"] for worker in workers)
        self.made = sum(worker["made"] for worker in workers)

    def port(self, name):
        return next(port for port in self.stats["ports"] if port["name"] == name)

    def mac(self, name):
        return bytes.fromhex(self.port(name)["mac"].replace(":", "").replace(".", ""))

    def unaccounted(self):
        """Packets that came in and left by no door; 0 in every gateway at rest."""
        came = self.received + self.from_linux + self.made
        left = self.sent + self.to_linux + sum(self.drops.values()) + self.merged
        return came - left - self.held - self.waiting

    def dropped_since(self, before):
        """The drops between an earlier reading and this one: only the reasons that rose."""
        rose = {name: count - before.drops.get(name, 0) for name, count in self.drops.items()}
        return {name: count for name, count in rose.items() if count}


def at_rest(read, seconds=5.0):
    """Reads counters until nothing moves any more, as packets may still be on their way. Returns the last reading."""
    deadline = time.monotonic() + seconds
    last = read()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = read()
        if (now.received, now.from_linux, now.sent, now.drops) == (last.received, last.from_linux, last.sent, last.drops):
            return now
        last = now
    return last
