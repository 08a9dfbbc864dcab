"""What it costs to pass a post on: the gateway against nginx, the same bytes, in turns.

Posts are extracted before the clock starts: pages are no relay's work, and `first_byte` measures them.
"""

import asyncio
import hashlib
import http.client
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import load
from tests.bench.effort import Effort
from tests.bench.load import Load
from tests.bench.process import RELAY_CORE, BenchFailed, cpu_s, idle
from tests.bench.serve import serve
from tests.bench.surroundings import MEMORY, PROXY, STATIC, Surroundings, surroundings
from tests.bench.table import Table, ratio

MIB, GIB = 1 << 20, 1 << 30
EXTRACTIONS_AT_ONCE = 4
RUNS_S = 80  # no further run begins after so long: a busy machine gives fewer of them

COLD, SHARED, HOT = "cold", "shared", "hot"
GATEWAY = "gateway"


@dataclass(frozen=True)
class Level:
    """So many clients, each asking for `turns` posts of `mib` one after the other."""

    clients: int
    turns: int
    mib: int

    @property
    def clip(self) -> str:
        return f"big_{self.mib}"

    @property
    def path(self) -> str:
        return f"/{self.clip}.mp4"

    def posts(self) -> list[list[str]]:
        """Names of posts, for each client its own."""
        return [[f"{self.clip}/{c}/{turn}" for turn in range(self.turns)] for c in range(self.clients)]

    def shared(self) -> str:
        """One more post, for all."""
        return f"{self.clip}/shared"


# a few seconds each; the posts of many clients are small, as most are, and each still costs a request
LEVELS = (Level(1, 8, 64), Level(16, 1, 64), Level(128, 1, 8))
QUICK = (Level(1, 2, 8), Level(4, 1, 8))


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    cpu_s_per_gib: float
    mb_per_s: float


Found = dict[tuple[str, str, Level], list[Cost]]  # what was read, by whom, at which level


async def relay(effort: Effort, folder: Path) -> list[Table]:
    """Cold, shared and hot reads at each level."""
    levels = QUICK if effort.quick else LEVELS
    found: Found = defaultdict(list)
    async with AsyncExitStack() as stack:
        posts = {name: level.clip for level in levels for own in level.posts() for name in own}
        posts |= {level.shared(): level.clip for level in levels}
        sizes = {level.clip: level.mib * MIB for level in levels}
        around = await stack.enter_async_context(surroundings(sizes, posts, folder))
        until = time.monotonic() + RUNS_S
        for number in range(effort.runs):
            if found and time.monotonic() > until:
                break
            for level in levels:
                await _nginx(around, level, found, check=not number)
                await _gateway(
                    around, level, found, folder / f"gateway-{level.clients}-{number}", check=not number
                )
    return [_table(found, levels)]


async def _nginx(around: Surroundings, level: Level, found: Found, *, check: bool) -> None:
    turns = [[load.get(level.path)] * level.turns] * level.clients
    for kind, name in ((COLD, PROXY), (COLD, MEMORY), (HOT, STATIC)):
        port = around.ports[name]
        if check:
            await _same(port, load.get(level.path), around.digests[level.clip])
        found[kind, name, level].append(await _cost(around.nginx_pid, Load(port, turns, level.mib * MIB)))


async def _gateway(around: Surroundings, level: Level, found: Found, folder: Path, *, check: bool) -> None:
    """A fresh gateway, so that nothing is on its disk and no earlier spool is written back meanwhile."""
    environment = around.site.settings | {
        "GATEWAY_PROXY_URL": around.tunnel.proxy_url,
        "GATEWAY_MODEL": str(folder / "none"),
    }

    def ask(name: str) -> str:
        return load.post("/download", {"url": around.site.url(name), "content_type": "ORIGINAL"})

    async with serve(folder, environment, cores=RELAY_CORE) as gateway:
        shared = ask(level.shared())
        own = [[ask(name) for name in posts] for posts in level.posts()]
        await extracted(gateway.port, [shared, *(one for asked in own for one in asked)])
        await idle(gateway.pid)
        size = level.mib * MIB
        for kind, asked in (
            (COLD, own),
            (SHARED, [[shared]] * level.clients),
            (HOT, [[shared] * level.turns] * level.clients),
        ):
            if kind == SHARED and level.clients == 1:
                await load.run(Load(gateway.port, asked, size))  # the same as cold; only fills the spool
                continue
            found[kind, GATEWAY, level].append(await _cost(gateway.pid, Load(gateway.port, asked, size)))
        if check:
            await _same(gateway.port, shared, around.digests[level.clip])
            await _same(gateway.port, own[-1][-1], around.digests[level.clip])


async def _cost(pid: int, work: Load) -> Cost:
    before = cpu_s(pid)
    seconds = await load.run(work)
    await asyncio.sleep(0.05)  # the last request's end
    spent = cpu_s(pid) - before
    return Cost(spent / (work.bytes / GIB), work.bytes / 1e6 / seconds)


async def extracted(port: int, requests: Sequence[str]) -> None:
    """Has each post extracted and its media left at once: what is kept is where they are."""
    room = asyncio.Semaphore(EXTRACTIONS_AT_ONCE)

    async def begin(request: str) -> None:
        async with room:
            await load.begun(port, request)

    async with asyncio.TaskGroup() as group:
        for request in requests:
            group.create_task(begin(request))


async def _same(port: int, request: str, digest: str) -> None:
    """Reads one answer whole and compares it byte for byte."""
    if await asyncio.to_thread(_digest, port, request) != digest:
        raise BenchFailed("the bytes that came are not those of the origin")


def _digest(port: int, request: str) -> str:
    head, _, body = request.partition("\r\n\r\n")
    method, path, _ = head.split("\r\n", 1)[0].split(" ")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body or None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    if "boundary=" in (kind := answer.getheader("Content-Type", "")):
        boundary = kind.partition("boundary=")[2].encode()
        part, _, data = data.partition(b"\r\n\r\n")
        data, end = data[: -len(boundary) - 8], data[-len(boundary) - 8 :]
        if not part.startswith(b"--" + boundary) or end != b"\r\n--" + boundary + b"--\r\n":
            raise BenchFailed("the parts are not delimited as promised")
    return hashlib.sha256(data).hexdigest()


def _table(found: Found, levels: Sequence[Level]) -> Table:
    rows = []
    for kind, against, names in (
        (COLD, PROXY, (PROXY, MEMORY, GATEWAY)),
        (SHARED, PROXY, (GATEWAY,)),
        (HOT, STATIC, (STATIC, GATEWAY)),
    ):
        for name in names:
            for level in levels:
                if not (costs := found.get((kind, name, level))):
                    continue
                theirs = found[COLD if kind == SHARED else kind, against, level]
                cpu, speed = (
                    ([getattr(cost, field) for cost in costs], [getattr(cost, field) for cost in theirs])
                    for field in ("cpu_s_per_gib", "mb_per_s")
                )
                rows.append(
                    (
                        kind, name, f"{level.clients} x {level.turns} x {level.mib} MiB",
                        f"{median(cpu[0]):.2f}", ratio(*cpu),
                        f"{median(speed[0]):.0f}", ratio(*speed),
                    )
                )  # fmt: skip
    columns = ("read", "relay", "clients", "CPU s/GiB", "to nginx", "MB/s", "to nginx")
    return Table(
        "relay: a TLS origin's media to plain clients",
        columns,
        rows,
        notes=(
            f"median of {len(next(iter(found.values())))} runs in turns; ratios of each run to nginx:"
            f" {PROXY}, for hot reads {STATIC}",
            "cold: each client its own posts; shared: all clients one cold post; hot: a post that is on disk",
        ),
    )
