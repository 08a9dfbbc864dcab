"""Many listeners at once: each gets its own words, all of them, and nobody else's."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.wire import events
from gateway.wire.events import End, Progress, Segment
from tests.speech import clips
from tests.speech.clips import Clip, error_rate, joined
from tests.web.conftest import Front


@pytest.fixture(scope="module")
def speeches(debian_sentences: list[Clip]) -> list[Clip]:
    """Eight different ones: each sentence of one reader, and three of them together."""
    return debian_sentences + [joined(debian_sentences[n : n + 3], 0.7) for n in range(3)]


@pytest.fixture(scope="module")
def debian_sentences() -> list[Clip]:
    try:
        return clips.debian()
    except Exception as failure:
        pytest.skip(f"Debian's pocketsphinx-testdata is not to be had: {failure}")


async def told(front: Front, clip: Clip, form: str = "ndjson") -> AsyncIterator[events.Event]:
    """The events of an upload's transcript."""
    async with front.session.post(
        f"{front.url}/transcribe?language=en&format={form}",
        data=clips.wav(clip.samples),
        headers={"Content-Type": "audio/wav"},
        timeout=aiohttp.ClientTimeout(total=150),
    ) as answer:
        assert answer.status == 200
        async for line in answer.content:
            event = events.parse(line)
            if not isinstance(event, Progress):
                yield event


async def words(front: Front, clip: Clip) -> str:
    said = [event async for event in told(front, clip)]
    assert isinstance(said[-1], End)
    return events.text_of([event for event in said if isinstance(event, Segment)])


async def test_eight_at_once_all_finish_each_with_its_own_words(
    speaking: Front, speeches: list[Clip]
) -> None:
    texts = await asyncio.gather(*(words(speaking, clip) for clip in speeches))
    for clip, text in zip(speeches, texts, strict=True):
        assert error_rate(clip, text) < 0.3
    alone = speeches[:5]
    for n, text in enumerate(texts[:5]):
        others = [error_rate(clip, text) for m, clip in enumerate(alone) if m != n]
        assert min(others) > 0.6  # what was said by none but this one


async def test_a_worker_killed_under_a_crowd_costs_nobody_a_word(
    speaking: Front, speeches: list[Clip]
) -> None:
    undisturbed = await asyncio.gather(*(words(speaking, clip) for clip in speeches[:4]))
    # other bytes of the same sound: not answered from what was kept
    again = [Clip(clip.name, clip.samples + bytes(2), clip.text) for clip in speeches[:4]]
    listening = [asyncio.create_task(words(speaking, clip)) for clip in again]
    await asyncio.sleep(0.4)
    os.kill(speaking.gateway.pool.pids[0], signal.SIGKILL)
    assert await asyncio.gather(*listening) == undisturbed
