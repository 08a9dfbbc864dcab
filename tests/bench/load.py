"""Many clients at once that cost next to nothing: they throw the bytes away inside the kernel.

Each client asks for its addresses one after the other, each on a connection of its own. What is counted
is checked: status, length, and the end of the body. Run as a process of its own.
"""

import asyncio
import json
import select
import socket
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.process import OTHER_CORES, BenchFailed, child, module, say

HOST = "127.0.0.1"
READ_BYTES = 4 << 20
HEAD_BYTES_MAX = 64 << 10
FRAMING = 0.01  # of the bytes: what chunks and part heads may add at most
SILENT_S = 60
MULTIPART_END = b"--\r\n\r\n0\r\n\r\n"  # closing delimiter in its chunk, then the last chunk


@dataclass(frozen=True)
class Load:
    """What is asked for: for each client its requests, each answered with `media_bytes` of media."""

    port: int
    clients: Sequence[Sequence[str]]
    media_bytes: int

    @property
    def bytes(self) -> int:
        return self.media_bytes * sum(map(len, self.clients))


async def run(load: Load, cores: Collection[int] = OTHER_CORES) -> float:
    """The seconds it took. Raises BenchFailed when an answer was not whole."""
    async with child(*module("tests.bench.load"), cores=cores) as process:
        await say(process, json.dumps(asdict(load)).encode())
        assert process.stdout is not None
        answer = json.loads(await process.stdout.readline() or '{"failure": "the load ended too early"}')
    if "failure" in answer:
        raise BenchFailed(answer["failure"])
    return float(answer["seconds"])


def get(path: str) -> str:
    """A request for a file."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def post(path: str, body: dict[str, Any]) -> str:
    """A request with a JSON body."""
    data = json.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n{data}"
    )


async def begun(port: int, request: str) -> None:
    """Asks, and leaves once the head is there: what it takes to answer is known then."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise BenchFailed(f"refused: {head.decode()}")


# The child


class Client:
    """One client at one of its requests."""

    def __init__(self, load: Load, requests: Sequence[str]) -> None:
        self._load = load
        self._requests = list(requests)
        self._head = b""
        self._left = 0  # bytes to throw away before the end of the body is looked at
        self._end = b""

    def next(self) -> socket.socket | None:
        """The connection for the next request; None when all are answered."""
        if not self._requests:
            return None
        self._head, self._end, self._left = b"", b"", -1
        connection = socket.create_connection((HOST, self._load.port))
        connection.sendall(self._requests.pop(0).encode())
        connection.setblocking(False)
        return connection

    def read(self, connection: socket.socket, room: bytearray) -> bool:
        """Takes what is there; False at the end. Raises BenchFailed for an answer that is not whole."""
        if self._left > 0:
            # TCP counts and drops: MSG_TRUNC copies nothing
            count = connection.recv_into(room, min(len(room), self._left), socket.MSG_TRUNC)
            self._left -= count
            if not count:
                raise BenchFailed(f"an answer was cut {self._left} bytes before its end")
            return True
        data = connection.recv(HEAD_BYTES_MAX)
        if self._left < 0:
            self._take_head(data)
            return True
        self._end += data
        if not data:
            self._check()
        return bool(data)

    def _take_head(self, data: bytes) -> None:
        self._head += data
        if not data or len(self._head) > HEAD_BYTES_MAX + READ_BYTES:
            raise BenchFailed(f"no answer: {self._head[:200]!r}")
        head, found, body = self._head.partition(b"\r\n\r\n")
        if found:
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise BenchFailed(f"refused: {self._head[:400]!r}")
            self._head = head
            self._left = self._load.media_bytes - len(body)
            assert self._left > 0

    def _check(self) -> None:
        if b"\r\nTransfer-Encoding: chunked" in self._head:
            whole = self._end.endswith(MULTIPART_END)
            whole = whole and len(self._end) < FRAMING * self._load.media_bytes + 4096
        else:
            whole = not self._end and f"\r\nContent-Length: {self._load.media_bytes}".encode() in self._head
        if not whole:
            raise BenchFailed(f"an answer was not whole: {self._head!r} ... {self._end[-80:]!r}")


def main() -> None:
    """One load, as told on standard input."""
    load = Load(**json.loads(sys.stdin.readline()))
    try:
        print(json.dumps({"seconds": _seconds(load)}))
    except (BenchFailed, OSError) as failure:
        print(json.dumps({"failure": str(failure)}))


def _seconds(load: Load) -> float:
    room, poll = bytearray(READ_BYTES), select.epoll()
    at: dict[int, tuple[Client, socket.socket]] = {}

    def ask(client: Client) -> None:
        if (connection := client.next()) is not None:
            at[connection.fileno()] = client, connection
            poll.register(connection.fileno(), select.EPOLLIN)

    began = time.perf_counter()
    for requests in load.clients:
        ask(Client(load, requests))
    while at:
        ready = poll.poll(SILENT_S)
        if not ready:
            raise BenchFailed(f"nothing came for {SILENT_S} s")
        for fd, _ in ready:
            client, connection = at[fd]
            if not client.read(connection, room):
                del at[fd]
                connection.close()
                ask(client)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
