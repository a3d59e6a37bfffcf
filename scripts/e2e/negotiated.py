"""Configurations whose tunnel IKE brings up: interfaces, routes and access lists of those with manual keys, and another
crypto map."""

from lab.names import SITE_A, SITE_B

from .case import MANUAL_CONFIGS

KEY = "5ec2e7-that-both-know"

_IKE = """\
crypto ikev2 proposal TEST
 encryption {ike_encryption}
 prf {ike_prf}
 group {ike_group}
crypto ikev2 policy TEST
 proposal TEST
crypto ikev2 keyring PEERS
 peer other
  address {key_address}
  pre-shared-key {key}
crypto ikev2 profile SITES
 match identity remote fqdn {them}.example.net
 identity local fqdn {us}.example.net
 authentication remote {authentication}
 authentication local {authentication}
 keyring local PEERS
{profile}\
crypto ipsec transform-set TEST {transform}
{mode}\
{globals}\
crypto map SITES 10 ipsec-isakmp
{peers}\
 set transform-set TEST
 set ikev2-profile SITES
 match address {list}
{entry}\
"""


def config(site, **changes):
    """A site's configuration. `changes`: fields of the template; `families` says which access lists the entry matches."""
    other = SITE_B if site is SITE_A else SITE_A
    base = (MANUAL_CONFIGS / f"{site.gateway}.conf").read_text().split("crypto ipsec transform-set")[0]
    fields = {
        "us": site.gateway,
        "them": other.gateway,
        "key": KEY,
        "ike_encryption": "aes-gcm-256",
        "ike_prf": "sha256",
        "ike_group": "31",
        "key_address": "192.0.2.0 255.255.255.0",
        "authentication": "pre-share",
        "profile": "",
        "transform": "esp-gcm 256",
        "mode": "",
        "globals": "",
        "peers": f" set peer {other.wan_v4}\n",
        "list": "TUNNEL",
        "entry": " match address TUNNEL6\n",
    }
    unknown = set(changes) - set(fields)
    if unknown:
        raise ValueError(f"the template has no {unknown}")
    return base + _IKE.format(**(fields | changes)) + "end\n"


def papers(authority, site, kind, **more):
    """Changes by which a site proves itself with a certificate of that authority, and wants one of the other."""
    certificate, key = authority.issue(f"{site.gateway}.example.net", kind, **more)
    trustpoint = f"crypto pki trustpoint CA\n ca-certificate {authority.path}\n certificate {certificate}\n private-key {key}\n"
    return {"authentication": "rsa-sig", "profile": " pki trustpoint CA\n" + trustpoint}


_HUB = """\
crypto ikev2 keyring SPOKES
 peer spoke-b
  identity fqdn gw-b.example.net
  pre-shared-key {key}
crypto ikev2 profile SPOKES
 match identity remote fqdn domain example.net
 identity local fqdn gw-a.example.net
 authentication remote pre-share
 authentication local pre-share
 keyring local SPOKES
crypto ipsec transform-set TEST esp-gcm 256
crypto dynamic-map SPOKES 10
 set transform-set TEST
 set ikev2-profile SPOKES
crypto map SITES 65000 ipsec-isakmp dynamic SPOKES
"""


def hub(**changes):
    """Site A as a hub that knows no spoke's address, and lets each say what is behind it."""
    base = (MANUAL_CONFIGS / "gw-a.conf").read_text().split("crypto ipsec transform-set")[0]
    return base + _HUB.format(**({"key": KEY} | changes)) + "end\n"


def write(lab, site, name=None, **changes):
    """The same as a file of the laboratory."""
    path = lab.folder / f"{name or site.gateway}-ikev2.conf"
    path.write_text(config(site, **changes))
    return path
