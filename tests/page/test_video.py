"""A video on the page: its captions, its words, its files, and the ways back to it."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser

from gateway.speech.transcript import Ending
from tests.page.spoken import LONG_S, NARRATION, sentences, speaking, texts, whole
from tests.page.visit import PHONE, another, visiting
from tests.web.conftest import Front, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEAR_S = 0.3  # how far the word that is lit may be from what is heard
# In each frame: where the player was, which word was lit one frame later, and where it was then.
WATCH = """(frames) => new Promise((done) => {
  const player = document.querySelector("#player"), seen = [];
  const look = () => {
    const before = player.currentTime;
    requestAnimationFrame(() => {
      const lit = document.querySelector("#caption .word[aria-current='true']");
      const word = lit && [Number(lit.dataset.start), Number(lit.dataset.end), lit.textContent.trim()];
      seen.push([before, player.currentTime, word]);
      if (seen.length < frames && !player.ended) requestAnimationFrame(look);
      else { player.pause(); done(seen); }
    });
  };
  player.play().then(look);
})"""
LIT = """(all) => all.filter((one) => one.getAttribute("aria-current") === "true")
  .map((one) => one.textContent.trim())"""


async def test_the_cues_are_what_is_said(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            assert await visit.segments(len(said)) == texts(said)
            cues = await visit.cues()
            assert " ".join(text for *_, text in cues) == " ".join(texts(said))
            edges = [edge for one in said for word in one.words or () for edge in (word.start, word.end)]
            assert all({start, end} <= set(edges) for start, end, _ in cues)
            assert (cues[0][0], cues[-1][1]) == (said[0].start, said[-1].end)
            for one in said:
                await visit.seek((one.start + one.end) / 2)
                (shown,) = await visit.texts("#caption", of=".word")
                assert shown in one.text  # all of it, or the line of it that is spoken
                assert len(shown) > 0


async def test_the_lit_word_is_the_one_that_is_heard(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            await visit.ready()
            words = [word for one in said for word in one.words or ()]
            for word in words[::9]:
                await visit.seek((word.start + word.end) / 2)
                assert await visit["#caption .word"].evaluate_all(LIT) == [word.word.strip()]
                assert await visit["#transcript .word"].evaluate_all(LIT) == [word.word.strip()]
            await visit.seek(2.0)
            seen = await visit["#player"].evaluate(f"(_, frames) => ({WATCH})(frames)", 90)
            assert seen[-1][1] > seen[0][0]
            for before, after, lit in seen:
                assert lit is not None, (before, after)
                assert lit[0] - NEAR_S <= after, (before, after, lit)
                assert before <= lit[1] + NEAR_S, (before, after, lit)
            assert len({lit[2] for *_, lit in seen}) > 1


async def test_a_click_on_a_word_goes_there(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            await visit.ready()
            await visit.pause()
            word = (said[2].words or ())[3]
            await visit["#transcript .segment:nth-child(3) .word >> nth=3"].click()
            await visit.stands(word.start)
            await visit.pause()
            await visit["#transcript .segment:nth-child(2) .time"].click()
            await visit.stands(said[1].start)


async def test_a_second_tab_joins_from_the_beginning(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as first:
        with speaking(front, "speech") as script:
            said = sentences(NARRATION)
            script.say(*said[:2])
            await first.ask(front.origin.url("speech"))
            assert await first.segments(2) == texts(said[:2])
            await first.state("playing")
            second = await another(first)
            await second.open()
            await second.ask(front.origin.url("speech"))
            assert await second.segments(2) == texts(said[:2])
            by_id = await another(first)
            await by_id.open(f"#transcript={script.transcript.id}")
            assert await by_id.segments(2) == texts(said[:2])
            script.say(*said[2:], Ending(LONG_S, "ok"))
            for tab in (first, second, by_id):
                await tab.state("complete")
                assert await tab.segments(len(said)) == texts(said)
                assert " ".join(text for *_, text in await tab.cues()) == " ".join(texts(said))
            assert front.origin.hits["media:speech.0"] <= 1
            assert second.faults == by_id.faults == []


async def test_a_link_opens_the_same_post_at_the_same_second(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, permissions=["clipboard-read", "clipboard-write"]) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            await visit.ready()
            await visit.pause()
            await visit.seek(12.5)
            await visit["#share"].click()
            await visit.true("navigator.clipboard.readText().then((text) => text.includes('#post='))")
            link: str = await visit.page.evaluate("navigator.clipboard.readText()")
            assert link.startswith(f"{front.url}/ui#")
            again = await another(visit)
            await again.page.goto(link)
            await again.state("complete")
            assert await again.segments(len(said)) == texts(said)
            await again.stands(12.5, within_s=2)
            assert again.faults == []


@pytest.mark.parametrize("text", ["Look at this! {} via TikTok", "{}?is_from_webapp=1&sender_device=pc"])
async def test_a_whole_share_text_will_do(front: Front, browser: Browser, text: str) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "video") as script:
            whole(script)
            await visit.ask(text.format(front.origin.url("video")))
            await visit.state("complete")
            await visit.ready()


async def test_everything_can_be_saved(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            saved: dict[str, bytes] = {}
            links = visit["#saves a.save"]
            for number in range(await links.count()):
                async with visit.page.expect_download() as coming:
                    await links.nth(number).click()
                download = await coming.value
                saved[download.suggested_filename.rpartition(".")[2]] = (await download.path()).read_bytes()
            assert saved.keys() == {"mp4", "srt", "vtt", "txt"}
            assert saved["mp4"] == front.origin.parts("speech")[0]
            assert saved["txt"].decode() == " ".join(texts(said))
            assert saved["vtt"].startswith(b"WEBVTT")
            assert b"-->" in saved["srt"]


async def test_what_was_said_is_found_and_played(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
        hits: list[Any] = []
        await until(lambda: script.transcript.over)
        while not hits:  # it is written down right behind its end
            async with front.session.get(f"{front.url}/transcripts", params={"q": "notebook"}) as answer:
                hits = json.loads(await answer.text())["hits"]
        await visit.open()
        await visit["#query"].fill("weather notebook")
        await visit["#query"].press("Enter")
        hit = visit["#hits a.hit"].first
        await hit.wait_for()
        assert float(await hit.get_attribute("data-start") or -1) == pytest.approx(said[2].start, abs=0.01)
        await visit.shot("search-1280-light")
        await hit.click()
        await visit.state("complete")
        assert await visit.segments(len(said)) == texts(said)
        await visit.ready()
        await visit.stands(said[2].start, within_s=3)
        await visit["#query"].fill("nobody ever said this")
        await visit["#query"].press("Enter")
        await visit["#hits a.hit"].first.wait_for(state="detached")


async def test_on_a_phone_the_player_stays_in_sight(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, viewport={"width": PHONE[0], "height": PHONE[1]}) as visit:
        with speaking(front, "speech") as script:
            whole(script, NARRATION * 4)
            await visit.open(f"#post={quote(front.origin.url('speech'), safe='')}")
            await visit.state("complete")
            last = visit["#transcript .segment"].last
            await last.evaluate("(one) => one.scrollIntoView({block: 'nearest'})")
            box = await visit["#player"].bounding_box()
            line = await last.bounding_box()
            assert box is not None
            assert line is not None
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= PHONE[1]
            assert line["y"] >= box["y"] + box["height"]  # it is not below the player
