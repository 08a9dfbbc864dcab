"""Names to addresses, for aiohttp: only public ones."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from gateway.media.hosts import public


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
