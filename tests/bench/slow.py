"""A thousand clients that read slowly: what each costs in memory, and whether the rest notices."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

from tests.bench import crowd, load
from tests.bench.crowd import Crowd
from tests.bench.effort import Effort
from tests.bench.process import RELAY_CORE, cpu_s, idle
from tests.bench.relay import MIB, extracted
from tests.bench.serve import HOST, Served, serve
from tests.bench.surroundings import surroundings
from tests.bench.table import Table

BYTES_PER_S = 200_000
PROBES_PER_S = 20


async def slow(effort: Effort, folder: Path) -> list[Table]:
    """All of one post, then each of its own."""
    clients, mib = (50, 1) if effort.quick else (1000, 4)
    clip = f"big_{mib}"
    posts = {f"{clip}/{n}": clip for n in range(clients)} | {f"{clip}/one": clip}
    rows = []
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(surroundings({clip: mib * MIB}, posts, folder))
        for kind, names in (("one post", [f"{clip}/one"] * clients), ("a post each", list(posts)[:clients])):
            settings = around.site.settings | {
                "GATEWAY_PROXY_URL": around.tunnel.proxy_url,
                "GATEWAY_MODEL": str(folder / "none"),
            }
            async with serve(folder / kind.replace(" ", "-"), settings, cores=RELAY_CORE) as gateway:
                requests = [
                    load.post("/download", {"url": around.site.url(name), "content_type": "ORIGINAL"})
                    for name in names
                ]
                await extracted(gateway.port, sorted(set(requests)))
                await idle(gateway.pid)
                work = Crowd(gateway.port, requests, BYTES_PER_S, mib * MIB, around.digests[clip])
                rows.append((kind, str(clients), *await _measured(gateway, work)))
    return [
        Table(
            f"slow clients: {clients}, each {mib} MiB at {BYTES_PER_S // 1000} KB/s, every byte checked",
            ("read", "clients", "seconds", "KB each", "CPU s/GiB", "/live p50 ms", "p99 ms", "max ms"),
            rows,
            notes=(
                "memory: the gateway's own at its highest, less before; /live is asked 20 times a second",
            ),
        )
    ]


async def _measured(gateway: Served, work: Crowd) -> tuple[str, ...]:
    before, spent, waits = resident_kb(gateway.pid), cpu_s(gateway.pid), list[float]()
    highest = before

    async def watch() -> None:
        nonlocal highest
        while True:
            waits.append(await live_ms(gateway.port))
            highest = max(highest, resident_kb(gateway.pid))
            await asyncio.sleep(1 / PROBES_PER_S)

    watching = asyncio.create_task(watch())
    try:
        seconds = await crowd.run(work)
    finally:
        watching.cancel()
    gib = work.media_bytes * len(work.requests) / 2**30
    cuts = quantiles(waits, n=100)
    return (
        f"{seconds:.1f}",
        f"{(highest - before) / len(work.requests):.0f}",
        f"{(cpu_s(gateway.pid) - spent) / gib:.2f}",
        f"{cuts[49]:.1f}",
        f"{cuts[98]:.1f}",
        f"{max(waits):.1f}",
    )


async def live_ms(port: int) -> float:
    """How long /live takes: the event loop's lag, and a connection."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /live HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()
    return (time.perf_counter() - began) * 1000


def resident_kb(pid: int) -> int:
    """The memory of a process, without its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
