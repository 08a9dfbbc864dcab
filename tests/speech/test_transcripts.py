import asyncio
import hashlib
import math
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import BadRequest, Busy, Cancelled, MediaUndecodable, NotReady, UpstreamFailed
from gateway.settings import Settings
from gateway.speech.pool import LocalPool
from gateway.speech.transcripts import Options, Origin, Sound, Transcript, Transcripts
from gateway.tasks import Background
from gateway.wire.events import End, Failed, Info, Logged, Progress, Segment, text_of
from tests.speech import sounds
from tests.speech.clips import Clip, error_rate, joined, silence, sound

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(base_model: Path) -> AsyncIterator[LocalPool]:
    pool = LocalPool(Settings(workers=2))
    await pool.start(base_model)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def transcripts(pool: LocalPool) -> AsyncIterator[Transcripts]:
    background = Background()
    transcripts = Transcripts(pool, background, Settings(transcripts_max=3))
    yield transcripts
    await background.close()
    await transcripts.close()
    assert len(transcripts) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(pool: LocalPool, passage: Clip) -> list[Logged]:
    """What is heard in the passage."""
    background = Background()
    transcripts = Transcripts(pool, background, Settings())
    events = await heard(transcripts, passage.samples)
    await background.close()
    await transcripts.close()
    return events


async def followed(transcript: Transcript, after: int = -1) -> list[Logged]:
    async with aclosing(transcript.follow(after)) as events:
        numbered = [pair async for pair in events]
    assert [number for number, _ in numbered] == list(range(after + 1, after + 1 + len(numbered)))
    return [event for _, event in numbered]


async def heard(transcripts: Transcripts, samples: bytes, options: Options | None = None) -> list[Logged]:
    return await followed(transcripts.join(object(), options or Options(), sound(samples), duration=None))


def segments(events: list[Logged]) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


def never(begun: asyncio.Event, ended: asyncio.Event, before: bytes = b"") -> Sound:
    """A sound that stops arriving."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            begun.set()
            yield before
            await asyncio.Event().wait()
        finally:
            ended.set()

    return Sound(chunks)


def broken(samples: bytes, failure: Exception) -> Sound:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield samples
        raise failure

    return Sound(chunks)


def named(samples: bytes, digest: str) -> Sound:
    """A sound whose media are whole and known."""

    async def told() -> str:
        return digest

    return Sound(sound(samples).samples, digest=told)


async def test_speech_becomes_its_words_in_order(undisturbed: list[Logged], passage: Clip) -> None:
    info, *middle, end = undisturbed
    assert isinstance(info, Info)
    assert (info.language, info.model, info.source) == ("en", "base", "speech")
    said = segments(middle)
    assert said == middle
    assert [segment.id for segment in said] == list(range(len(said)))
    times = [time for segment in said for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] <= passage.seconds
    assert error_rate(passage, text_of(said)) < 0.15
    assert isinstance(end, End)
    assert end.segments == len(said)
    assert end.text_sha256 == hashlib.sha256(text_of(said).encode()).hexdigest()
    assert end.duration == pytest.approx(passage.seconds, abs=0.001)
    assert (end.speech, end.reasons) == ("ok", ())


async def test_times_are_those_of_the_sound(transcripts: Transcripts, debian_clips: list[Clip]) -> None:
    clip = debian_clips[1]
    events = await heard(transcripts, silence(31.5) + clip.samples + silence(20) + clip.samples + silence(3))
    first, second = segments(events)
    assert error_rate(clip, first.text) < 0.3
    assert error_rate(clip, second.text) < 0.3
    assert first.start == pytest.approx(31.5, abs=0.5)
    assert second.start == pytest.approx(31.5 + clip.seconds + 20, abs=0.5)


async def test_the_last_words_are_never_lost(transcripts: Transcripts, debian_clips: list[Clip]) -> None:
    for tail in (b"", silence(0.01), silence(2.5)):
        events = await heard(transcripts, debian_clips[0].samples + debian_clips[4].samples + tail)
        assert text_of(segments(events)).rstrip(".").endswith("amiable himself")


async def test_every_clip_is_near_its_reference(transcripts: Transcripts, held_clips: list[Clip]) -> None:
    for clip in held_clips:
        if clip.seconds > 60:
            continue  # the long ones belong to the bench
        info, *middle, end = await heard(transcripts, clip.samples)
        assert isinstance(info, Info)
        assert info.language == clip.language
        assert isinstance(end, End)
        assert error_rate(clip, text_of(segments(middle))) < 0.13, clip.name


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(lambda: b"", "silence", id="nothing"),
        pytest.param(lambda: silence(12), "silence", id="silence"),
        *(pytest.param(made, "no_voice", id=name) for name, made in sounds.WORDLESS.items()),
    ],
)
async def test_without_a_voice_no_text_is_invented(
    transcripts: Transcripts, samples: Callable[[], bytes], reason: str
) -> None:
    info, end = await heard(transcripts, samples())
    assert isinstance(info, Info)
    assert info.language is None
    assert isinstance(end, End)
    assert (end.speech, end.segments, end.reasons) == ("none", 0, (reason,))
    assert end.text_sha256 == hashlib.sha256(b"").hexdigest()


async def test_a_voice_without_words_is_said_to_be_one(transcripts: Transcripts) -> None:
    info, end = await heard(transcripts, sounds.vowel())
    assert isinstance(info, Info)
    assert isinstance(end, End)
    assert (end.speech, end.segments) == ("low", 0)
    assert "no_words" in end.reasons


async def test_little_speech_is_said_to_be_little(transcripts: Transcripts, debian_clips: list[Clip]) -> None:
    *_, end = await heard(transcripts, debian_clips[1].samples + silence(40))
    assert isinstance(end, End)
    assert (end.speech, end.reasons) == ("low", ("little_voice",))
    assert end.segments


async def test_readers_share_one_transcript_and_get_every_event(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    read = 0

    async def chunks() -> AsyncGenerator[bytes, None]:
        nonlocal read
        read += 1
        for _ in range(3):
            yield debian_clips[0].samples

    first = transcripts.join("same", Options(), Sound(chunks), duration=21.5)
    events = asyncio.create_task(followed(first))
    async with aclosing(first.follow()) as early:
        await anext(early)
    second = transcripts.join("same", Options(), Sound(chunks), duration=21.5)
    assert second is first
    assert transcripts.join("same", Options(language="en"), Sound(chunks), duration=None) is not first
    late, resumed = await asyncio.gather(followed(second), followed(second, after=1))
    assert late == await events
    assert resumed == late[2:]
    assert isinstance(late[0], Info)
    assert late[0].duration == 21.5
    assert await followed(first) == late  # the log stays with those who hold it
    assert read <= 2


async def test_a_finished_one_is_answered_at_once(
    transcripts: Transcripts, pool: LocalPool, debian_clips: list[Clip]
) -> None:
    clip = debian_clips[1]
    first = transcripts.join("once", Options(), sound(clip.samples), duration=None)
    said = await followed(first)
    again = transcripts.join("once", Options(), broken(b"", KeyError("not read")), duration=None)
    assert again is first
    assert transcripts.by_id(first.id) is first
    assert await followed(again) == said
    assert transcripts.by_id("nothing") is None


async def test_the_end_is_told_only_once_it_is_settled(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    settled: list[Logged] = []

    async def settle(log: tuple[Logged, ...]) -> None:
        assert not transcript.over
        settled.extend(log)

    samples = sound(debian_clips[1].samples)
    transcript = transcripts.join("settled", Options(), samples, duration=None, settle=settle)
    assert await followed(transcript) == settled
    assert isinstance(settled[-1], End)


async def test_who_keeps_transcripts_is_told_of_each_that_ended_and_is_not_settled(
    pool: LocalPool, debian_clips: list[Clip]
) -> None:
    told: list[Transcript] = []
    background = Background()
    transcripts = Transcripts(pool, background, Settings(), ended=told.append)
    samples = named(debian_clips[1].samples, "ab" * 32)
    begun, over = asyncio.Event(), asyncio.Event()

    async def settle(log: tuple[Logged, ...]) -> None:
        pass

    whole = transcripts.join("whole", Options(), samples, duration=None, origin=Origin("A title"))
    await followed(whole)
    broke = transcripts.join("broken", Options(), broken(b"", UpstreamFailed()), duration=None)
    await followed(broke)
    await followed(transcripts.join("settled", Options(), samples, duration=None, settle=settle))
    left = transcripts.join("left", Options(), never(begun, over), duration=None)
    async with aclosing(left.follow()) as events:
        coming = asyncio.ensure_future(anext(events))
        await begun.wait()
        coming.cancel()
        await asyncio.wait({coming})
    await over.wait()
    cancelled = transcripts.join(
        "cancelled", Options(), never(asyncio.Event(), asyncio.Event()), duration=None
    )
    assert await cancelled.cancel()
    assert told == [whole, broke, cancelled]
    assert (whole.title, whole.media_sha256, whole.options) == ("A title", "ab" * 32, Options())
    assert [type(one.events[-1]) for one in told] == [End, Failed, Failed]
    assert cancelled.events == (Failed("CANCELLED", Cancelled.text),)
    await background.close()
    await transcripts.close()


async def test_what_is_being_settled_is_not_cancelled_any_more(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    settling, go_on = asyncio.Event(), asyncio.Event()

    async def settle(log: tuple[Logged, ...]) -> None:
        settling.set()
        await go_on.wait()

    samples = sound(debian_clips[1].samples)
    transcript = transcripts.join("late", Options(), samples, duration=None, settle=settle)
    following = asyncio.ensure_future(followed(transcript))
    await settling.wait()
    cancelling = asyncio.ensure_future(transcript.cancel())
    await asyncio.sleep(0)
    go_on.set()
    assert not await cancelling
    assert isinstance((await following)[-1], End)


async def test_one_that_cannot_be_settled_has_failed(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    async def settle(log: tuple[Logged, ...]) -> None:
        raise Busy("no room in the books")

    samples = sound(debian_clips[1].samples)
    transcript = transcripts.join("unsettled", Options(), samples, duration=None, settle=settle)
    *_, failed = await followed(transcript)
    assert isinstance(failed, Failed)
    assert failed.code == "BUSY"


async def test_the_same_media_in_another_place_are_recognised_once(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    clip = joined(debian_clips, 0.3)
    first = transcripts.join("here", Options(), named(clip.samples, "media"), duration=None)
    said = segments(await followed(first))
    heard_again = 0

    async def chunks() -> AsyncGenerator[bytes, None]:
        nonlocal heard_again
        for i in range(0, len(clip.samples), 32_000):
            heard_again += 32_000
            yield clip.samples[i : i + 32_000]
            await asyncio.sleep(0.1)

    async def told() -> str:
        await asyncio.sleep(0.5)  # whole only after some of it was heard
        return "media"

    second = transcripts.join("there", Options(), Sound(chunks, digest=told), duration=None)
    info, *middle, end = await followed(second)
    assert second is not first
    assert isinstance(info, Info)
    assert info.id == second.id
    assert segments(middle) == said
    assert isinstance(end, End)
    assert end.duration == pytest.approx(clip.seconds, abs=0.001)
    assert heard_again < len(clip.samples)
    other = transcripts.join("there", Options(language="de"), named(b"", "media"), duration=None)
    assert segments(await followed(other)) == []  # other options, another transcript


async def test_media_that_only_begin_alike_stay_apart(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    """As a hash that lies would have it: what was said already must agree."""
    first = transcripts.join("one", Options(), named(debian_clips[0].samples, "lie"), duration=None)
    await followed(first)
    begun = asyncio.Event()

    async def told() -> str:
        await begun.wait()
        return "lie"

    clip = joined([debian_clips[1], debian_clips[2]], 3)
    second = transcripts.join(
        "two", Options(), Sound(sound(clip.samples).samples, digest=told), duration=None
    )
    events = []
    async with aclosing(second.follow()) as log:
        async for _, event in log:
            events.append(event)
            if isinstance(event, Segment):
                begun.set()
    assert error_rate(clip, text_of(segments(events))) < 0.3


async def test_a_twin_goes_on_when_the_readers_of_the_first_leave(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    clip = joined(debian_clips, 0.5)
    gate = asyncio.Event()
    cut = len(silence(14))  # enough for a first window

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield clip.samples[:cut]
        await gate.wait()
        yield clip.samples[cut:]

    async def told() -> str:
        return "twin"

    first = transcripts.join("first", Options(), Sound(chunks, digest=told), duration=None)
    reading = first.follow()
    await anext(reading)
    second = transcripts.join("second", Options(), Sound(chunks, digest=told), duration=None)
    following = asyncio.create_task(followed(second))
    while len(second) < 1:
        await asyncio.sleep(0.01)
    await reading.aclose()
    await asyncio.sleep(0.05)
    gate.set()
    assert error_rate(clip, text_of(segments(await following))) < 0.2


async def test_a_twin_goes_on_by_itself_when_the_first_fails(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    """Whatever broke it may be its own: its media, its upload."""
    clip = joined(debian_clips, 0.5)
    gate, cut = asyncio.Event(), len(silence(14))

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield clip.samples[:cut]
        await gate.wait()
        raise UpstreamFailed

    async def told() -> str:
        return "half"

    first = transcripts.join("its own", Options(), Sound(chunks, digest=told), duration=None)
    reading = asyncio.create_task(followed(first))
    while len(first) < 2:
        await asyncio.sleep(0.01)
    second = transcripts.join("sound", Options(), named(clip.samples, "half"), duration=None)
    following = asyncio.create_task(followed(second))
    while len(second) < 2:
        await asyncio.sleep(0.01)
    gate.set()
    assert isinstance((await reading)[-1], Failed)
    said = await following
    assert isinstance(said[-1], End)
    assert [one.id for one in segments(said)] == list(range(len(segments(said))))
    assert error_rate(clip, text_of(segments(said))) < 0.2


async def test_a_twin_is_not_drawn_into_the_end_of_a_first_that_is_left(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    clip = joined(debian_clips, 0.5)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def told() -> str:
        return "left just now"

    samples = never(begun, ended, clip.samples[: len(silence(14))]).samples
    first = transcripts.join("left", Options(prompt="x"), Sound(samples, digest=told), duration=None)
    reading = first.follow()
    await anext(reading)

    async def leaving() -> str:
        await reading.aclose()
        return "left just now"

    sound_ = Sound(sound(clip.samples).samples, digest=leaving)
    second = transcripts.join("stays", Options(prompt="x"), sound_, duration=None)
    assert isinstance((await followed(second))[-1], End)


async def test_what_is_said_again_and_then_by_another_is_whole() -> None:
    """Work began once more, and was left for that of another before it had come to where it was."""
    said = [Segment(number, float(number), number + 0.9, f" {number}.") for number in range(4)]
    info = Info("", "en", 0.9, 4.0, "base", "speech")
    end = End(4, 4.0, "", 1, "ok")
    other = Transcript.told_again("other", (info, *said, end), Origin(), datetime.now(UTC), None)
    transcript = Transcript(lambda _: Progress(0, None, 0, None))
    transcript.inform(info)
    for one in said[:2]:
        transcript.add(one)
    transcript.resume()
    transcript.inform(info)
    transcript.add(said[0])
    assert await transcript.follow_on(other) is not None
    assert segments(list(transcript.events)) == said


async def test_one_that_failed_is_tried_again_and_its_log_still_read(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    clip = debian_clips[1]
    cut = transcripts.join("tried", Options(), broken(clip.samples, UpstreamFailed()), duration=None)
    assert isinstance((await followed(cut))[-1], Failed)
    again = transcripts.join("tried", Options(), sound(clip.samples), duration=None)
    assert again is not cut
    assert isinstance((await followed(again))[-1], End)
    kept = transcripts.by_id(cut.id)
    assert kept is cut
    assert isinstance((await followed(kept))[-1], Failed)


async def test_a_transcript_that_waits_knows_its_place(pool: LocalPool, passage: Clip) -> None:
    background = Background()
    transcripts = Transcripts(pool, background, Settings(transcripts_max=8))
    running = [
        asyncio.create_task(heard(transcripts, passage.samples, Options(prompt=str(n)))) for n in range(7)
    ]
    while pool.waiting < 4:
        await asyncio.sleep(0.01)
    last = transcripts.join("last", Options(), sound(passage.samples), duration=passage.seconds)
    reading = asyncio.create_task(followed(last))
    places = []
    while not len(last):
        places.append(last.standing.position)
        if pool.speed is not None:
            with pytest.raises(Busy) as refused:
                transcripts.join("one more", Options(), sound(b""), duration=None)
            assert refused.value.retry_after_s == math.ceil(passage.seconds / pool.speed)  # all that is left
        await asyncio.sleep(0.01)
    assert max(places) > 0
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    await reading
    assert last.standing.position == 0
    assert pool.speed
    assert pool.speed > 1
    await background.close()
    await transcripts.close()


async def test_a_worker_killed_midway_changes_nothing(
    transcripts: Transcripts, pool: LocalPool, passage: Clip, undisturbed: list[Logged]
) -> None:
    transcript = transcripts.join("disturbed", Options(), sound(passage.samples), duration=None)
    events = []
    async with aclosing(transcript.follow()) as log:
        async for number, event in log:
            events.append(event)
            if number == 0:
                for pid in pool.pids:
                    os.kill(pid, signal.SIGKILL)
    assert [e.text for e in segments(events)] == [e.text for e in segments(undisturbed)]
    assert isinstance(events[-1], End)


async def test_workers_killed_again_and_again_end_in_failed_then_service(
    transcripts: Transcripts, pool: LocalPool, passage: Clip, debian_clips: list[Clip]
) -> None:
    async def murder() -> None:
        seen: set[int] = set()
        while True:
            for pid in set(pool.pids) - seen:
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.005)

    transcript = transcripts.join("doomed", Options(), sound(passage.samples), duration=None)
    murderer = asyncio.create_task(murder())
    failed = (await followed(transcript))[-1]
    murderer.cancel()
    assert isinstance(failed, Failed)
    assert failed.code == "SPEECH_FAILED"
    async with asyncio.timeout(30):
        while not pool.ready:
            await asyncio.sleep(0.02)
    assert isinstance((await heard(transcripts, debian_clips[1].samples))[-1], End)


async def test_the_last_reader_to_leave_stops_everything(
    transcripts: Transcripts, pool: LocalPool, passage: Clip
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    transcript = transcripts.join("left", Options(), never(begun, ended, passage.samples * 4), duration=None)
    one, other = transcript.follow(), transcript.follow()
    await asyncio.gather(anext(one), anext(other))
    await one.aclose()
    await asyncio.sleep(0.05)
    assert not ended.is_set()
    await other.aclose()
    again = transcripts.join("left", Options(), sound(b""), duration=None)
    assert again is not transcript
    await ended.wait()
    assert isinstance((await followed(again))[-1], End)
    assert pool.waiting == 0


async def test_more_than_the_bound_is_busy(transcripts: Transcripts) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    readers = [
        asyncio.create_task(followed(transcripts.join(key, Options(), never(begun, ended), duration=None)))
        for key in range(3)
    ]
    await begun.wait()
    with pytest.raises(Busy) as refused:
        transcripts.join("one more", Options(), never(begun, ended), duration=None)
    assert refused.value.retry_after_s
    joining = asyncio.create_task(
        followed(transcripts.join(0, Options(), never(begun, ended), duration=None))
    )  # an identical wish is no more work
    for task in (*readers, joining):
        task.cancel()
    await asyncio.wait([*readers, joining])
    assert isinstance((await heard(transcripts, silence(1)))[-1], End)


async def test_without_workers_it_is_not_ready() -> None:
    settings = Settings()
    transcripts = Transcripts(LocalPool(settings), Background(), settings)
    with pytest.raises(NotReady):
        transcripts.join("key", Options(), sound(b""), duration=None)
    await transcripts.close()


async def test_an_unknown_language_is_refused_before_any_work(transcripts: Transcripts) -> None:
    with pytest.raises(BadRequest):
        transcripts.join("key", Options(language="xx"), sound(b""), duration=None)


async def test_a_broken_sound_keeps_what_came_before(
    transcripts: Transcripts, debian_clips: list[Clip]
) -> None:
    clip = joined(debian_clips[:3], 0.5)
    transcript = transcripts.join("cut", Options(), broken(clip.samples, UpstreamFailed()), duration=None)
    info, *middle, failed = await followed(transcript)
    assert isinstance(info, Info)
    assert error_rate(clip, text_of(segments(middle))) < 0.15
    assert isinstance(failed, Failed)
    assert failed.code == "UPSTREAM_FAILED"


async def test_a_sound_that_cannot_be_decoded_is_only_failed(transcripts: Transcripts) -> None:
    transcript = transcripts.join("no sound", Options(), broken(b"", MediaUndecodable()), duration=None)
    (failed,) = await followed(transcript)
    assert isinstance(failed, Failed)
    assert failed.code == "MEDIA_UNDECODABLE"


async def test_a_fault_of_ours_tells_the_caller_nothing_of_it(transcripts: Transcripts) -> None:
    transcript = transcripts.join("fault", Options(), broken(b"", KeyError("secret")), duration=None)
    (failed,) = await followed(transcript)
    assert isinstance(failed, Failed)
    assert failed.code == "INTERNAL_ERROR"
    assert "secret" not in failed.message


async def test_readers_are_told_when_the_gateway_stops(pool: LocalPool, passage: Clip) -> None:
    background = Background()
    transcripts = Transcripts(pool, background, Settings())
    begun, ended = asyncio.Event(), asyncio.Event()
    early = transcripts.join("never ran", Options(), never(begun, ended), duration=None)
    reader = asyncio.create_task(followed(early))
    await asyncio.sleep(0)
    await background.close()
    (failed,) = await reader
    assert isinstance(failed, Failed)
    await transcripts.close()


async def test_the_sound_is_read_no_faster_than_it_is_recognised(
    transcripts: Transcripts, passage: Clip
) -> None:
    given = 0.0

    async def chunks() -> AsyncGenerator[bytes, None]:
        nonlocal given
        for _ in range(70):
            given += passage.seconds
            yield passage.samples

    async with aclosing(transcripts.join("long", Options(), Sound(chunks), duration=None).follow()) as events:
        async for number, _ in events:
            if number == 4:
                break
    assert given < 700  # of 2,800 s: what is in flight, and the look ahead


async def test_a_sound_may_change_its_language(
    transcripts: Transcripts, debian_clips: list[Clip], held_clips: list[Clip]
) -> None:
    english = debian_clips[0]
    german = next(clip for clip in held_clips if clip.language == "de")
    for clip in (joined([english, german, english], 2.5), joined([german, english, german], 2.5)):
        info, *middle, _ = await heard(transcripts, clip.samples)
        assert isinstance(info, Info)
        assert error_rate(clip, text_of(segments(middle))) < 0.13
        wished = await heard(transcripts, clip.samples, Options(language=info.language))
        assert error_rate(clip, text_of(segments(wished))) > 0.13  # the caller is not doubted


async def test_words_have_times_of_the_sound(transcripts: Transcripts, debian_clips: list[Clip]) -> None:
    events = await heard(transcripts, silence(10) + debian_clips[1].samples, Options(words=True))
    (segment,) = segments(events)
    assert segment.words
    assert segment.start <= segment.words[0].start >= 9.5
    assert segment.words[-1].end <= segment.end
