"""Several posts at once: each url has its own result, whatever becomes of the others.

Always: equal posts are extracted once; a result that is not told any more is not worked for.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog
from aiohttp import web

from gateway.errors import GatewayError, Internal
from gateway.web import stream
from gateway.web.dialects.analyzer.answers import elapsed_ms, enveloped, error, metadata
from gateway.web.dialects.analyzer.extraction import Extractions, Wish
from gateway.web.dialects.analyzer.models import Batch, Failed, Last, Processed, Summary, Video
from gateway.web.keys import GATEWAY
from gateway.web.relay import Relay

LINES = "application/x-ndjson"

Result = Processed | Failed

log = structlog.get_logger()


class Posts:
    """The posts of one request."""

    def __init__(self, extractions: Extractions, urls: Sequence[str], wish: Wish, *, at_once: int) -> None:
        self._extractions = extractions
        self._urls = urls
        self._wish = wish
        self._turns = asyncio.Semaphore(at_once)
        self._found: dict[str, asyncio.Future[Video | GatewayError]] = {}
        self._began = time.monotonic()
        self._succeeded = self._failed = 0

    @property
    def summary(self) -> Summary:
        """What has come of them so far."""
        return Summary(
            total_requested=len(self._urls),
            successful=self._succeeded,
            failed=self._failed,
            processing_time_ms=elapsed_ms(self._began),
        )

    async def results(self) -> AsyncGenerator[tuple[int, Result], None]:
        """The result of each url with its place, as it is ready."""
        tasks = [asyncio.create_task(self._one(at, url)) for at, url in enumerate(self._urls)]
        try:
            for done in asyncio.as_completed(tasks):
                at, result = await done
                if isinstance(result, Processed):
                    self._succeeded += 1
                else:
                    self._failed += 1
                yield at, result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, at: int, url: str) -> tuple[int, Result]:
        async with self._turns:
            found = await self._outcome(url)
        if isinstance(found, GatewayError):
            return at, Failed(url=url, error=error(found, url))
        return at, Processed(url=url, data=found.model_copy(update={"url": url}))

    async def _outcome(self, url: str) -> Video | GatewayError:
        """What comes of a url, which may be another's too: who comes first does the work."""
        key = url
        try:
            address = await self._extractions.address(url, self._wish.age_s_max)
            key = address.post_id or url
        except GatewayError:
            pass  # extracting it says so, and counts it
        if (others := self._found.get(key)) is not None:
            return await others
        self._found[key] = mine = asyncio.get_running_loop().create_future()
        try:
            outcome: Video | GatewayError = await self._extractions.extract(url, self._wish)
        except GatewayError as failure:
            outcome = failure
        except Exception as failure:
            log.error("not foreseen", exc_info=failure)
            outcome = Internal()
        mine.set_result(outcome)
        return outcome


async def told(request: web.Request, posts: Posts) -> web.Response:
    """All results in one answer, in the order of the urls."""
    async with aclosing(posts.results()) as results:
        found = [result for _, result in sorted([one async for one in results], key=lambda one: one[0])]
    data = Batch(
        processed=tuple(one for one in found if isinstance(one, Processed)),
        failed=tuple(one for one in found if isinstance(one, Failed)),
        summary=posts.summary,
    )
    return enveloped(request, data)


async def streamed(request: web.Request, posts: Posts) -> web.StreamResponse:
    """A line for each result as it is ready, with its place; then a summary."""
    response = await stream.begun(request, {"Content-Type": LINES, "Cache-Control": "no-store"})
    relay = Relay(request, response, stall_s=request.app[GATEWAY].settings.client_stall_s)
    async with aclosing(posts.results()) as results:
        async for at, result in results:
            line = result.model_dump_json().removeprefix("{")
            await relay.write(f'{{"index":{at},{line}\n'.encode())
    last = Last(summary=posts.summary, metadata=metadata(request))
    await relay.write(last.model_dump_json().encode() + b"\n")
    await relay.end()
    return response
