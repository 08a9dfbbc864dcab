"""What strangers wrote is shown as they wrote it, and does nothing."""

import json
from urllib.parse import quote

import pytest
from playwright.async_api import Browser

from gateway.speech.transcript import Ending
from gateway.wire.events import Segment, Word
from tests.page.spoken import CLIPS, speaking
from tests.page.visit import STICKS_OUT, Visit, visiting
from tests.web.conftest import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "<img src=/nowhere onerror=alert(1)>"
TEXTS = [
    f"<script>alert(1)</script>{MARK}",
    "</span></li></ol><iframe src=//elsewhere.example></iframe>",
    "00:00:00.000 --> 99:00:00.000\n\nWEBVTT <c.red>&lt;b&gt; <v Somebody>",
    "\u202egnp.exe\u202c \u2066 \u200f mixed \x07 \u0000 \ud7ff\uffff",
    "unbroken" * 400,
    "javascript:alert(1) {{7*7}} ${7*7} %s",
]
NAMES = [
    f"{MARK}.mp4", "\u202egpj.exe.mp4", "long" * 60 + ".mp4", "../../etc/passwd",
    '"><script>alert(1)</script>',
]  # fmt: skip
LINKS = [
    ("post", "javascript:alert(1)"), ("post", MARK), ("post", "https://elsewhere.example/@x/video/1"),
    ("transcript", "../../live?x="), ("transcript", "//elsewhere.example/"), ("post", "%E0%A4%A&t=nowhere"),
]  # fmt: skip
STRANGE = """() => [...document.querySelectorAll("script:not([src]), iframe, object, embed, base, style,"
  + "[onerror], [onload], [onclick], a[href^='javascript:'], img[src='/nowhere']")]
  .map((one) => one.outerHTML)"""


async def harmless(visit: Visit) -> None:
    """Nothing was made of it but text, and the page is no wider for it."""
    await visit.pause()
    assert await visit.page.evaluate(STRANGE) == []
    for width in (1280, 360):
        await visit.page.set_viewport_size({"width": width, "height": 760})
        assert await visit.page.evaluate(STICKS_OUT) == [], width


@pytest.mark.parametrize("scenario", ["hostile_text", "hostile_photos", "hostile_surrogate"])
async def test_titles_are_text(front: Front, browser: Browser, scenario: str) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, scenario) as script:
            said = [
                Segment(
                    number, number * 2.0, number * 2 + 2.0, f" {text}", -0.2, 0.01, 1.0,
                    words=(Word(number * 2.0, number * 2 + 2.0, f" {text}", 0.9),),
                )
                for number, text in enumerate(TEXTS)
            ]  # fmt: skip
            script.say(*said, Ending(12.0, "ok"))
            await visit.ask(front.origin.url(scenario))
            await visit.state("complete")
            assert len(await visit.segments(len(said))) == len(said)
            shown = await visit["#transcript"].inner_text()
            assert MARK in shown
            assert "</span></li></ol>" in shown
            if scenario == "hostile_text":
                drawn = [text for *_, text in await visit.cues()]
                assert MARK in " ".join(drawn)  # no text ends a cue, begins one or is markup in it
                assert len(drawn) == len(said)
                assert "</script><b>bold</b>" in await visit["body"].inner_text()  # the title, as it is
                await visit.seek(1.0)
                assert MARK in await visit["#caption"].inner_text()
            await harmless(visit)
            await visit.page.set_viewport_size({"width": 360, "height": 740})
            await visit.shot(f"{scenario}-360-light")
        for link in await visit["#saves a.save"].evaluate_all("(all) => all.map((one) => one.download)"):
            assert not set(link) & set('/\\:"<>|\u202e\n'), link


async def test_file_names_are_text(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        for name in NAMES:
            film = {"name": name, "mimeType": "video/mp4", "buffer": (CLIPS / "music.mp3").read_bytes()}
            await visit["#file"].set_input_files([film])  # type: ignore[arg-type]
            await visit.begin()
            await visit.error("BUSY")  # nobody hears here
            await visit.ready()  # but it can be watched
            await harmless(visit)


async def test_what_is_found_is_text(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "hostile_text") as script:
            script.say(Segment(0, 0.0, 1.0, f" findable {MARK}"), Ending(1.0, "ok"))
            await visit.ask(front.origin.url("hostile_text"))
            await visit.state("complete")
        hits: list[object] = []
        while not hits:
            async with front.session.get(f"{front.url}/transcripts", params={"q": "findable"}) as answer:
                hits = json.loads(await answer.text())["hits"]
        await visit["#query"].fill("findable")
        await visit["#query"].press("Enter")
        await visit["#hits a.hit"].first.wait_for()
        assert MARK in await visit["#hits"].inner_text()
        await harmless(visit)
        await visit["#query"].fill(MARK)
        await visit["#query"].press("Enter")
        await visit["#hits a.hit"].first.wait_for()
        await harmless(visit)


async def test_a_link_to_nothing_says_so(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        for name, value in LINKS:
            await visit.open(f"#{name}={quote(value, safe='%')}")
            await visit["#error"].wait_for(state="visible")
            assert len((await visit["#error"].inner_text()).strip()) > 10
            await harmless(visit)
