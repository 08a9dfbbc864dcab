"""Transcripts in company: the same clip for many, a newcomer under long ones, and hundreds in a row."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

import aiohttp

from tests.bench import spoken
from tests.bench.effort import Effort
from tests.bench.hearing import heard
from tests.bench.model import model
from tests.bench.process import idle, shared_kb
from tests.bench.serve import Served, serve
from tests.bench.site import Plan, Site, site
from tests.bench.slow import live_ms, resident_kb
from tests.bench.table import Table, ratio
from tests.speech import clips

LISTENERS = 6
LONG_S = 3500  # nearly what the gateway takes at the most
LONG_ONES = 2
PROBES_PER_S = 20
TRANSCRIPTS, AT_ONCE, SHORT_ONES = 500, 8, 20


async def company(effort: Effort, folder: Path) -> list[Table]:
    """The same clip for six, and a newcomer under two hour-long ones."""
    voices = await asyncio.to_thread(spoken.spoken)
    one = await asyncio.to_thread(spoken.film, voices.one, spoken.SMALL)
    short = await asyncio.to_thread(spoken.film, voices.several[1], spoken.SMALL)
    times = 2 if effort.quick else round(LONG_S / voices.long.seconds)
    hour = await asyncio.to_thread(spoken.film, clips.joined([voices.long] * times, 1), spoken.SMALL)
    films = {f"one {n}": one for n in range(2 * effort.runs + 1)}
    films |= {f"new {n}": short for n in range(effort.runs)} | {f"hour {n}": hour for n in range(LONG_ONES)}
    async with _running(films, folder) as (gateway, pages, session):
        await heard(session, gateway.url, pages.url("one 0"))  # warm
        alone, shared = [], []
        for n in range(effort.runs):
            alone.append((await heard(session, gateway.url, pages.url(f"one {2 * n + 1}"))).whole_s)
            shared.append(await _whole_s(session, gateway, pages.url(f"one {2 * n + 2}")))
        idle_ms = await _lag(gateway, 2)
        firsts, busy_ms = await _newcomers(session, gateway, pages, effort.runs)
    return [
        Table(
            f"company: one clip of {voices.one.seconds:.0f} s, asked for {LISTENERS} times at once",
            ("listeners", "wall s", "to one"),
            [
                ("1", f"{median(alone):.2f}", ratio(alone, alone)),
                (str(LISTENERS), f"{median(shared):.2f}", ratio(shared, alone)),
            ],
            notes=(f"median of {effort.runs} runs in turns",),
        ),
        Table(
            f"company: a clip that comes under {LONG_ONES} of {times * voices.long.seconds / 60:.0f} min",
            ("", "seconds"),
            [("first text, median", f"{median(firsts):.2f}"), ("first text, worst", f"{max(firsts):.2f}")],
            notes=(f"{len(firsts)} newcomers, one after the other",),
        ),
        Table(
            "company: how long /live takes, asked 20 times a second",
            ("workers", "p50 ms", "p99 ms", "max ms"),
            [("idle", *_cuts(idle_ms)), ("all busy", *_cuts(busy_ms))],
        ),
    ]


async def flat_speech(effort: Effort, folder: Path) -> list[Table]:
    """Memory over hundreds of transcripts, each of a post of its own."""
    voices = await asyncio.to_thread(spoken.spoken)
    pieces = spoken.pieces(voices.long, SHORT_ONES)
    made = [await asyncio.to_thread(spoken.film, piece, spoken.SMALL) for piece in pieces]
    count = 20 if effort.quick else TRANSCRIPTS
    films = {str(n): made[n % SHORT_ONES] for n in range(count)}
    rows, wall = [], 0.0
    async with _running(films, folder) as (gateway, pages, session):
        names = iter(films)

        async def listener(until: int) -> None:
            for name in names:
                await heard(session, gateway.url, pages.url(name))
                if int(name) >= until:
                    return

        for fifth in range(1, 6):
            began, until = time.perf_counter(), count * fifth // 5 - AT_ONCE
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(listener(until))
            wall = time.perf_counter() - began
            await idle(gateway.pid)
            kb = shared_kb(gateway.pid)
            own = resident_kb(gateway.pid)
            rows.append((str(count * fifth // 5), f"{kb / 1024:.0f}", f"{own / 1024:.0f}", f"{wall:.0f}"))
    return [
        Table(
            f"memory over transcripts of some {voices.long.seconds / SHORT_ONES:.0f} s, {AT_ONCE} at once",
            ("transcripts", "all processes MiB", "the gateway's own", "seconds"),
            rows,
            notes=("all processes: what they share counted once (PSS); the gateway's own: resident",),
        )
    ]


@asynccontextmanager
async def _running(
    films: Mapping[str, Path], folder: Path
) -> AsyncIterator[tuple[Served, Site, aiohttp.ClientSession]]:
    """A gateway before a site with a post for each film, each in bytes that were never seen."""
    files = {
        name: spoken.copy(film, folder / "films" / f"{name}.mp4", number)
        for number, (name, film) in enumerate(films.items())
    }
    plan = Plan({name: name for name in files}, {name: str(path) for name, path in files.items()})
    async with AsyncExitStack() as stack:
        weights = await model()
        pages = await stack.enter_async_context(site(plan, folder / "site"))
        environment = pages.settings | {"GATEWAY_MODEL": str(weights)}
        gateway = await stack.enter_async_context(serve(folder / "gateway", environment, until="/ready"))
        timeout = aiohttp.ClientTimeout(total=None)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        await idle(gateway.pid)
        yield gateway, pages, session


async def _whole_s(session: aiohttp.ClientSession, gateway: Served, url: str) -> float:
    """Until the last of several listeners has all of it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(heard(session, gateway.url, url)) for _ in range(LISTENERS)]
    return max(task.result().whole_s for task in tasks)


async def _newcomers(
    session: aiohttp.ClientSession, gateway: Served, pages: Site, count: int
) -> tuple[list[float], list[float]]:
    """First texts of clips that come while the long ones run, and /live meanwhile."""
    long_ones = [
        asyncio.create_task(heard(session, gateway.url, pages.url(f"hour {n}"))) for n in range(LONG_ONES)
    ]
    await asyncio.sleep(3)  # well under way
    lag = asyncio.create_task(_lag(gateway, 3.0 * count))
    firsts = []
    for n in range(count):
        firsts.append((await heard(session, gateway.url, pages.url(f"new {n}"))).first_s)
        await asyncio.sleep(1)
    waits = await lag
    for task in long_ones:
        task.cancel()
    await asyncio.gather(*long_ones, return_exceptions=True)
    return firsts, waits


async def _lag(gateway: Served, seconds: float) -> list[float]:
    until, waits = time.monotonic() + seconds, []
    while time.monotonic() < until:
        waits.append(await live_ms(gateway.port))
        await asyncio.sleep(1 / PROBES_PER_S)
    return waits


def _cuts(waits: list[float]) -> tuple[str, str, str]:
    cuts = quantiles(waits, n=100)
    return f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(waits):.1f}"
