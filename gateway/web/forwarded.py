"""Whose request it is, behind the proxies that are trusted to say so. Pure.

Always: an address counts only where each hop after it is trusted; nothing that a client writes itself is.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_MAX = 50  # of a header that the client may have begun
NETWORK_BITS = 64  # what one customer has of IPv6: all of it is one caller


def client(peer: str, told: Iterable[str], trusted: Sequence[Network]) -> str:
    """The rightmost address that is not trusted; `told` are the values of X-Forwarded-For in their order.

    Where a hop told no address, it is that hop's own.
    """
    here = _read(peer)
    if here is None or not _trusts(trusted, here):
        return peer
    hops = ",".join(told).rsplit(",", HOPS_MAX)
    for hop in reversed(hops[-HOPS_MAX:]):
        before = _read(hop)
        if before is None:
            break
        here = before
        if not _trusts(trusted, here):
            break
    return str(here)


@lru_cache(1024)
def bucket(address: str) -> str:
    """Who an address is counted as."""
    if ":" not in address:
        return address
    found = _read(address)
    if not isinstance(found, IPv6Address):
        return address if found is None else str(found)
    return str(ip_network((int(found), NETWORK_BITS), strict=False))


@lru_cache(8)
def networks(told: tuple[str, ...]) -> tuple[Network, ...]:
    """Networks as the settings have them."""
    return tuple(ip_network(one, strict=False) for one in told)


def _trusts(trusted: Sequence[Network], address: Address) -> bool:
    return any(address in network for network in trusted)


def _read(text: str) -> Address | None:
    """An address as proxies write it: with a port or without, IPv6 in brackets or not."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
