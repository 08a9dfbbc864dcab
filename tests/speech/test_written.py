"""Cues to a transcript, shared and kept like one that was recognised; no worker is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from gateway.settings import Settings
from gateway.speech.pool import LocalPool
from gateway.speech.transcripts import Transcript, Transcripts
from gateway.speech.written import written
from gateway.tasks import Background
from gateway.wire.events import End, Info, Logged, Segment
from gateway.wire.subtitles import Cue

CUES = [Cue(0.0, 1.5, "One."), Cue(2.0, 3.25, "Two.")]


@pytest.fixture
async def transcripts() -> AsyncIterator[Transcripts]:
    settings, background = Settings(), Background()
    transcripts = Transcripts(LocalPool(settings), background, settings)
    yield transcripts
    await background.close()
    await transcripts.close()
    assert len(transcripts) == 0


async def followed(transcript: Transcript) -> list[Logged]:
    async with aclosing(transcript.follow()) as events:
        return [event async for _, event in events]


@pytest.mark.parametrize(("duration", "end_s"), [(9.0, 9.0), (None, 3.25)])
async def test_cues_become_segments_without_scores(
    transcripts: Transcripts, duration: float | None, end_s: float
) -> None:
    work = written(CUES, captions="translated", language="de", duration=duration)
    transcript = transcripts.written("key", work, duration=duration)
    info, *segments, end = await followed(transcript)
    assert info == Info(transcript.id, "de", None, duration, None, "captions", "translated")
    assert segments == [Segment(0, 0.0, 1.5, "One."), Segment(1, 2.0, 3.25, "Two.")]
    assert isinstance(end, End)
    assert (end.segments, end.duration, end.speech) == (2, end_s, "ok")


async def test_no_cues_are_no_speech(transcripts: Transcripts) -> None:
    work = written([], captions="creator", language=None, duration=None)
    info, end = await followed(transcripts.written("key", work, duration=None))
    assert isinstance(info, Info)
    assert info.language is None
    assert isinstance(end, End)
    assert (end.segments, end.duration, end.speech) == (0, 0.0, "none")


async def test_what_was_written_is_kept_by_its_key(transcripts: Transcripts) -> None:
    work = written(CUES, captions="creator", language="en", duration=9.0)
    first = transcripts.written("key", work, duration=9.0)
    said = await followed(first)
    assert transcripts.named("key") is first
    assert transcripts.written("key", work, duration=9.0) is first
    assert await followed(first) == said
    assert transcripts.named("another") is None
    assert transcripts.claim(first, "another") is first
    assert transcripts.named("another") is first


async def test_many_cues_leave_others_their_turn_and_stop_when_nobody_reads(
    transcripts: Transcripts,
) -> None:
    many = [Cue(n, n + 1, "x") for n in range(20_000)]
    work = written(many, captions="creator", language="en", duration=None)
    transcript = transcripts.written("key", work, duration=None)
    events = transcript.follow()
    assert isinstance((await anext(events))[1], Info)
    assert not transcript.over
    await events.aclose()
    while len(transcripts):
        await asyncio.sleep(0)
    assert len(transcript) < len(many)
    assert transcripts.named("key") is None
