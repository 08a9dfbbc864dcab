"""Which names and addresses may be dialled for the site, checked when dialling.

Always: a name is ours by label boundary, over HTTPS on its own port; an address that a name
resolves to is a public one. Through a proxy only names are checked: it is the proxy that resolves.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.errors import UpstreamFailed

# seen in pages and media links; GATEWAY_ORIGIN_HOSTS adds more
SUFFIXES = (
    "tiktok.com", "tiktokv.com", "tiktokv.us", "tiktokcdn.com", "tiktokcdn-us.com", "tiktokcdn-eu.com",
    "muscdn.com", "ibyteimg.com", "byteoversea.com",
)  # fmt: skip

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all there is of the open internet in IPv6
_NOT_OPEN = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24", "192.88.99.0/24",  # protocol assignments, relays
        "2001::/32", "2002::/16", "3fff::/20",  # tunnels with an address inside, documentation
    )
)  # fmt: skip
# nothing but a name and, perhaps, its port: libraries disagree about all else that may stand there
_NETLOC = re.compile(r"(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::443)?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")  # a name that ends in one is read as an IPv4 address


class Hosts:
    """The names that the site is known by."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._suffixes = tuple("." + suffix.lower().strip(".") for suffix in (*SUFFIXES, *more))

    def check(self, url: str) -> str:
        """The same URL when it may be dialled. Raises UpstreamFailed when it may not."""
        if not self.ours(url):
            raise UpstreamFailed("The site gave a media link that leads somewhere else.")
        return url

    def ours(self, url: str) -> bool:
        """Whether a URL may be dialled for the site."""
        if not url.isascii() or any(character <= " " for character in url):
            return False  # urlsplit drops some of them, and others may not
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        found = _NETLOC.fullmatch(parts.netloc.lower())
        if parts.scheme != "https" or found is None or _NUMBER.fullmatch(found["name"].rpartition(".")[2]):
            return False
        return ("." + found["name"]).endswith(self._suffixes)


def public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever it is wrapped in."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        elif ip not in _UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_OPEN)


def addresses(name: str) -> list[str]:
    """The public addresses of a name, as it resolves now.

    Raises PermissionError when all are private, OSError when there are none.
    """
    found = dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    open_ones = [one for one in found if public(one)]
    if not open_ones:
        raise PermissionError(f"{name} has no public address")
    return open_ones
