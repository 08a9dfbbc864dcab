"""Which names and addresses may be dialled for the site, checked when dialling.

Always: a name is ours by label boundary, over HTTPS on its own port; an address that a name
resolves to is a public one. Through a proxy only names are checked: it is the proxy that resolves.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from gateway.errors import UpstreamFailed

# seen in pages and media links; GATEWAY_ORIGIN_HOSTS adds more
SUFFIXES = (
    "tiktok.com", "tiktokv.com", "tiktokv.us", "tiktokcdn.com", "tiktokcdn-us.com", "tiktokcdn-eu.com",
    "muscdn.com", "ibyteimg.com", "byteoversea.com",
)  # fmt: skip

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIXTOFOUR = ipaddress.ip_network("2002::/16")


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
            port = parts.port
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc:
            return False
        return ("." + host).endswith(self._suffixes)


def public(address: str) -> bool:
    """Whether an IP address is one of the open internet, whatever it is wrapped in."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names as usual and refuses those that lead into a private network."""

    def __init__(self) -> None:
        self._inner = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The public addresses of a name. Raises OSError when there are none."""
        found = [one for one in await self._inner.resolve(host, port, family) if public(one["host"])]
        if not found:
            raise OSError(None, f"{host} has no public address")
        return found

    async def close(self) -> None:
        """Closes the resolver underneath."""
        await self._inner.close()
