"""End-to-end tests: whole gateways in the laboratory of namespaces of `lab`.

    case.py              what a test gets: a laboratory, gateways that run, and their counters
    counters.py          reading `espalier stats`: drops by name, and whether every packet is accounted for
    wire.py              putting frames on a cable and taking them off, byte by byte
    esp.py               ESP as the RFCs have it: what each byte of a packet ought to be
    peer.py, scenarios.py  ourselves as the opposite end, of the tunnel with manual keys and of every kind of tunnel
    test_*.py            the tests, in the order in which __main__.py names them
"""
