"""The CONNECT proxy: our hosts are answered in this process, all others are refused and counted.

Nothing is ever dialled from here, so a product that follows an evil address is seen and harmless.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Self

from aiohttp import web

from tests.origin.tally import Tally

HEAD_BYTES_MAX = 16_384  # a CONNECT head is a few lines, even with credentials
HANDSHAKE_S = 10


class Proxy:
    """Listens on loopback; a context manager. Stopping it ends its connections."""

    def __init__(
        self, site: web.Server, context: ssl.SSLContext, hosts: frozenset[str], tally: Tally, *, port: int = 0
    ) -> None:
        self._site, self._context, self._hosts, self._tally = site, context, hosts, tally
        self._port = port

    async def __aenter__(self) -> Self:
        # the kernel's own sockets rather than asyncio streams: they can be handed to a TLS server
        # transport after the CONNECT head (`connect_accepted_socket`), without a second hop inside
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=256)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        # no TaskGroup here: a fixture may leave in another task than it entered; `__aexit__` is the parent
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving
        self._listener.close()
        await self._site.shutdown(timeout=0.2)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tunnels:
            while True:
                connection, _ = await loop.sock_accept(self._listener)
                tunnels.create_task(self._tunnel(connection))

    async def _tunnel(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                method, host, port = _target(await _head(connection))
                if method != "CONNECT" or port != 443 or host not in self._hosts:
                    self._tally.refused_hosts[host] += 1
                    await loop.sock_sendall(connection, REFUSAL)
                    connection.close()
                    return
                await loop.sock_sendall(connection, b"HTTP/1.1 200 Connection established\r\n\r\n")
                await loop.connect_accepted_socket(self._site, connection, ssl=self._context)
        except (OSError, TimeoutError, ValueError):  # clients that leave, do not trust us, or speak no HTTP
            connection.close()
        except BaseException:
            connection.close()
            raise


REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def _head(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        # a client sends its hello only after our 200, so nothing of TLS can be read here by mistake
        chunk = await loop.sock_recv(connection, 4096)
        if not chunk or len(head) > HEAD_BYTES_MAX:
            raise ValueError("not a request head")
        head += chunk
    return head


def _target(head: bytes) -> tuple[str, str, int]:
    """Method, host and port of `CONNECT host:port` or of `GET http://host[:port]/...`."""
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    authority = target.split("://", 1)[-1].split("/", 1)[0].rpartition("@")[2]
    host, _, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not host:
        host, port = authority, ""
    return method, host.strip("[]").lower(), int(port or 80)
