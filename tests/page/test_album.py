"""A photo post on the page: an album with its sound, or a film of it."""

import asyncio

import pytest
from playwright.async_api import Browser, Route

from tests.page.spoken import CLIPS, speaking, texts, whole
from tests.page.visit import Visit, visiting
from tests.web.conftest import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOUND_S = 7.0
TEXT = (CLIPS / "sound.txt").read_text("utf-8")
SHOWN = """() => { const album = document.querySelector("#album").getBoundingClientRect();
  const middle = album.left + album.width / 2;
  return [...document.querySelectorAll("#album .slide")].findIndex((one) => {
    const box = one.getBoundingClientRect(); return box.left <= middle && middle < box.right; }); }"""
HEARD = """(({buffered, duration}) => buffered.length > 0 &&
  buffered.end(buffered.length - 1) > duration - 0.5)(document.querySelector("#sound"))"""
NOTES = """() => { window.told = []; new MutationObserver(() =>
  window.told.push(document.querySelector("#status").textContent)).observe(
  document.querySelector("#status"), {childList: true, characterData: true, subtree: true}); }"""
LOADED = (
    "[...document.querySelectorAll('#album .slide img')].filter((one) => one.naturalWidth === 720).length"
)


async def shows(visit: Visit, slide: int) -> None:
    await visit.true(f"({SHOWN})() === {slide}")


async def test_an_album_is_leafed_through_and_heard(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "photo3", long_s=SOUND_S) as script:
            said = whole(script, TEXT, SOUND_S)
            await visit.ask(front.origin.url("photo3"))
            await visit.state("complete")
            slides = visit["#album .slide img"]
            assert await slides.count() == 3
            for number in range(3):
                assert await slides.nth(number).get_attribute("alt")
            await visit.true(f"{LOADED} === 3")
            await shows(visit, 0)
            await visit["#next"].click()
            await shows(visit, 1)
            await visit["#next"].press("Enter")
            await shows(visit, 2)
            await visit["#previous"].click()
            await shows(visit, 1)
            await visit["#slides"].press("ArrowLeft")
            await shows(visit, 0)
            await visit["#sound"].evaluate("(sound) => sound.play()")
            await visit.true("document.querySelector('#sound').currentTime > 0.5")
            await visit.pause()
            assert await visit.segments(len(said)) == texts(said)
            await visit["#transcript .segment:nth-child(2) .word >> nth=1"].click()
            await visit.stands((said[1].words or ())[1].start, "#sound")
            await visit.usable("album")


async def test_the_slideshow_plays_in_its_place(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "photo3", long_s=SOUND_S) as script:
            whole(script, TEXT, SOUND_S)
            await visit.ask(front.origin.url("photo3"))
            await visit.state("complete")
            await visit["#slideshow"].click()
            await visit["#player"].wait_for(state="visible")
            await visit.ready()
            await visit["#player"].evaluate("(player) => player.play()")
            await visit.true("document.querySelector('#player').currentTime > 0.3")
            assert await visit["#player"].evaluate("(player) => player.videoHeight / player.videoWidth") > 1.7
            assert await visit["#player"].evaluate("(player) => player.duration") > SOUND_S
            assert await visit["#sound"].evaluate("(sound) => sound.paused")  # not both at once
            await visit.shot("slideshow-1280-light")


async def test_a_film_that_failed_is_what_is_tried_again(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        with speaking(front, "photo3", long_s=SOUND_S) as script:
            said = whole(script, TEXT, SOUND_S)
            await visit.ask(front.origin.url("photo3"))
            await visit.state("complete")
            await visit.true(HEARD)
            heard: list[str] = []
            visit.page.on("request", lambda asked: heard.append(asked.url))
            await visit.page.context.set_offline(True)
            await visit["#slideshow"].click()
            assert await visit.error("Unreachable")
            await visit.page.context.set_offline(False)
            await visit["#again"].click()
            await visit.state("complete")
            await visit["#player"].wait_for(state="visible")
            await visit.ready()
            assert not await visit["#error"].is_visible()
            assert f"{front.url}/transcribe" not in heard  # nothing was wrong with the words
            assert await visit.segments(len(said)) == texts(said)
            await visit["#slideshow"].click()  # and back
            await visit["#album"].wait_for(state="visible")


async def test_a_film_says_nothing_over_what_is_opened_meanwhile(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "photo3", long_s=SOUND_S) as photos, speaking(front, "speech") as script:
            whole(photos, TEXT, SOUND_S)
            whole(script)
            await visit.ask(front.origin.url("photo3"))
            await visit.state("complete")
            await visit.true(HEARD)
            held = asyncio.Event()

            async def hold(route: Route) -> None:
                """The film's first bytes are long on their way."""
                if held.is_set():
                    await route.continue_()
                else:
                    held.set()

            await visit.page.route("**/media/**", hold)
            await visit["#slideshow"].click()
            async with asyncio.timeout(60):
                await held.wait()
            await visit.page.evaluate(NOTES)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            told = await visit.page.evaluate("window.told")
            assert told[0] == "Looking for it…"
            assert "Here is the film." not in told


async def test_pictures_without_a_sound_are_an_album_all_the_same(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        await visit.ask(front.origin.url("photo_silent"))
        await visit.state("complete", "failed")
        await visit.true(f"{LOADED} === 3")
        await visit.shot("album-silent-1280-light")
