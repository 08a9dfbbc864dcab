"""From the request to the first media byte, against extraction alone: what the gateway adds to the site.

Each post is new, so that its page is read and its media too; a bare extraction and a download take turns.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

from gateway.media.exits import Exits
from gateway.media.extractor import Extractor
from gateway.settings import Settings
from gateway.tasks import Background
from tests.bench import load
from tests.bench.effort import Effort
from tests.bench.process import BenchFailed
from tests.bench.serve import HOST, serve
from tests.bench.site import Plan, Site, site
from tests.bench.table import Table

POSTS = 50
POSTS_QUICK = 5
WARM = 4  # so that every extractor process has loaded
FIRST_MEDIA = b"ftyp"  # an MP4 begins with it; nothing before it in an answer has it
SETTLE_S = 0.02  # the end of one request is not the next one's wait


async def first_byte(effort: Effort, folder: Path) -> list[Table]:
    """Bare extractions and downloads in turns."""
    count = POSTS_QUICK if effort.quick else POSTS
    plan = Plan({f"{use}/{n}": "video" for use in ("bare", "download") for n in range(WARM + count)})
    bare, cold, hot = [], [], []
    async with AsyncExitStack() as stack:
        pages = await stack.enter_async_context(site(plan, folder / "site"))
        environment = pages.settings | {"GATEWAY_MODEL": str(folder / "none")}
        gateway = await stack.enter_async_context(serve(folder / "gateway", environment))
        extractor = await stack.enter_async_context(_extractor(pages))
        for n in range(WARM + count):
            bare.append(await _timed(extractor.find(pages.url(f"bare/{n}"))))
            for times in (cold, hot):
                await asyncio.sleep(SETTLE_S)
                times.append(await first(gateway.port, _request(pages.url(f"download/{n}"))))
            await asyncio.sleep(SETTLE_S)
    bare, cold, hot = bare[WARM:], cold[WARM:], hot[WARM:]
    return [
        Table(
            f"first byte: POST /download of {count} posts, the origin unpaced",
            ("", "median", "p90", "more than bare"),
            [
                _row("bare extraction", bare, bare),
                _row("download, a new post", cold, bare),
                _row("download, the same post again", hot, bare),
            ],
            notes=("milliseconds to the first byte of media; the last column is of the medians",),
        )
    ]


def _row(what: str, times: Sequence[float], bare: Sequence[float]) -> tuple[str, ...]:
    more = (median(times) - median(bare)) * 1000
    p90 = quantiles(times, n=10)[-1]
    return what, f"{median(times) * 1000:.1f}", f"{p90 * 1000:.1f}", f"{more:+.1f}"


@asynccontextmanager
async def _extractor(pages: Site) -> AsyncIterator[Extractor]:
    """An extractor as the gateway has it, with nothing around."""
    settings = Settings(_env_file=None, proxy_url=pages.proxy_url, proxy_ca_file=pages.ca_file)  # type: ignore[call-arg]
    background = Background()
    extractor = Extractor(settings, background, Exits(settings.proxy_url), _unfold)
    extractor.start()
    try:
        yield extractor
    finally:
        await background.close()
        await extractor.close()


async def _unfold(url: str) -> str:
    raise AssertionError("the bench has no short links")


async def _timed(work: object) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc]
    return time.perf_counter() - began


def _request(url: str) -> str:
    return load.post("/download", {"url": url, "content_type": "ORIGINAL"})


async def first(port: int, request: str) -> float:
    """Seconds from the connection's first byte out to the first media byte in; reads on to the end."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        began, seen = time.perf_counter(), b""
        writer.write(request.encode())
        while FIRST_MEDIA not in seen:
            if not (data := await reader.read(65536)):
                raise BenchFailed(f"no media came: {seen[:400]!r}")
            seen += data
        took = time.perf_counter() - began
        while await reader.read(65536):
            pass
    finally:
        writer.close()
    return took
