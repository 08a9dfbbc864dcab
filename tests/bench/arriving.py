"""The first text while the origin feeds 1 MB/s, and when a script that downloads first would have it."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aiohttp

from tests.bench import spoken
from tests.bench.effort import Effort
from tests.bench.hearing import heard
from tests.bench.model import model
from tests.bench.plain import Heard, plain
from tests.bench.process import idle
from tests.bench.serve import serve
from tests.bench.site import Plan, Site, site
from tests.bench.table import Table, ratio

BYTES_PER_S = 1_000_000
LOOK_S = 0.02  # between two looks at the origin
DONE_S = 120


async def arriving(effort: Effort, folder: Path) -> list[Table]:
    """One clip with a picture as heavy as the site's."""
    clip = (await asyncio.to_thread(spoken.spoken)).one
    film = await asyncio.to_thread(spoken.film, clip, spoken.HEAVY)
    files = {
        f"film{n}": spoken.copy(film, folder / "films" / f"film{n}.mp4", n)
        for n in range(2 * effort.runs + 1)
    }
    plan = Plan({name: name for name in files}, {name: str(path) for name, path in files.items()})
    paced: list[Heard] = []
    unpaced: list[Heard] = []
    done: list[float] = []
    script_first: list[float] = []
    async with AsyncExitStack() as stack:
        weights = await model()
        pages = await stack.enter_async_context(site(plan, folder / "site"))
        environment = pages.settings | {"GATEWAY_MODEL": str(weights)}
        gateway = await stack.enter_async_context(serve(folder / "gateway", environment, until="/ready"))
        script = await stack.enter_async_context(plain(weights, folder / "plain.log"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await idle(gateway.pid)
        names = iter(files)
        await heard(session, gateway.url, pages.url(next(names)))  # warm
        await script.transcribe([film], first_only=True)
        for _ in range(effort.runs):
            await pages.pace(BYTES_PER_S)
            name = next(names)
            async with asyncio.TaskGroup() as group:
                fed = group.create_task(_fed(pages, name, files[name].stat().st_size))
                paced.append(await heard(session, gateway.url, pages.url(name)))
            done.append(fed.result())
            await pages.pace(None)
            unpaced.append(await heard(session, gateway.url, pages.url(next(names))))
            (theirs,) = await script.transcribe([film], first_only=True)
            script_first.append(done[-1] + theirs.first_s)
    first = [one.first_s for one in paced]
    rows = [
        ("origin has sent all", f"{median(done):.2f}", ratio(done, done)),
        ("first text", f"{median(first):.2f}", ratio(first, done)),
        ("whole transcript", f"{median(whole := [one.whole_s for one in paced]):.2f}", ratio(whole, done)),
        (
            "first text of a script that downloads first",
            f"{median(script_first):.2f}",
            ratio(script_first, done),
        ),
        (
            "first text, origin unpaced",
            f"{median(free := [one.first_s for one in unpaced]):.2f}",
            ratio(free, done),
        ),
    ]
    size = film.stat().st_size / 1e6
    return [
        Table(
            f"arriving: a clip of {clip.seconds:.0f} s, {size:.1f} MB, from an origin that feeds 1 MB/s",
            ("", "seconds", "to origin"),
            rows,
            notes=(f"median of {effort.runs} runs; seconds from the request",),
        )
    ]


async def _fed(pages: Site, name: str, size: int) -> float:
    """Seconds until the origin has sent a whole film."""
    began = time.perf_counter()
    async with asyncio.timeout(DONE_S):
        while await pages.sent(name) < size:
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began
