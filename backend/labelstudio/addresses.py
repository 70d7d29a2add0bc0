"""Which network addresses an image may be fetched from, checked on the very address that is connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# reserved by IANA, and public to one patch release of Python or another
_RESERVED = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16"))
)


class AddressRefused(Exception):
    """A host that images are not fetched from."""


def resolve_host(host: str, port: int) -> list[str]:
    """Return a host's addresses as the system resolves them: names, and any spelling of a number.

    Raises
    ------
    OSError
        If the name is unknown.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # getaddrinfo repeats an address for each protocol
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def public_addresses(host: str, port: int, resolver: Resolver = resolve_host) -> list[str]:
    """Return the addresses of a host, all of them public.

    The caller connects to one of these and never asks for the name again, so a name that answers differently
    the second time gains nothing.

    Raises
    ------
    AddressRefused
        If the host is unknown, or any of its addresses is loopback, link-local, private or reserved.
    """
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"host {host} is unknown ({error})") from error
    for address in addresses:
        if not is_public(address):
            raise AddressRefused(
                f"host {host} is at {address}, which is not a public address; "
                "if that is meant, add the host to ALLOW_HOSTS"
            )
    if not addresses:
        raise AddressRefused(f"host {host} has no address")
    return addresses


def is_public(address: str) -> bool:
    """Tell whether an address is one of the open internet.

    IPv6 addresses that carry an IPv4 one (mapped, NAT64, 6to4, Teredo) count as the one they carry.
    """
    try:
        ip: Address = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        carried = _carried(ip)
        if carried is not None:
            return all(_is_public(v4) for v4 in carried)
        if ip.is_site_local:
            return False
    return _is_public(ip)


def _is_public(ip: Address) -> bool:
    return ip.is_global and not (
        ip.is_private
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
        or any(ip in network for network in _RESERVED)
    )


def _carried(ip: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...] | None:
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip in _NAT64:
        return (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF),)
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    return ip.teredo
