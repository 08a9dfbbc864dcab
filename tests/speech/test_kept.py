"""Which transcript answers, for how long, and what is put out for room."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import SpeechFailed
from gateway.speech import kept
from gateway.speech.kept import ENTRY_BYTES, Kept
from gateway.speech.transcript import Ending, Transcript
from gateway.tasks import Background
from gateway.wire.events import Info, Progress, Segment


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(kept, "time", clock)
    return clock


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    background = Background()
    yield background
    await background.close()


def transcript() -> Transcript:
    return Transcript(lambda _: Progress(0, None, 0, None))


async def done(
    kept: Kept, name: str, background: Background, *, words: str = "word", fail: bool = False
) -> Transcript:
    """A transcript that was added, ran and ended."""
    made = transcript()
    kept.add(made, name)

    async def work(log: Transcript) -> Ending:
        log.inform(Info("", "en", 1.0, None, "base", "speech"))
        log.add(Segment(0, 0, 1, words))
        if fail:
            raise SpeechFailed
        return Ending(1.0, "ok")

    task = made.start(work, background)
    await asyncio.wait([task])
    kept.ended(made, stopped=task.cancelled())
    return made


async def stopped(kept: Kept, name: str, background: Background) -> Transcript:
    made = transcript()
    kept.add(made, name)

    async def work(log: Transcript) -> Ending:
        await asyncio.Event().wait()
        raise AssertionError

    task = made.start(work, background)
    await asyncio.sleep(0)
    assert kept.named(name) is made
    task.cancel()
    assert kept.named(name) is None  # too late to join
    await asyncio.wait([task])
    kept.ended(made, stopped=True)
    return made


async def test_a_whole_one_answers_until_it_is_too_old(clock: Clock, background: Background) -> None:
    kept = Kept(bytes_max=100_000, keep_s=60)
    made = await done(kept, "a", background)
    clock.now = 59
    assert kept.named("a") is made
    assert kept.by_id(made.id) is made
    clock.now = 61
    assert kept.named("a") is None
    assert kept.by_id(made.id) is None
    assert list(kept) == []


async def test_one_that_failed_is_read_by_its_id_only(clock: Clock, background: Background) -> None:
    kept = Kept(bytes_max=100_000, keep_s=60)
    failed = await done(kept, "a", background, fail=True)
    assert kept.named("a") is None
    assert kept.by_id(failed.id) is failed
    again = await done(kept, "a", background)
    assert kept.named("a") is again
    clock.now = 61
    kept.sweep()
    assert list(kept) == []


async def test_one_that_was_stopped_is_gone(background: Background) -> None:
    kept = Kept(bytes_max=100_000, keep_s=60)
    gone = await stopped(kept, "a", background)
    assert kept.by_id(gone.id) is None
    assert list(kept) == []


async def test_the_least_recently_wanted_go_for_room(clock: Clock, background: Background) -> None:
    kept = Kept(bytes_max=4000 + 2 * ENTRY_BYTES, keep_s=60)
    first = await done(kept, "first", background, words="w" * 1000)
    second = await done(kept, "second", background, words="w" * 1000)
    assert kept.named("first") is first
    third = await done(kept, "third", background, words="w" * 1500)
    assert kept.named("second") is None
    assert [one for one in kept if one not in (first, third)] == []
    huge = await done(kept, "huge", background, words="w" * 20_000)
    assert list(kept) == []
    assert kept.by_id(huge.id) is None
    assert second.whole  # whoever holds it still reads it


async def test_the_first_of_some_media_answers_for_them(clock: Clock, background: Background) -> None:
    kept = Kept(bytes_max=100_000, keep_s=60)
    first = await done(kept, "first", background)
    assert kept.claim(first, "media") is first
    second = await done(kept, "second", background)
    assert kept.claim(second, "media") is first
    clock.now = 61
    third = await done(kept, "third", background)
    assert kept.claim(third, "media") is third
    assert kept.named("media") is third
    assert kept.claim(transcript(), "other") not in list(kept)  # one that is not there names nothing
    assert kept.named("other") is None
