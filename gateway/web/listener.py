"""The listening sockets: takes everybody in who waits, at once.

libuv accepts one connection in each turn of its loop; while hundreds of streams make a turn long, a
crowd would wait in the kernel for many seconds. Here a turn accepts as many as there are, within a bound.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

from gateway.tasks import Background

BACKLOG = 4096  # a crowd may arrive at once; the kernel has its own limit
ACCEPTS = 32  # in one turn of the loop, which others wait for
PAUSE_S = 0.5  # when there are no descriptors left

log = structlog.get_logger()


class Listener:
    """Listens on every address of a host; each connection gets a protocol of `make`."""

    def __init__(self, make: Callable[[], asyncio.Protocol], background: Background) -> None:
        self._make = make
        self._background = background
        self._sockets: list[socket.socket] = []

    async def start(self, host: str, port: int) -> str:
        """Begins to listen; the URL of the first address. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            self._sockets.append(sock := socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            sock.setblocking(False)
            loop.add_reader(sock.fileno(), self._accept, sock)
        at, given = self._sockets[0].getsockname()[:2]
        return f"http://{f'[{at}]' if ':' in at else at}:{given}"

    def close(self) -> None:
        """Takes nobody in any more; those inside stay."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                client, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted", reason=error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                loop.call_later(PAUSE_S, self._resume, listening)
                return
            client.setblocking(False)
            self._background.start(self._connect(client), "connection accepted")

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    async def _connect(self, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, client)
        except OSError:
            client.close()  # it left before it was taken in
