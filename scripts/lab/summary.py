"""What a person reads: progress while it runs, and the summary in the end."""

import os
import sys
import time


class Terminal:
    """Colours and a moving last line where there is a person to see them; plain lines where there is none."""

    def __init__(self, out=None):
        self.out = out or sys.stdout
        self.moving = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self.coloured = self.moving and not os.environ.get("NO_COLOR")
        self.began = time.monotonic()
        self.on_line = False

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured else text

    def bold(self, text):
        return self.paint("1", text)

    def dim(self, text):
        return self.paint("2", text)

    def green(self, text):
        return self.paint("32", text)

    def red(self, text):
        return self.paint("31;1", text)

    def yellow(self, text):
        return self.paint("33", text)

    def line(self, text=""):
        """A line that stays."""
        if self.on_line:
            self.out.write("\r\x1b[K")
            self.on_line = False
        self.out.write(text + "\n")
        self.out.flush()

    def stage(self, text):
        """Says what begins now."""
        self.line(f"{self.dim(f'{time.monotonic() - self.began:6.1f} s')}  {text}")

    def moving_line(self, text):
        """A line that the next one takes the place of; shown only to a person."""
        if self.moving:
            self.out.write(f"\r\x1b[K{self.dim(f'{time.monotonic() - self.began:6.1f} s')}  {text}")
            self.out.flush()
            self.on_line = True


def bar(part, width=30):
    full = round(max(0.0, min(1.0, part)) * width)
    return "█" * full + "░" * (width - full)


def rate(bits_per_second):
    """Bits per second, to three digits, as network people write them."""
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits_per_second >= size:
            value = bits_per_second / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{bits_per_second:.0f} bit/s"


def plural(count, one, many=None):
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def print_summary(terminal, facts, tunnel, shows):
    """`facts` as `--json` writes them; `tunnel` is what of gw-a's configuration the tunnel is made of; `shows` is what
    `show crypto ipsec sa` printed, by gateway."""
    say, dim, bold = terminal.line, terminal.dim, terminal.bold
    say()
    say(bold("  host-a ─── gw-a ═══════ ESP, AES-256-GCM ═══════ gw-b ─── host-b"))
    say()
    _traffic(say, dim, facts)
    say()
    say(bold("  What makes the tunnel, at gw-a") + dim("   (the whole: scripts/demo/gw-a.conf, and gw-b.conf)"))
    for line in tunnel:
        say(f"    {line}")
    for gateway in facts.get("gateways", []):
        name = gateway["name"]
        say()
        say(bold(f"  {name}# show crypto ipsec sa"))
        for line in shows.get(name, "").rstrip().splitlines():
            say(f"    {line}")
    say()
    for check in facts["checks"]:
        sign = terminal.green("✔") if check["holds"] else terminal.red("✘")
        say(f"  {sign} {check['what']}  {dim(check['seen'])}")
    say()
    if facts["ok"]:
        say(terminal.green("  The tunnel carried everything, and nothing crossed the wire in clear."))
    else:
        say(terminal.red("  Not as it should be: see the crosses above."))


def _traffic(say, dim, facts):
    ping, wire = facts.get("ping"), facts.get("wire")
    if ping:
        times = ping["rtt_ms"]
        spread = f"round trip {times['min']:.2f} / {times['avg']:.2f} / {times['max']:.2f} ms" if times else ""
        say(f"  ping   {ping['received']:,} of {ping['sent']:,} came back   {spread}")
        say(dim(f"         {ping['smallest']} to {ping['largest']} bytes of payload, IPv4 and IPv6, both ways"))
    for kind in ("tcp", "udp"):
        for run in facts.get(kind, {}).get("runs", []):
            way = f"{run['from']} → {run['to']} over IPv{run['family']}"
            if "error" in run:
                more = f"failed: {run['error']}"
            elif kind == "udp":
                more = f"{run['lost']:,} of {run['sent']:,} lost, jitter {run['jitter_ms']:.3f} ms"
            else:
                more = plural(run["retransmits"] or 0, "retransmit")
            say(f"  {kind.upper()}    {rate(run['bits_per_second']):>12}   {way}   {dim(more)}")
    if wire:
        noise = wire["arp_packets"] + wire["neighbour_discovery_packets"]
        say(
            f"  wire   {plural(wire['esp_packets'], 'ESP packet')}, {wire['cleartext_packets']:,} in clear   "
            + dim(f"{noise} of ARP and neighbour discovery")
        )
        if wire["missed_by_capture"]:
            say(dim(f"         the capture could not keep up with {wire['missed_by_capture']:,} more"))
