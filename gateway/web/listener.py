"""The listening sockets: takes everybody in who waits, at once, as long as there is room.

libuv accepts one connection in each turn of its loop; while hundreds of streams make a turn long, a
crowd would wait in the kernel for many seconds. Here a turn accepts as many as there are, within a bound.
Always: there are no more connections than may be, of all and of each address; one too many is told so.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network

import structlog

from gateway.errors import Busy
from gateway.tasks import Background
from gateway.web.connection import Left, plain

BACKLOG = 4096  # a crowd may arrive at once; the kernel has its own limit
ACCEPTS = 32  # in one turn of the loop, which others wait for
PAUSE_S = 0.5  # when there are no descriptors left
IPV6_BITS = 64  # what one customer has
FULL = plain(Busy("There are too many connections. Try again later."))

log = structlog.get_logger()


class Listener:
    """Listens on every address of a host; a connection gets a protocol of `make`, which tells its end."""

    def __init__(
        self,
        make: Callable[[Left], asyncio.Protocol],
        background: Background,
        *,
        inside_max: int,
        address_inside_max: int,
        shared: bool = False,  # the port, with others that the kernel gives their part
    ) -> None:
        self._shared = shared
        self._make = make
        self._background = background
        self._inside_max = inside_max
        self._address_inside_max = address_inside_max
        self._inside = 0
        self._inside_of: Counter[str] = Counter()  # by whose they are
        self._full = False
        self._sockets: list[socket.socket] = []

    async def start(self, host: str, port: int) -> str:
        """Begins to listen; the URL of the first address. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            self._sockets.append(sock := socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
                client, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted", reason=error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                loop.call_later(PAUSE_S, self._resume, listening)
                return
            client.setblocking(False)
            if self._room(whose := _whose(address[0])):
                self._inside += 1
                self._inside_of[whose] += 1
                self._background.start(self._connect(client, whose), "connection accepted")
            else:
                _refuse(client)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    def _room(self, whose: str) -> bool:
        """Whether one more may come in; that none may is logged once."""
        full = self._inside >= self._inside_max or self._inside_of[whose] >= self._address_inside_max
        if full and not self._full:
            log.warning("too many connections", inside=self._inside, of_one=self._inside_of[whose])
        self._full = full
        return not full

    def _left(self, whose: str) -> None:
        self._inside -= 1
        self._inside_of[whose] -= 1
        if not self._inside_of[whose]:
            del self._inside_of[whose]

    async def _connect(self, client: socket.socket, whose: str) -> None:
        try:
            make = partial(self._make, partial(self._left, whose))
            await asyncio.get_running_loop().connect_accepted_socket(make, client)
        except OSError:
            client.close()  # it left before it was taken in
            self._left(whose)


def _whose(address: str) -> str:
    """The address, of IPv6 the network of whoever has it: they have all of its addresses."""
    at = ip_address(address.partition("%")[0])
    if at.version == 4:
        return str(at)
    return str(at.ipv4_mapped or ip_network((at, IPV6_BITS), strict=False))


def _refuse(client: socket.socket) -> None:
    with client, suppress(OSError):
        client.send(FULL)
        client.shutdown(socket.SHUT_WR)
