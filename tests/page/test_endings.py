"""The page when things go wrong: what happened and what to do is said, and what is there stays."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from playwright.async_api import Browser, Route

from tests.origin.cdn import Fault
from tests.origin.origin import Origin
from tests.page.spoken import NARRATION, sentences, speaking, texts, whole
from tests.page.visit import visiting
from tests.serving import Served, serving
from tests.web.conftest import Front, started
from tests.web.test_transcribe import alike

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a key that the operator made for the page"


async def test_a_server_that_dies_leaves_what_is_there_and_is_asked_again(
    tmp_path: Path, browser: Browser, data_dir: Path, base_model: Path
) -> None:
    port = unused_port()
    async with Origin(tmp_path / "origin") as origin:
        origin.faults(lambda name, size: Fault(hang_at=size * 2 // 3))
        async with (
            hearing_at(tmp_path, data_dir, origin, port) as served,
            visiting(browser, served.url, refusals=True) as visit,
        ):
            await visit.ask(origin.url("speech"))
            first = await visit.segments(1)
            await visit.ready()
            served.kill()
            await visit.state("failed")
            await visit["#error"].wait_for(state="visible")
            await visit.shot("died-1280-light")
            assert (await visit.segments(1))[0] == first[0]
            assert await visit["#player"].evaluate("(player) => player.readyState") >= 2
            origin.faults(None)
            origin.release()
            async with hearing_at(tmp_path, data_dir, origin, port):
                await visit["#again"].click()
                await visit.state("complete")
                assert not await visit["#error"].is_visible()
                said = await visit.segments(3)
                assert alike(" ".join(said), NARRATION) > 0.9
                assert len(said) == len(set(said))  # nothing is there twice
                assert len(await visit.cues()) == len(said)
                await visit.ready()


async def test_a_key_is_asked_for_and_stays_in_this_tab(tmp_path: Path, browser: Browser) -> None:
    async with started(tmp_path, api_key=KEY) as front, visiting(browser, front.url, refusals=True) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            await visit.ask(front.origin.url("speech"))
            assert await visit.error("API_KEY_INVALID")
            await visit["#key"].wait_for(state="visible")
            await visit.usable("key")
            for wrong in ("a wrong one", "€uro"):  # no header can hold the last
                await visit["#key"].fill(wrong)
                await visit["#again"].click()
                await visit.state("asking", "failed")
                assert "does not know this key" in await visit.error("API_KEY_INVALID")
            await visit["#key"].fill(KEY)
            await visit["#key"].press("Enter")
            await visit.state("complete")
            assert await visit.segments(len(said)) == texts(said)
            await visit.ready()
        kept = "Object.values({}).concat(Object.values(localStorage)).join() + document.cookie"
        assert KEY not in await visit.page.evaluate(kept)
        assert KEY not in visit.page.url
        assert KEY in await visit.page.evaluate("Object.values(sessionStorage).join()")


@pytest.mark.parametrize(
    ("scenario", "code"),
    [("private", "VIDEO_PRIVATE"), ("deleted", "VIDEO_UNAVAILABLE"), ("page_429", "UPSTREAM_RATE_LIMITED")],
)
async def test_a_post_that_is_not_to_be_had_says_why(
    front: Front, browser: Browser, scenario: str, code: str
) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        await visit.ask(front.origin.url(scenario))
        told = await visit.error(code)
        assert len(told) > 20
        assert code not in told
        await visit.state("failed")


@pytest.mark.parametrize("code", ["ABCD-EFGH", "€€€€-EFGH"])
async def test_a_code_that_is_not_known_is_asked_for_again(front: Front, browser: Browser, code: str) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        await visit["#options summary"].click()
        await visit["#code"].fill(code)
        clip = {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": front.origin.parts("speech")[0]}
        await visit["#file"].set_input_files([clip])  # type: ignore[list-item]
        assert "code is not known" in await visit.error("CODE_UNKNOWN")


async def test_an_answer_that_comes_too_late_says_nothing(front: Front, browser: Browser) -> None:
    late: list[Route] = []

    async def hold(route: Route) -> None:
        """The first question is stuck in a proxy, which will give it up."""
        if late:
            await route.continue_()
        else:
            late.append(route)

    async with visiting(browser, front.url, refusals=True) as visit:
        await visit.page.route("**/transcripts?*", hold)
        for words in ("the first", "the second"):
            await visit["#query"].fill(words)
            await visit["#query"].press("Enter")
        await visit.true("document.querySelector('#found').textContent.startsWith('Nobody')")
        async with visit.page.expect_response("**/transcripts?*") as answer:
            await late[0].fulfill(status=502)
        await (await answer.value).finished()
        await visit.page.evaluate("() => new Promise((done) => setTimeout(done, 200))")
        assert not await visit["#error"].is_visible()
        assert (await visit["#found"].inner_text()).startswith("Nobody")


async def test_what_is_no_link_says_what_is(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        await visit.ask("hello there")
        assert "link" in (await visit.error("INVALID_URL")).lower()
        await visit.state("failed")
        with speaking(front, "speech") as script:  # and the next one works
            whole(script)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            assert not await visit["#error"].is_visible()


async def test_an_origin_that_dies_leaves_the_words(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        with speaking(front, "cdn_dies") as script:
            said = whole(script)
            await visit.ask(front.origin.url("cdn_dies"))
            await visit.state("failed", "complete")
            assert await visit.segments(len(said)) == texts(said)
            await visit["#player"].evaluate("(player) => { player.currentTime = player.duration - 1; }")
            await visit["#error"].wait_for(state="visible")
            assert len((await visit["#error"].inner_text()).strip()) > 20


async def test_to_stop_ends_the_work(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            script.say(*sentences(NARRATION)[:1])
            await visit.ask(front.origin.url("speech"))
            await visit.segments(1)
            await visit["#stop"].click()
            await visit["#stop"].wait_for(state="hidden")
            assert not await visit["#error"].is_visible()
            async with asyncio.timeout(10):
                while not script.transcript.ending:  # its last reader has left
                    await asyncio.sleep(0.01)


def hearing_at(
    folder: Path, data_dir: Path, origin: Origin, port: int
) -> AbstractAsyncContextManager[Served]:
    """A gateway in a process of its own, which may die."""
    return serving(
        folder, port=port, data_dir=data_dir, model="base", workers=1, stall_s=120,
        database_url=f"sqlite:///{folder / 'clipwire.db'}",
        proxy_url=origin.proxy_url, proxy_ca_file=origin.ca_file,
    )  # fmt: skip
