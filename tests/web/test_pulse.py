"""Signs of life between the events of a transcript."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from gateway.settings import Settings
from gateway.speech.pool import LocalPool
from gateway.speech.transcript import Ending, Transcript
from gateway.speech.transcripts import Transcripts
from gateway.tasks import Background
from gateway.web.pulse import Pulse, beating
from gateway.wire.events import End, Event, Info, Progress, Segment
from tests.web.script import END, INFO, Script, segment

QUICK = Pulse(first_s=0.01, changed_s=0.01, unchanged_s=0.05)
CHANGES = Pulse(first_s=0.01, changed_s=0.01, unchanged_s=3600)
NEVER = Pulse(first_s=3600, changed_s=3600, unchanged_s=3600)


@pytest.fixture
async def transcripts() -> AsyncIterator[Transcripts]:
    settings, background = Settings(), Background()
    found = Transcripts(LocalPool(settings), background, settings)
    yield found
    await background.close()
    await found.close()


async def soon(events: AsyncIterator[tuple[int | None, Event]]) -> tuple[int | None, Event]:
    async with asyncio.timeout(10):
        return await anext(events)


async def logged(events: AsyncIterator[tuple[int | None, Event]]) -> tuple[int, type[Event]]:
    """The next event of the log: its number, and its kind."""
    while True:
        number, event = await soon(events)
        if number is not None:
            return number, type(event)


async def test_what_is_there_is_told_without_progress(transcripts: Transcripts) -> None:
    script = Script(transcripts)
    script.say(INFO, segment(0), segment(1), END)
    await script.have(4)
    told = [(number, type(event)) async for number, event in beating(script.transcript, -1, QUICK)]
    assert told == [(0, Info), (1, Segment), (2, Segment), (3, End)]
    assert [number async for number, _ in beating(script.transcript, 1, QUICK)] == [2, 3]


async def test_silence_is_told_again_and_again_and_no_event_is_lost(transcripts: Transcripts) -> None:
    script = Script(transcripts)
    async with aclosing(beating(script.transcript, -1, QUICK)) as events:
        for _ in range(3):
            number, event = await soon(events)
            assert number is None
            assert event == script.transcript.standing
        script.say(INFO, segment(0))
        assert [await logged(events), await logged(events)] == [(0, Info), (1, Segment)]
        while (await soon(events))[0] is not None:
            pass
        script.say(END)
        assert await logged(events) == (2, End)
        with pytest.raises(StopAsyncIteration):
            await soon(events)


async def test_where_it_stands_is_told_when_it_changed_and_not_before() -> None:
    standing = Progress(2, None, 0, 100)
    background = Background()

    async def waiting(log: Transcript) -> Ending:
        await asyncio.Event().wait()
        raise AssertionError

    transcript = Transcript(lambda _: standing)
    transcript.start(waiting, background)
    async with aclosing(beating(transcript, -1, CHANGES)) as events:
        assert await soon(events) == (None, Progress(2, None, 0, 100))
        more = asyncio.ensure_future(soon(events))
        await asyncio.sleep(0.1)
        assert not more.done()
        standing = Progress(1, 2.5, 50, 100)
        assert await more == (None, standing)
    await background.close()


async def test_a_reader_that_leaves_while_it_waits_takes_nothing_from_the_others(
    transcripts: Transcripts,
) -> None:
    script = Script(transcripts)

    async def read() -> list[int | None]:
        async with aclosing(beating(script.transcript, -1, NEVER)) as events:
            return [number async for number, _ in events]

    leaving, staying = asyncio.ensure_future(read()), asyncio.ensure_future(read())
    script.say(INFO)
    await script.have(1)
    leaving.cancel()
    await asyncio.wait({leaving})
    script.say(segment(0), END)
    assert await staying == [0, 1, 2]


async def test_the_last_reader_to_leave_stops_the_work(transcripts: Transcripts) -> None:
    script = Script(transcripts)
    async with aclosing(beating(script.transcript, -1, QUICK)) as events:
        await soon(events)
    async with asyncio.timeout(10):
        while len(transcripts):
            await asyncio.sleep(0.001)
    assert transcripts.by_id(script.transcript.id) is None
