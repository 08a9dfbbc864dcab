"""The events of a transcript with signs of life between them: where it stands, while nothing else comes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from gateway.speech.transcripts import Transcript
from gateway.wire.events import Event, Progress


class Pulse(msgspec.Struct, frozen=True):
    """How long is silence, in seconds."""

    first_s: float = 2.0  # for so long a failure may still be a plain answer
    changed_s: float = 1.0  # then it is told where the transcript stands, if that has changed
    unchanged_s: float = 15.0  # or has not: proxies give up an answer that is silent for half a minute


async def beating(
    transcript: Transcript, after: int, pulse: Pulse
) -> AsyncGenerator[tuple[int | None, Event], None]:
    """The events from `after` + 1 on with their numbers, and progress, which has none."""
    loop = asyncio.get_running_loop()
    last: Progress | None = None
    async with aclosing(transcript.follow(after)) as log:
        coming = asyncio.ensure_future(anext(log))
        wait_s, spoke_at = pulse.first_s, loop.time()
        try:
            while True:
                # not wait_for, which would cancel what it waits for, and with it the log
                await asyncio.wait({coming}, timeout=wait_s)
                wait_s = pulse.changed_s
                if coming.done():
                    yield coming.result()
                    coming = asyncio.ensure_future(anext(log))
                elif last != (now := transcript.standing) or loop.time() - spoke_at >= pulse.unchanged_s:
                    last = now
                    yield None, now
                else:
                    continue
                spoke_at = loop.time()
        except StopAsyncIteration:
            return
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
