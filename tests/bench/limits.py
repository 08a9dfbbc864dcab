"""Calls a second that buckets judge, in memory and in Redis: one after the other, and 64 at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.settings import Rate
from gateway.store.limits import Limits
from gateway.store.redis import Redis
from tests.bench.effort import Effort
from tests.bench.table import Table
from tests.redis import Missing, Server

RATE = Rate(1_000_000, 1.0)  # nobody is refused
AT_ONCE = 64


async def limits(effort: Effort, folder: Path) -> list[Table]:
    """Memory, and Redis beside it on this machine."""
    calls = 1_280 if effort.quick else 19_200
    rows = [("memory", *await _figures(Limits(), calls * 5))]
    notes = [f"one bucket; {calls * 5} calls in memory and {calls} in a Redis on this machine"]
    try:
        async with _redis() as redis:
            rows.append(("Redis", *await _figures(Limits(redis), calls)))
            assert redis.state == "ok"
    except Missing as missing:
        notes.append(str(missing))
    columns = ("bucket in", "calls/s, one by one", f"calls/s, {AT_ONCE} at once")
    return [Table("limits: how many calls are judged", columns, rows, notes)]


async def _figures(limits: Limits, calls: int) -> tuple[str, str]:
    alone, together = [calls / await _seconds(limits, calls, at_once) for at_once in (1, AT_ONCE)]
    return f"{alone:,.0f}", f"{together:,.0f}"


async def _seconds(limits: Limits, calls: int, at_once: int) -> float:
    async def some() -> None:
        for _ in range(calls // at_once):
            await limits.take("somebody", RATE)

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return time.perf_counter() - began


@asynccontextmanager
async def _redis() -> AsyncIterator[Redis]:
    server = Server()
    try:
        await asyncio.to_thread(server.start)
        redis = Redis(server.url, prefix="bench", wait_s=5)
        await redis.start()
        yield redis
        await redis.close()
    finally:
        server.remove()
