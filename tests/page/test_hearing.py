"""The page with a gateway that hears: the words are those that are spoken, and they come early."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.origin.cdn import Fault
from tests.page.conftest import TRANSCRIPTS_MAX
from tests.page.spoken import CLIPS, NARRATION
from tests.page.visit import visiting
from tests.speech import clips
from tests.speech.clips import Clip
from tests.speech.conftest import held_clips
from tests.web.conftest import Front, until
from tests.web.script import Script
from tests.web.test_transcribe import alike

__all__ = ["held_clips"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
PICTURE_BYTES_MAX = 300_000
BUFFERED = """() => { const player = document.querySelector("#player");
  return player.buffered.length && player.buffered.end(player.buffered.length - 1) < player.duration - 1; }"""
DROPPED = """(bytes) => { const dropped = new DataTransfer();
  dropped.items.add(new File([new Uint8Array(bytes)], "film.mp4", {type: "video/mp4"})); return dropped; }"""
HERE = """([here, all]) => { const bar = document.querySelector("#bytes");
  return bar.checkVisibility() && bar.value === here && bar.max === all; }"""


async def test_the_first_caption_is_on_screen_before_the_video_is_whole(
    hearing: Front, browser: Browser
) -> None:
    size = len(hearing.origin.parts("speech")[0])
    hearing.origin.faults(lambda name, size: Fault(hang_at=size * 2 // 3))
    try:
        async with visiting(browser, hearing.url) as visit:
            await visit.ask(hearing.origin.url("speech"))
            await visit.segments(1)
            await visit.state("playing")
            await visit.ready()
            await visit.seek(1.0)
            (shown,) = await visit.texts("#caption", of=".word")
            assert alike(shown, "Welcome to the old lighthouse on the north shore") > 0.5
            assert hearing.origin.bytes_sent["speech"] < size
            assert await visit.page.evaluate(BUFFERED)
            await visit.true(HERE, [size * 2 // 3, size])  # bytes are told where nothing else comes
            await visit.shot("arriving-1280-light")
            assert hearing.origin.hits["media:speech"] == 1  # heard and played are the same bytes
            hearing.origin.faults(None)
            hearing.origin.release()
            await visit.state("complete")
            # and in the end all that is spoken
            assert alike(" ".join(await visit.segments(3)), NARRATION) > 0.9
            cues = await visit.cues()
            assert alike(" ".join(text for *_, text in cues), NARRATION) > 0.9
            assert "English" in await visit["#detected"].inner_text()
            times = [time for start, end, _ in cues for time in (start, end)]
            assert times == sorted(times)
    finally:
        hearing.origin.faults(None)
        hearing.origin.release()


async def test_the_picture_of_the_readme_is_of_a_real_run(hearing: Front, browser: Browser) -> None:
    """Taken again with CLIPWIRE_PICTURE; else it is only looked for."""
    if os.environ.get("CLIPWIRE_PICTURE"):
        async with visiting(browser, hearing.url, device_scale_factor=1) as visit:
            await visit.ask(hearing.origin.url("speech"))
            await visit.state("complete")
            await visit.ready()
            await visit.pause()
            await visit.seek(7.5)
            await visit.page.mouse.move(0, 0)
            await visit.page.screenshot(path=PICTURE)
    picture = PICTURE.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < PICTURE_BYTES_MAX
    readme = PICTURE.parents[1] / "README.md"
    assert "docs/page.png" in readme.read_text("utf-8")


async def test_a_file_is_played_here_and_heard_there(hearing: Front, browser: Browser) -> None:
    async with visiting(browser, hearing.url) as visit:
        await visit["#file"].set_input_files(CLIPS / "video.mp4")
        await visit.begin()
        await visit.state("complete")
        said = " ".join(await visit.segments(1))
        assert alike(said, (CLIPS / "video.txt").read_text("utf-8")) > 0.8
        assert (await visit["#player"].evaluate("(player) => player.currentSrc")).startswith("blob:")
        await visit.seek(2.0)
        assert await visit.texts("#caption", of=".word") != [""]
        names = await visit["#saves a.save"].evaluate_all("(all) => all.map((one) => one.download)")
        assert {name.rpartition(".")[2] for name in names} >= {"srt", "vtt", "txt"}


async def test_a_code_pays_for_a_file_that_is_dropped(hearing: Front, browser: Browser) -> None:
    (code,) = await hearing.gateway.codes.issue(1, seconds=60)
    async with visiting(browser, hearing.url) as visit:
        await visit["#options summary"].click()
        await visit["#code"].fill(code.code)
        film = list((CLIPS / "video.mp4").read_bytes())
        dropped = await visit.page.evaluate_handle(DROPPED, film)
        await visit.page.dispatch_event("body", "drop", {"dataTransfer": dropped})
        await visit.state("complete")
        said = " ".join(await visit.segments(1))
        assert alike(said, (CLIPS / "video.txt").read_text("utf-8")) > 0.8
        assert (await hearing.gateway.codes.get(code.id)).credit.state == "used"
        assert await visit["#code"].input_value() == ""


@pytest.mark.soak
async def test_people_s_own_voices_are_read_along(
    hearing: Front, browser: Browser, held_clips: list[Clip], tmp_path: Path
) -> None:
    short = [clip for clip in held_clips if clip.seconds < (300 if os.environ.get("CLIPWIRE_SOAK") else 6)]
    for clip in short:
        async with visiting(browser, hearing.url) as visit:
            sound = {"name": clip.name, "mimeType": "audio/wav", "buffer": clips.wav(clip.samples)}
            await visit["#file"].set_input_files([sound])  # type: ignore[arg-type]
            await visit.begin()
            await visit.state("complete")
            said = " ".join(await visit.segments(1))
            assert clips.error_rate(clip, said) < 0.25, (clip.name, said)
            assert await visit["#transcript"].get_attribute("lang") == clip.language
            assert " ".join(text for *_, text in await visit.cues()) == said


async def test_what_is_no_media_is_told_in_words(hearing: Front, browser: Browser) -> None:
    async with visiting(browser, hearing.url, refusals=True) as visit:
        paper = {"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"not a film at all " * 400}
        await visit["#file"].set_input_files([paper])  # type: ignore[arg-type]
        await visit.begin()
        assert len(await visit.error("MEDIA_UNDECODABLE")) > 20


async def test_a_place_in_the_queue_is_told(hearing: Front, browser: Browser) -> None:
    speech = clips.decoded(CLIPS / "speech.mp4")
    async with stopped(hearing), visiting(browser, hearing.url) as visit, asyncio.TaskGroup() as group:
        # one is with the worker, which stands still, and two have their turns before the page's
        others = [group.create_task(heard(hearing, clips.wav(speech[: 64_000 + more]))) for more in (0, 2, 4)]
        await until(lambda: hearing.gateway.pool.waiting == 2, 60)
        await visit.speaks("es")  # else what was heard before would do
        await visit.ask(hearing.origin.url("speech"))
        await visit["#queue"].wait_for(state="visible")
        await visit.true("document.querySelector('#queue').textContent.includes('2')")
        await visit.shot("queue-1280-light")
        await visit["#stop"].click()
        await visit["#stop"].wait_for(state="hidden")
        assert not await visit["#queue"].is_visible()
        for other in others:
            other.cancel()


async def test_a_full_queue_is_told_and_the_video_plays(hearing: Front, browser: Browser) -> None:
    async with visiting(browser, hearing.url, refusals=True) as visit:
        others = [Script(hearing.gateway.transcripts).transcript for _ in range(TRANSCRIPTS_MAX)]
        await visit.speaks("en")
        await visit.ask(hearing.origin.url("speech"))
        told = await visit.error("BUSY")
        assert "BUSY" not in told
        await visit.ready()
        await visit.usable("queue-full")
        for one in others:
            await one.cancel()
        await visit["#again"].click()
        await visit.state("complete")
        assert not await visit["#error"].is_visible()
        assert alike(" ".join(await visit.segments(3)), NARRATION) > 0.9


async def heard(front: Front, media: bytes) -> None:
    headers = {"Content-Type": "audio/wav"}
    async with front.session.post(f"{front.url}/transcribe", data=media, headers=headers) as answer:
        await answer.read()


@asynccontextmanager
async def stopped(front: Front) -> AsyncIterator[None]:
    """The speech worker stands still."""
    (worker,) = front.gateway.pool.pids
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)
