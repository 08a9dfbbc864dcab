"""POST /transcribe as a caller sees it: when the first text came, when the last, and the text."""

import time

import aiohttp
import msgspec

from gateway.wire import events
from gateway.wire.events import End, Failed, Segment
from tests.bench.plain import Heard
from tests.bench.process import BenchFailed


async def heard(session: aiohttp.ClientSession, gateway_url: str, post_url: str) -> Heard:
    """One post, to its end. Raises BenchFailed when that was no transcript."""
    began, first_s, texts = time.perf_counter(), 0.0, []
    async with session.post(f"{gateway_url}/transcribe", json={"url": post_url}) as answer:
        if answer.status != 200:
            raise BenchFailed(f"POST /transcribe: {answer.status} {await answer.text()}")
        async for line in answer.content:
            match _event(line):
                case Segment(text=text):
                    first_s = first_s or time.perf_counter() - began
                    texts.append(text.strip())
                case Failed(message=message):
                    raise BenchFailed(f"the transcript failed: {message}")
                case End():
                    return Heard(first_s, time.perf_counter() - began, " ".join(texts))
    raise BenchFailed("the transcript has no end")


def _event(line: bytes) -> events.Event | None:
    try:
        return events.parse(line)
    except msgspec.ValidationError:
        return None  # an event of a kind that came later than this bench
