"""Media and their transcript in one answer: slices of each part, and between them the words.

Always: the slices of a part are in order and make the whole of it, each with its `Content-Range`;
the transcript's last line is `end` or `error`; a transcript that fails does not disturb the media,
and media that break break the connection.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from gateway.media.spool import Spool
from gateway.speech.transcripts import Transcript
from gateway.web.relay import Relay
from gateway.wire import events as wire
from gateway.wire import multipart as parts
from gateway.wire.events import Logged
from gateway.wire.multipart import Part

SLICE_BYTES_MAX = 1 << 20  # so that words wait for no more than this of media
T = TypeVar("T")

TRANSCRIPT = "transcript.ndjson"
NDJSON = "application/x-ndjson"


async def interleaved(
    relay: Relay, files: Sequence[tuple[Part, Spool]], transcript: Transcript, *, boundary: str
) -> None:
    """Sends slices of media as they arrive and events as they are recognised, whichever is there."""
    first = True

    async def head(part: Part) -> None:
        nonlocal first
        await relay.write(parts.head(part, boundary, first=first))
        first = False

    async with aclosing(_slices(files)) as slices, aclosing(transcript.follow()) as log:
        more: asyncio.Future[tuple[Part, Spool, int, int]] | None = asyncio.ensure_future(anext(slices))
        said: asyncio.Future[tuple[int, Logged]] | None = asyncio.ensure_future(anext(log))
        try:
            while more is not None or said is not None:
                await asyncio.wait(
                    [one for one in (more, said) if one is not None], return_when=asyncio.FIRST_COMPLETED
                )
                if said is not None and said.done():
                    event = _result(said)
                    if event is not None:
                        line = wire.line(event[1])
                        await head(Part(TRANSCRIPT, NDJSON, len(line)))
                        await relay.write(line)
                    said = asyncio.ensure_future(anext(log)) if event is not None else None
                if more is not None and more.done():
                    piece = _result(more)
                    if piece is not None:
                        part, spool, start, end = piece
                        await head(part)
                        await relay.spool(spool, start, end)
                    more = asyncio.ensure_future(anext(slices)) if piece is not None else None
        finally:
            await _ended(more, said)
    await relay.write(parts.closing(boundary))
    await relay.end()


async def _ended(*waiting: "asyncio.Future[Any] | None") -> None:
    """Cancels what is waited for, so that the generators behind it may be closed."""
    left = [one for one in waiting if one is not None]
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _slices(files: Sequence[tuple[Part, Spool]]) -> AsyncGenerator[tuple[Part, Spool, int, int], None]:
    """Each slice of each file, once its bytes are there: its head, and where it begins and ends."""
    for part, spool in files:
        at = 0
        async with aclosing(spool.ready(0, None, SLICE_BYTES_MAX)) as sizes:
            async for size in sizes:
                yield part.slice(at, at + size, spool.length), spool, at, at + size
                at += size


def _result(done: "asyncio.Future[T]") -> T | None:
    """What came, None at the end. Raises what failed."""
    try:
        return done.result()
    except StopAsyncIteration:
        return None
