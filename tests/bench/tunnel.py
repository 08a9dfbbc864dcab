"""A CONNECT proxy that only moves bytes: media hosts to the TLS origin, all others to the pages' proxy.

The kernel moves them (`splice`), so that TLS and its cost stay between the relay and the origin. Its
second port leads straight to the origin: whom we compare with comes through the same tunnel.
Run as a process of its own.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path

from tests.bench.process import OTHER_CORES, child, line, module

PIPE_BYTES = 1 << 20
HEAD_S = 5
BACKLOG = 512


@dataclass(frozen=True)
class Tunnel:
    """Its two doors."""

    proxy_url: str
    port: int  # straight to the origin


@asynccontextmanager
async def tunnel(
    *, media_hosts: Collection[str], origin_port: int, pages_port: int, log: Path
) -> AsyncIterator[Tunnel]:
    """A running tunnel."""
    wish = json.dumps({"hosts": sorted(media_hosts), "origin": origin_port, "pages": pages_port})
    async with child(*module("tests.bench.tunnel"), wish, cores=OTHER_CORES, log=log) as process:
        ports = json.loads(await line(process, "the tunnel"))
        yield Tunnel(f"http://127.0.0.1:{ports['proxy']}", ports["straight"])


# The child


class Way:
    """One direction of a connection, through a pipe; `held` bytes are in the pipe."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.out, self.into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # an ordinary user's pipes are fewer or smaller
            fcntl(self.into, F_SETPIPE_SZ, PIPE_BYTES)
        self.held = 0
        self.ended = False  # at the source
        self.done = False

    def move(self) -> None:
        """Moves what can be moved without waiting."""
        while not self.done:
            if not self.held and not self.ended:
                try:
                    self.held = os.splice(self.source.fileno(), self.into, PIPE_BYTES, flags=FLAGS)
                except BlockingIOError:
                    return
                self.ended = not self.held
            if self.held:
                try:
                    self.held -= os.splice(self.out, self.target.fileno(), self.held, flags=FLAGS)
                except BlockingIOError:
                    return
            elif self.ended:
                self.done = True
                with suppress(OSError):
                    self.target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Connection:
    """Both directions between a caller and its target."""

    def __init__(self, caller: socket.socket, target: socket.socket) -> None:
        self.caller, self.target = caller, target
        self.up, self.down = Way(caller, target), Way(target, caller)
        self.watched: dict[int, int] = {}

    def go(self, poll: select.epoll) -> bool:
        """Moves on; False when it is over."""
        try:
            self.up.move()
            self.down.move()
        except OSError:
            return False
        if self.up.done and self.down.done:
            return False
        for end, out, back in ((self.caller, self.up, self.down), (self.target, self.down, self.up)):
            wants = 0
            if not out.held and not out.ended:
                wants |= select.EPOLLIN
            if back.held:
                wants |= select.EPOLLOUT
            if self.watched.get(end.fileno()) != wants:
                (poll.modify if end.fileno() in self.watched else poll.register)(end.fileno(), wants)
                self.watched[end.fileno()] = wants
        return True

    def close(self) -> None:
        self.up.close()
        self.down.close()
        self.caller.close()
        self.target.close()


def main() -> None:
    """Moves bytes until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wish = json.loads(sys.argv[1])
    proxy, straight = (socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) for _ in range(2))
    print(json.dumps({"proxy": proxy.getsockname()[1], "straight": straight.getsockname()[1]}), flush=True)
    poll = select.epoll()
    poll.register(proxy.fileno(), select.EPOLLIN)
    poll.register(straight.fileno(), select.EPOLLIN)
    connections: dict[int, Connection] = {}
    while True:
        for fd, _ in poll.poll():
            if fd in (proxy.fileno(), straight.fileno()):
                caller, _ = (proxy if fd == proxy.fileno() else straight).accept()
                try:
                    target = _connected(caller, wish) if fd == proxy.fileno() else _dialled(wish["origin"])
                except (OSError, ValueError):
                    caller.close()
                    continue
                for end in (caller, target):
                    end.setblocking(False)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(caller, target)
                connections[caller.fileno()] = connections[target.fileno()] = connection
            elif fd in connections:
                connection = connections[fd]
            else:
                continue  # closed earlier in this turn
            if not connection.go(poll):
                del connections[connection.caller.fileno()], connections[connection.target.fileno()]
                connection.close()  # the poll forgets closed ones by itself


def _connected(caller: socket.socket, wish: dict) -> socket.socket:
    """Reads the CONNECT head; a media host is answered here, other heads are passed on as they are."""
    caller.settimeout(HEAD_S)
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := caller.recv(4096)):
            raise ValueError("not a head")
        head += data
    host = head.split(b" ", 2)[1].rpartition(b":")[0].decode()
    if host in wish["hosts"]:
        target = _dialled(wish["origin"])
        caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        target = _dialled(wish["pages"])
        target.sendall(head)
    return target


def _dialled(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HEAD_S)


if __name__ == "__main__":
    main()
