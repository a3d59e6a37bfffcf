"""scripts/run: two gateways raise a tunnel by IKEv2, carry real traffic between two hosts, and the wire is watched."""

import argparse
import contextlib
import json
import signal
import sys

from .capture import Capture
from .lab import Lab, standing_runs, take_down_run
from .names import SITE_A, SITE_B, SITES
from .process import Failed, shield
from .summary import Terminal, bar, print_summary, rate
from .traffic import PING_MARK, Iperf, first_contact, ping, ping_all_sizes

UDP_RATE = 50_000_000
INTERRUPTED = 130

EPILOG = """\
It needs root (or sudo) for network namespaces, and two cores are enough. Nothing of it touches your own network.
Exit status: 0 if the first ping raised the tunnel, no ping was lost, TCP flowed, both SAs of both gateways counted the packets, and the wire carried
ESP and not one packet in clear; 1 if not; 130 if interrupted.
"""


class Interrupted(BaseException):
    """Ctrl-C, or the like; not an `Exception`, so that nothing on the way takes it for a failure of its own."""


def main(arguments=None):
    options = _options().parse_args(arguments)
    terminal = Terminal()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.down:
            return _take_down(options.down, terminal)
        return _run(options, terminal)
    except Interrupted:
        terminal.line(terminal.yellow("interrupted; everything that was started is taken down"))
        return INTERRUPTED
    except Failed as failure:
        terminal.line()
        print(f"{terminal.red('error:')} {failure}", file=sys.stderr)
        return 1


def _options():
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Runs two Espalier gateways between two hosts, sends ping and TCP and UDP through their tunnel, "
        "and looks at the wire.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=_seconds, default=10, metavar="N", help="how long iperf3 sends (10)")
    parser.add_argument("--json", metavar="FILE", help="write the facts there")
    parser.add_argument("--keep", action="store_true", help="leave it standing, and say how to look around")
    parser.add_argument("--down", metavar="RUN", help="take down a run that was kept ('all': every one)")
    return parser


def _seconds(text):
    try:
        seconds = int(text)
    except ValueError:
        seconds = 0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds from 1 to 86400")
    return seconds


def _interrupt(number, _frame):
    # One is enough: what follows is the cleaning up, and it is not to be interrupted.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    shield.interrupt(Interrupted(number))


def _take_down(run, terminal):
    runs = standing_runs() if run == "all" else [run]
    for each in runs:
        take_down_run(each)
        terminal.line(f"{each} is taken down")
    if not runs:
        terminal.line("nothing stands here")
    return 0


def _run(options, terminal):
    facts = {"ok": False, "seconds": options.seconds, "checks": []}
    with _facts_file(options.json, facts):
        with Lab(keep=options.keep) as lab:
            facts["run"] = lab.run
            terminal.stage(f"namespaces host-a, gw-a, gw-b, host-b {terminal.dim(f'(run {lab.run})')}")
            lab.start_gateways(sas=0)
            terminal.stage("both gateways are up, without a key and without an SA")
            capture = Capture(lab, marks=(PING_MARK[:12],))
            terminal.stage("the wire between them is watched")
            facts["ike"] = _raise(lab, terminal)
            facts["ping"] = _ping(lab, terminal, facts["ike"]["first"])
            facts["tcp"], facts["udp"] = _iperf(lab, terminal, options.seconds)
            facts["wire"] = capture.stop()
            facts["gateways"] = [_gateway_facts(gateway) for gateway in lab.gateways]
            shows = {gateway.role: gateway.espalier("show", "crypto", "ipsec", "sa").stdout for gateway in lab.gateways}
            facts["checks"] = list(_checks(facts))
            facts["ok"] = all(check["holds"] for check in facts["checks"])
            print_summary(terminal, facts, _tunnel_lines(lab.gateways[0]), shows)
            if options.keep:
                _say_how_to_look(lab, terminal)
    return 0 if facts["ok"] else 1


@contextlib.contextmanager
def _facts_file(path, facts):
    """Opens the file first, so that a path that cannot be written is known before anything runs; writes the facts
    in the end, whatever happened."""
    if path is None:
        yield
        return
    try:
        out = open(path, "w", encoding="utf-8")
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}; name another file with --json") from error
    with out:
        try:
            yield
        except BaseException as error:
            facts["ok"] = False
            facts["error"] = "interrupted" if isinstance(error, Interrupted) else str(error)
            raise
        finally:
            json.dump(facts, out, indent=2)
            out.write("\n")


def _raise(lab, terminal):
    """The first packet that anybody sends: no SA carries it yet."""
    before = sum(len(gateway.associations()) for gateway in lab.gateways)
    row = ping(lab, *SITES, 4, count=1, patience=5)
    sa = next(iter(lab.gateways[0].json("show", "crypto", "ikev2", "sa", "--json")["sa"]), None)
    if row["received"]:
        how = f"by {sa['suite']['encryption']}, {sa['suite']['group']}" if sa else ""
        terminal.stage(f"IKEv2 raised the tunnel {how}; the ping that asked for it took {row['rtt_ms']['max']:.1f} ms")
    else:
        terminal.stage("IKEv2   the first ping did not come back")
    return {"sas_before": before, "first": row, "sa": sa}


def _tunnel_lines(gateway):
    """What of a gateway's configuration the tunnel is made of."""
    text = gateway.config.read_text()
    start, end = text.index("ip access-list extended"), text.rindex("!\nend")
    return text[start:end].splitlines()


def _ping(lab, terminal, first):
    def progress(done, of):
        terminal.moving_line(f"ping    {bar(done / of)}  {done} of {of} sizes")

    rows = [first, *first_contact(lab, SITES)]
    rows += ping_all_sizes(lab, SITES, progress=progress)
    sent, received = sum(row["sent"] for row in rows), sum(row["received"] for row in rows)
    times = [row["rtt_ms"] for row in rows if row["rtt_ms"]]
    terminal.stage(f"ping    {received} of {sent} came back")
    return {
        "sent": sent,
        "received": received,
        "smallest": min(row["size"] for row in rows),
        "largest": max(row["size"] for row in rows),
        "rtt_ms": {
            "min": min(each["min"] for each in times),
            "avg": sum(each["avg"] for each in times) / len(times),
            "max": max(each["max"] for each in times),
        }
        if times
        else None,
        "runs": rows,
    }


def _iperf(lab, terminal, seconds):
    """TCP both ways and over both families, then UDP; half of the time goes to the first."""
    plan = (
        ("TCP v4", "tcp", max(1, round(seconds / 2)), {}),
        ("TCP v6", "tcp", max(1, round(seconds / 4)), {"family": 6, "reverse": True}),
        ("UDP v4", "udp", max(1, round(seconds / 4)), {"udp_rate": UDP_RATE}),
    )
    iperf = Iperf(lab, SITE_A, SITE_B)
    facts = {"tcp": [], "udp": []}
    for title, kind, share, how in plan:

        def progress(done, now, title=title, share=share):
            terminal.moving_line(f"{title}  {bar(done / share)}  {rate(now)}")

        run = iperf.run(title.lower().replace(" ", "-"), share, progress=progress, **how)
        facts[kind].append(run)
        terminal.stage(f"{title}  {run.get('error') or rate(run['bits_per_second'])}")
    iperf.stop()
    return [
        {"bits_per_second": runs[0]["bits_per_second"], "ok": all(run["ok"] for run in runs), "runs": runs}
        for runs in facts.values()
    ]


def _gateway_facts(gateway):
    return {"name": gateway.role, "sa": gateway.associations()}


def _packets(facts, gateway, direction):
    """What the SAs of that direction counted; None if there is no such SA."""
    counts = [
        sa["packets"]
        for each in facts["gateways"]
        if each["name"] == gateway
        for sa in each["sa"]
        if sa["direction"] == direction
    ]
    return sum(counts) if counts else None


def _checks(facts):
    pings, wire, ike = facts["ping"], facts["wire"], facts["ike"]
    raised = ike["sas_before"] == 0 and ike["sa"] and wire["ike_packets"] > 0 and ike["first"]["received"] == 1
    yield _check("The first ping raised the tunnel by IKEv2, and came back", raised, f"{wire['ike_packets']} IKE packets")
    yield _check("No ping was lost", pings["sent"] > 0 and pings["sent"] == pings["received"], f"{pings['sent']} sent")
    yield _check("TCP flowed", facts["tcp"]["ok"], rate(facts["tcp"]["bits_per_second"]))
    yield _check("UDP flowed", facts["udp"]["ok"], rate(facts["udp"]["bits_per_second"]))
    for (sender, receiver), direction in zip(((SITE_A, SITE_B), (SITE_B, SITE_A)), wire["directions"]):
        out = _packets(facts, sender.gateway, "outbound")
        into = _packets(facts, receiver.gateway, "inbound")
        # Requests of the one host's pings and replies to the other's: as many each way as were sent in all.
        counted = out is not None and into is not None and min(out, into) >= pings["sent"]
        seen = f"{out if out is not None else 'no SA'} out, {direction['esp_packets']} on the wire, "
        seen += f"{into if into is not None else 'no SA'} in"
        yield _check(f"The SAs from {sender.gateway} to {receiver.gateway} counted the packets", counted, seen)
    yield _check(
        "The wire carried ESP", all(each["esp_packets"] > 0 for each in wire["directions"]),
        f"{wire['esp_packets']} packets",
    )  # fmt: skip
    yield _check("Not one packet crossed the wire in clear", wire["cleartext_packets"] == 0, f"{wire['cleartext_packets']}")


def _check(what, holds, seen):
    return {"what": what, "holds": bool(holds), "seen": seen}


def _say_how_to_look(lab, terminal):
    say, bold = terminal.line, terminal.bold
    gateway = lab.gateways[0]
    settings = " ".join(f"{name}={value}" for name, value in gateway.environment().items())
    espalier = lab.program("espalier")
    say()
    say(bold(f"  It stands, as {lab.run}. Look around:"))
    say(f"    {settings} {espalier} show interfaces")
    say(f"    {settings} {espalier} show crypto ikev2 sa detail")
    say(f"    {settings} {espalier} clear crypto session     (the next ping raises it again)")
    say(f"    {settings} {espalier} stats --watch 1")
    say(f"    {lab.command_in('host-a', 'ping', SITE_B.host_v4)}")
    say(f"    {lab.command_in('gw-b', 'tcpdump', '-ni', 'veth-wan', '-Q', 'in')}")
    say(f"    ls {lab.folder}     (configurations, logs, and the first packets of the wire as pcap)")
    say(bold("  And take it down:"))
    say(f"    scripts/run --down {lab.run}")


if __name__ == "__main__":
    sys.exit(main())
