"""A laboratory of network namespaces: two hosts, two gateways, and the wire between them.

scripts/run shows it to a person, scripts/e2e proves things in it. It needs root, iproute2 and the programs that
scripts/setup installs, and of Python nothing but its standard library.

    names.py     addresses, interface names and the other facts that all of it agrees on
    process.py   starting programs in a namespace and ending them, by their own pid
    network.py   namespaces and veth pairs
    gateway.py   one Espalier gateway: its two processes and its operator's command
    lab.py       all of it together, and how to take it down again
    capture.py   what crosses the wire, told apart packet by packet
    traffic.py   ping and iperf3
    summary.py   what a person reads in the end
    demo.py      scripts/run
    crowd.py     scripts/bench ike
"""
