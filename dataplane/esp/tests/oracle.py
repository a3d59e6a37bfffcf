"""scapy as an oracle for ESP: reads a JSON list of jobs on standard input, writes the list of results.

A job is {"do": "open", "sa": SA, "packet": HEX} or {"do": "seal", "sa": SA, "seq": N, "iv": HEX, "inner": HEX}, all whole
IP packets; SA is {"spi": N, "key": HEX with the salt, "local": ADDRESS, "remote": ADDRESS, "tos": N, "esn": the high half of
the sequence number, or null}. {"do": "open-implicit", ...} is a packet whose IV is not sent. A result is {"packet": HEX}, or {"inner": HEX, "next_header": N, "padding": HEX, "seq": N}, or
{"error": what scapy said}.

Exits 3, and says why, where there is no scapy that is fit for this.
"""

import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # scapy does without it, silently
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
except ImportError as error:
    print(f"{sys.executable}: {error}", file=sys.stderr)
    sys.exit(3)


def association(sa):
    high = sa["esn"]
    return SecurityAssociation(
        ESP,
        spi=sa["spi"],
        crypt_algo="AES-GCM",
        crypt_key=bytes.fromhex(sa["key"]),
        tunnel_header=IP(src=sa["local"], dst=sa["remote"], tos=sa["tos"]),
        esn_en=high is not None,
        esn=high or 0,
    )


def open_packet(job):
    sa = association(job["sa"])
    outer = IP(bytes.fromhex(job["packet"]))
    checksum = outer.chksum
    del outer.chksum
    if IP(bytes(outer)).chksum != checksum:
        return {"error": "outer checksum"}
    esp = outer[ESP]
    sa.check_spi(outer)
    # Not `sa.decrypt`, which takes the trailer off and does not say what was in it.
    plain = sa.crypt_algo.decrypt(sa, esp, sa.crypt_key, 16, esn_en=sa.esn_en, esn=sa.esn)
    return {
        "inner": bytes(plain.data).hex(),
        "next_header": plain.nh,
        "padding": padding(job["sa"], esp).hex(),
        "seq": plain.seq,
    }


def open_implicit(job):
    """scapy has no implicit IV, so that this is the library alone (RFC 8750, section 4)."""
    key, high = bytes.fromhex(job["sa"]["key"]), job["sa"]["esn"]
    esp = bytes(IP(bytes.fromhex(job["packet"])).payload)
    low = esp[4:8]
    aad = esp[:4] + (b"" if high is None else high.to_bytes(4, "big")) + low
    try:
        text = AESGCM(key[:-4]).decrypt(key[-4:] + (high or 0).to_bytes(4, "big") + low, esp[8:], aad)
    except InvalidTag:
        return {"error": "integrity"}
    end = len(text) - 2 - text[-2]
    return {
        "inner": text[:end].hex(),
        "next_header": text[-1],
        "padding": text[end:-2].hex(),
        "seq": int.from_bytes(low, "big"),
    }


def padding(sa, esp):
    """What stands before the trailer. scapy before 2.6 takes it from the wrong place, so it is read here."""
    key, high = bytes.fromhex(sa["key"]), sa["esn"]
    aad = esp.spi.to_bytes(4, "big") + (b"" if high is None else high.to_bytes(4, "big")) + esp.seq.to_bytes(4, "big")
    text = AESGCM(key[:-4]).decrypt(key[-4:] + esp.data[:8], esp.data[8:], aad)
    return text[len(text) - 2 - text[-2] : -2]


def seal_packet(job):
    sa = association(job["sa"])
    inner = bytes.fromhex(job["inner"])
    packet = IP(inner) if inner[0] >> 4 == 4 else IPv6(inner)
    # Not by argument: there, a low half of 0 counts as none given.
    sa.seq_num = job["seq"]
    outer = sa.encrypt(packet, iv=bytes.fromhex(job["iv"]))
    return {"packet": bytes(outer).hex()}


def result(job):
    try:
        return {"open": open_packet, "open-implicit": open_implicit, "seal": seal_packet}[job["do"]](job)
    except IPSecIntegrityError:
        return {"error": "integrity"}
    except TypeError as error:
        return {"error": str(error)}


json.dump([result(job) for job in json.load(sys.stdin)], sys.stdout)
