"""A crowd of slow clients: each takes so many bytes a second, and checks every byte. Run as a process."""

import hashlib
import json
import resource
import socket
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from tests.bench.load import HOST
from tests.bench.process import OTHER_CORES, BenchFailed, child, module, say

TURNS_PER_S = 10  # each client reads so often
ROOM_BYTES = 64 << 10  # of a client's own socket: what it cannot take must stay with the gateway
SLACK, SLACK_S = 3, 30  # a crowd that is served three times slower than it reads is a failure


@dataclass(frozen=True)
class Crowd:
    """A request for each client, the pace of each, and what the payload's bytes must hash to."""

    port: int
    requests: Sequence[str]
    bytes_per_s: int
    media_bytes: int
    digest: str


async def run(crowd: Crowd, cores: Collection[int] = OTHER_CORES) -> float:
    """The seconds it took. Raises BenchFailed when an answer was not whole or not right."""
    async with child(*module("tests.bench.crowd"), cores=cores) as process:
        await say(process, json.dumps(asdict(crowd)).encode())
        assert process.stdout is not None
        answer = json.loads(await process.stdout.readline() or '{"failure": "the crowd ended too early"}')
    if "failure" in answer:
        raise BenchFailed(answer["failure"])
    return float(answer["seconds"])


# The child


class Member:
    """One client: takes HTTP chunks apart and hashes the first part's payload."""

    def __init__(self, crowd: Crowd, request: str) -> None:
        self._crowd = crowd
        self._raw = b""  # not taken apart yet
        self._left = -1  # of this HTTP chunk; -1: the head comes first
        self._payload = 0
        self._part_head = b""
        self._digest = hashlib.sha256()
        self._tail = b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
        self.socket.connect((HOST, crowd.port))
        self.socket.sendall(request.encode())
        self.socket.setblocking(False)

    def read(self, most: int) -> bool:
        """Takes up to `most` bytes; False at the end."""
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return True
        if not data:
            self._check()
            return False
        self._raw += data
        if self._left < 0:
            head, found, rest = self._raw.partition(b"\r\n\r\n")
            if not found:
                return True
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise BenchFailed(f"refused: {head[:300]!r}")
            self._raw, self._left = rest, 0
        while self._raw:
            if not self._left:
                size, found, rest = self._raw.partition(b"\r\n")
                if not found:
                    return True
                self._raw, self._left = rest, int(size, 16) + 2 if int(size, 16) else 2
            piece, self._raw = self._raw[: self._left], self._raw[self._left :]
            body = piece if self._left > len(piece) + 1 else piece[: self._left - 2]
            self._left -= len(piece)
            self._take(body)
        return True

    def _take(self, body: bytes) -> None:
        if not self._part_head.endswith(b"\r\n\r\n"):
            self._part_head += body  # a chunk of its own
            return
        media = body[: self._crowd.media_bytes - self._payload]
        self._payload += len(media)
        self._digest.update(media)
        self._tail += body[len(media) :]

    def _check(self) -> None:
        if not self._tail.endswith(b"--\r\n") or self._digest.hexdigest() != self._crowd.digest:
            raise BenchFailed(f"an answer was not whole: {self._payload} bytes, ... {self._tail[-60:]!r}")


def main() -> None:
    """One crowd, as told on standard input."""
    crowd = Crowd(**json.loads(sys.stdin.readline()))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        print(json.dumps({"seconds": _seconds(crowd)}))
    except (BenchFailed, OSError) as failure:
        print(json.dumps({"failure": str(failure)}))


def _seconds(crowd: Crowd) -> float:
    began = time.perf_counter()
    left = [Member(crowd, request) for request in crowd.requests]
    most, turn = crowd.bytes_per_s // TURNS_PER_S, 1 / TURNS_PER_S
    due, until = began, began + SLACK * crowd.media_bytes / crowd.bytes_per_s + SLACK_S
    while left:
        due += turn
        left = [member for member in left if member.read(most)]
        if time.perf_counter() > until:
            raise BenchFailed(f"{len(left)} clients were served much slower than they read")
        time.sleep(max(0.0, due - time.perf_counter()))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
