"""Exits 0 if this Python has a scapy that can be our oracle: AES-GCM ESP with extended sequence numbers, round trip."""

import logging

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

association = SecurityAssociation(
    ESP,
    spi=0x1001,
    crypt_algo="AES-GCM",
    crypt_key=bytes(range(36)),
    tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
    esn_en=True,
    esn=1,
)
inner = IP(src="10.1.0.1", dst="10.2.0.1") / UDP(sport=1, dport=2) / b"espalier"
outer = association.encrypt(inner, seq_num=1, iv=bytes(8), esn_en=True, esn=1)
back = association.decrypt(IP(bytes(outer)), esn_en=True, esn=1)
assert bytes(back[UDP].payload) == b"espalier"
