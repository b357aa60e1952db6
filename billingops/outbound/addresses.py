"""Where we may send to: public addresses over https, and the networks that the settings name.

A URL is given by a person, so the server must not be talked into calling its own neighbours (SSRF). A name is looked up
once, every address behind it is judged, and the connection goes to the very address that was judged (sending.py): a
second look-up could answer otherwise.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateAnswer
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from billingops.exceptions import InvalidInput

MAX_URL = 500
DNS_SECONDS = 5.0
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Whatever the settings allow: cloud machines hand out their own credentials there.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html (169.254.169.254, fd00:ec2::254)
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16 (a public address, but Azure's own)
# https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata (100.100.100.200)
# https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm (169.254.169.254; 192.0.0.192 on older images)
_METADATA: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32"),
        "192.0.0.0/24",  # RFC 6890: protocol assignments, nobody's receiver
    )
)
# RFC 8215: a network's own translation. Where in it the IPv4 address stands is theirs to say (RFC 6052, 2.2), not ours
# to guess.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_NAT64 = (IPv6Network("64:ff9b::/96"), _LOCAL_NAT64)


class Refused(Exception):
    """We do not send there. `str()`: which address, and why."""


class NotFound(Exception):
    """The name has no address, or none that came in time."""


def allowed_networks() -> list[Network]:
    """`OUTBOUND_ALLOW_PRIVATE`: networks beside the public Internet that may be sent to, without TLS as well."""
    return [ip_network(text, strict=False) for text in settings.OUTBOUND_ALLOW_PRIVATE]


def is_allowed_network(address: Address) -> bool:
    return any(address in network for network in allowed_networks())


def innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address.teredo:
            return address.teredo[1]
        if any(address in network for network in _NAT64):
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def why_not(address: Address, scheme: str) -> str:
    """ "" when a connection may be made to `address`, else the reason in words."""
    inner = innermost(address)
    if any(one in network for one in (address, inner) for network in _METADATA) or inner.is_link_local:
        return "an address of the machine's own network"
    if inner.is_multicast or inner.is_unspecified:
        return "no address of one machine"
    if is_allowed_network(inner):
        return ""
    if address in _LOCAL_NAT64 or not inner.is_global or not (address.is_global or inner is not address):
        return "a private address"
    return "" if scheme == "https" else "a public address without https"


def parts(url: str) -> SplitResult:
    """The URL taken apart. Raises InvalidInput for what can never be sent to; a name is not looked up here."""
    if not url.isprintable() or not url.isascii() or " " in url or "\\" in url or len(url) > MAX_URL:
        raise InvalidInput(f"A URL has at most {MAX_URL} plain characters and no blanks.", field="url")
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise InvalidInput("This is no URL.", field="url")
    if found.scheme != "https" and not (found.scheme == "http" and settings.OUTBOUND_ALLOW_PRIVATE):
        raise InvalidInput("The URL must start with https://", field="url")
    if not found.hostname or port == 0:
        raise InvalidInput("The URL names no host.", field="url")
    if found.username is not None or found.password is not None:
        raise InvalidInput("Leave the user name and password out: messages are signed.", field="url")
    if found.fragment:
        raise InvalidInput("Leave the part behind # out: it is never sent.", field="url")
    if (literal := _literal(found.hostname)) and (why := why_not(literal, found.scheme)):
        raise InvalidInput(f"{found.hostname} is {why}; we do not send there.", field="url")
    return found


def port_of(found: SplitResult) -> int:
    return found.port or (443 if found.scheme == "https" else 80)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def resolve(host: str, port: int, scheme: str) -> list[str]:
    """The addresses to connect to, in the system's order. One that we may not reach refuses them all: whoever mixes
    them means no good. Raises Refused, NotFound."""
    found = list(dict.fromkeys(_looked_up(host, port)))
    if not found:
        raise NotFound(host)
    for text in found:
        if why := why_not(ip_address(text.partition("%")[0]), scheme):
            raise Refused(f"{host} leads to {text}, {why}.")
    return found


def _looked_up(host: str, port: int) -> list[str]:
    """getaddrinfo knows no time-out of its own."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbound-dns")
    try:
        asked = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return [str(info[4][0]) for info in asked.result(timeout=DNS_SECONDS)]
    except (OSError, UnicodeError, LateAnswer) as problem:
        raise NotFound(host) from problem
    finally:
        pool.shutdown(wait=False)
