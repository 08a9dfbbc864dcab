"""Speech by a cluster against the pool of this machine: what a window's way costs, and a second node."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool, Pool
from gateway.speech.windows import RATE, Window
from tests.bench import spoken
from tests.bench.effort import Effort
from tests.bench.model import model
from tests.bench.process import BenchFailed
from tests.bench.table import Table
from tests.cluster import Missing, Nodes
from tests.conftest import DATA_DIR

WINDOW_S, SHORT_S = 12, 4
LOADED_S = 120
TURNS = 30
ENGLISH = Options(language="en")

Walls = dict[str, list[float]]


async def nodes(effort: Effort, folder: Path) -> list[Table]:
    """Windows in turns through both pools, with one core and with two."""
    voices = await asyncio.to_thread(spoken.spoken)
    windows = _cut(voices.long.samples, WINDOW_S)[: 4 if effort.quick else 16]
    short = _cut(voices.long.samples, SHORT_S)[0]
    weights = await model()
    walls: Walls = defaultdict(list)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(_cluster())
        one = await stack.enter_async_context(_local(weights, 1))
        two = await stack.enter_async_context(_local(weights, 2))
        async with _replicas(cluster, 1) as pool:
            turns = await _turns(one, pool, short, 3 if effort.quick else TURNS)
            for _ in range(effort.runs):
                for who, each in (("local 1", one), ("local 2", two), ("cluster 1", pool)):
                    walls[who].append(await _all(each, windows))
        await asyncio.to_thread(cluster.node, "second")
        async with _replicas(cluster, 2) as pool:
            for _ in range(effort.runs):
                for who, each in (("local 1 again", one), ("cluster 2", pool)):
                    walls[who].append(await _all(each, windows))
    return [_overhead(turns), _scaling(walls, sum(window.seconds for window in windows), effort)]


@asynccontextmanager
async def _cluster() -> AsyncIterator[Nodes]:
    """A head with one CPU. Raises BenchFailed where there is no Ray."""
    try:
        cluster = await asyncio.to_thread(Nodes, DATA_DIR)
    except Missing as missing:
        raise BenchFailed(str(missing)) from None
    before = dict(os.environ)
    os.environ.update(cluster.environment)  # for the driver
    try:
        await asyncio.to_thread(cluster.start)
        yield cluster
    finally:
        os.environ.clear()
        os.environ.update(before)
        await asyncio.to_thread(cluster.stop)


@asynccontextmanager
async def _local(weights: Path, workers: int) -> AsyncIterator[LocalPool]:
    pool = LocalPool(Settings(workers=workers))
    await pool.start(weights)
    try:
        await _loaded(pool, workers)
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def _replicas(cluster: Nodes, count: int) -> AsyncIterator[ClusterPool]:
    """A pool with so many replicas, no more and no less."""
    bounds = {f"GATEWAY_CLUSTER_REPLICAS_{end}": str(count) for end in ("MIN", "MAX")}
    deployed = await asyncio.to_thread(lambda: cluster.command("deploy", **bounds))
    if deployed.returncode:
        raise BenchFailed(f"the cluster has no replica: {deployed.stderr[-500:]}")
    pool = ClusterPool(Settings(cluster_address=cluster.address))
    try:
        await pool.start(Path("base"))
        await _loaded(pool, count)
        yield pool
    finally:
        await pool.close()


async def _loaded(pool: Pool, count: int) -> None:
    async with asyncio.timeout(LOADED_S):
        while pool.loaded != count:
            await asyncio.sleep(0.1)


def _cut(samples: bytes, seconds: int) -> list[Window]:
    size = seconds * RATE * 2
    return [
        Window(0, samples[at : at + size], ((0, size // 2),), False)
        for at in range(0, len(samples) - size + 1, size)
    ]


async def _turns(local: Pool, cluster: Pool, window: Window, count: int) -> Walls:
    """The same window through one pool and the other, again and again; and what was not the model's."""
    walls: Walls = defaultdict(list)
    for n in range(count + 3):
        for who, pool in (("local", local), ("cluster", cluster)):
            began, worked_s = time.perf_counter(), pool.worked_s
            await pool.recognise("bench", window, ENGLISH)
            wall_s = time.perf_counter() - began
            if n >= 3:  # the first of them warm up
                walls[who].append(wall_s)
                walls[f"{who}, way"].append(wall_s - (pool.worked_s - worked_s))
    return walls


async def _all(pool: Pool, windows: Sequence[Window]) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(pool.recognise(str(n % 4), one, ENGLISH) for n, one in enumerate(windows)))
    return time.perf_counter() - began


def _overhead(turns: Walls) -> Table:
    more = [theirs - ours for ours, theirs in zip(turns["local"], turns["cluster"], strict=True)]
    rows = [
        (
            "local",
            f"{median(turns['local']) * 1000:.1f}",
            "",
            f"{median(turns['local, way']) * 1000:.1f}",
        ),
        (
            "cluster",
            f"{median(turns['cluster']) * 1000:.1f}",
            f"{median(more) * 1000:.1f}",
            f"{median(turns['cluster, way']) * 1000:.1f}",
        ),
    ]
    return Table(
        f"nodes: a window of {SHORT_S} s, there and back, with nothing else to do",
        ("pool", "ms", "more than local ms", "not the model's ms"),
        rows,
        notes=(f"median of {len(more)} in turns; one worker, one replica",),
    )


def _scaling(walls: Walls, sound_s: float, effort: Effort) -> Table:
    speeds = {who: [sound_s / wall for wall in some] for who, some in walls.items()}
    local = median(speeds["local 2"]) / median(speeds["local 1"])
    # what else the machine did before and after is taken out by the same worker's speed
    drift = median(speeds["local 1 again"]) / median(speeds["local 1"])
    cluster = median(speeds["cluster 2"]) / median(speeds["cluster 1"]) / drift
    gains = {"local 2": local, "cluster 2": cluster}
    return Table(
        f"nodes: {sound_s:.0f} s of sound in windows of {WINDOW_S} s, one core against two",
        ("workers", "sound s/s", "to one", "to the local gain"),
        [
            (
                who,
                f"{median(speed):.1f}",
                f"{gains[who]:.2f}x" if who in gains else "",
                f"{cluster / local:.2f}" if who == "cluster 2" else "",
            )
            for who, speed in speeds.items()
        ],
        notes=(f"median of {effort.runs} runs in turns; two nodes of one CPU on this machine",),
    )
