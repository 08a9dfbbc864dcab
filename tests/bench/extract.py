"""The analyzer: posts a second that are read from the site, and requests a second that the cache answers.

The clients are a process of their own, with connections that stay. The site, the gateway and its
extractor processes share the machine for new posts; for cached ones the gateway has a core of its own.
"""

import asyncio
import json
import select
import socket
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

from tests.bench.effort import Effort
from tests.bench.process import CORES, OTHER_CORES, RELAY_CORE, BenchFailed, child, cpu_s, line, module, say
from tests.bench.serve import HOST, Served, serve
from tests.bench.site import Plan, site
from tests.bench.slow import live_ms
from tests.bench.table import Table

POSTS, POSTS_QUICK = 500, 40
CACHED, CACHED_QUICK = 20_000, 400
HOT = 20  # posts that are asked for again and again
WARM = 20  # so that every extractor process has loaded
CLIENTS = 16
PROBE_S = 0.02
SILENT_S = 30


async def extract(effort: Effort, folder: Path) -> list[Table]:
    """New posts, then the same few again."""
    posts = POSTS_QUICK if effort.quick else POSTS
    cached = CACHED_QUICK if effort.quick else CACHED
    rows = []
    async with AsyncExitStack() as stack:
        names = [f"post/{n}" for n in range(WARM + posts * effort.runs)]
        pages = await stack.enter_async_context(site(Plan(dict.fromkeys(names, "video")), folder / "site"))
        settings = pages.settings | {
            "GATEWAY_MODEL": str(folder / "none"), "GATEWAY_EXTRACT_WAITING_MAX": "1000",
        }  # fmt: skip
        async with serve(folder / "new", settings) as gateway:
            asked = [request(pages.url(name)) for name in names]
            await answered(gateway.port, asked[:WARM], CORES)
            for run in range(effort.runs):
                new = asked[WARM + run * posts : WARM + (run + 1) * posts]
                rows.append(await _row(f"new posts, run {run + 1}", gateway, new, CORES))
        async with serve(folder / "hot", settings, cores=RELAY_CORE) as gateway:
            await answered(gateway.port, asked[:HOT], OTHER_CORES)
            for run in range(effort.runs):
                again = [asked[n % HOT] for n in range(cached)]
                rows.append(await _row(f"cached, run {run + 1}", gateway, again, OTHER_CORES))
    return [
        Table(
            "POST /extract, the origin without delay",
            ("", "requests/s", "CPU ms each", "lag p50", "p99", "max"),
            rows,
            notes=(
                f"{CLIENTS} clients on connections that stay; CPU of the gateway and its extractor processes",
                "lag in ms: how long /live takes meanwhile, a connection included",
            ),
        )
    ]


async def _row(what: str, gateway: Served, asked: Sequence[str], cores: Collection[int]) -> tuple[str, ...]:
    waits: list[float] = []

    async def probe() -> None:
        while True:
            waits.append(await live_ms(gateway.port))
            await asyncio.sleep(PROBE_S)

    before, probing = cpu_s(gateway.pid), asyncio.create_task(probe())
    try:
        seconds = await answered(gateway.port, asked, cores)
    finally:
        probing.cancel()
    each_ms = (cpu_s(gateway.pid) - before) / len(asked) * 1000
    cuts = quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    return (
        what,
        f"{len(asked) / seconds:.0f}",
        f"{each_ms:.2f}",
        f"{cuts[49]:.1f}",
        f"{cuts[98]:.1f}",
        f"{max(waits, default=0):.1f}",
    )


def request(url: str) -> str:
    """What asks for a post."""
    data = json.dumps({"url": url})
    return f"POST /extract HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(data)}\r\n\r\n{data}"


async def answered(port: int, asked: Sequence[str], cores: Collection[int]) -> float:
    """The seconds until all were answered with 200. Raises BenchFailed when one was not."""
    async with child(*module("tests.bench.extract"), cores=cores) as process:
        await say(process, json.dumps({"port": port, "asked": list(asked)}).encode())
        answer = json.loads(await line(process, "the clients"))
    if "failure" in answer:
        raise BenchFailed(answer["failure"])
    return float(answer["seconds"])


# The child


def main() -> None:
    """All requests of one line of standard input, over a few connections."""
    told = json.loads(sys.stdin.readline())
    try:
        print(json.dumps({"seconds": _seconds(told["port"], told["asked"])}))
    except (BenchFailed, OSError) as failure:
        print(json.dumps({"failure": str(failure)}))


def _seconds(port: int, asked: list[str]) -> float:
    left, poll = [one.encode() for one in reversed(asked)], select.epoll()
    at: dict[int, tuple[socket.socket, bytearray]] = {}
    began = time.perf_counter()
    for _ in range(min(CLIENTS, len(left))):
        connection = socket.create_connection((HOST, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at[connection.fileno()] = connection, bytearray()
        poll.register(connection.fileno(), select.EPOLLIN)
        connection.sendall(left.pop())
    while at:
        ready = poll.poll(SILENT_S)
        if not ready:
            raise BenchFailed(f"nothing came for {SILENT_S} s")
        for fd, _ in ready:
            connection, seen = at[fd]
            data = connection.recv(1 << 16)
            seen += data
            if not data:
                raise BenchFailed("a connection was closed")
            if not _whole(seen):
                continue
            seen.clear()
            if left:
                connection.sendall(left.pop())
            else:
                poll.unregister(fd)
                del at[fd]
                connection.close()
    return time.perf_counter() - began


def _whole(seen: bytearray) -> bool:
    head, found, body = bytes(seen).partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchFailed(f"refused: {bytes(seen[:600])!r}")
    length = next(one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:"))
    return len(body) >= int(length.partition(b":")[2])


if __name__ == "__main__":
    main()
