"""The page for everybody: by keyboard, on every screen, from right to left, and read aloud."""

import pytest
from playwright.async_api import Browser

from gateway.speech.transcript import Ending
from tests.page.spoken import LONG_S, NARRATION, sentences, speaking, texts, whole
from tests.page.visit import visiting
from tests.web.conftest import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARABIC = (
    "أهلا بكم في المنارة القديمة على الشاطئ الشمالي. كل صباح تفتح الحارسة الباب الأزرق وتنزل إلى الماء. "
    "تعد القوارب وتكتب حالة الطقس في دفترها."
)
TABS_MAX = 60
# What has the focus, and whether one sees that it has.
FOCUSED = """() => {
  const one = document.activeElement, look = getComputedStyle(one);
  const ring = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) > 0;
  const media = ["BODY", "VIDEO", "AUDIO"].includes(one.tagName);  // the browser draws these its own way
  return [one.id || one.className || one.tagName, ring || look.boxShadow !== "none" || media];
}"""


async def test_all_can_be_done_by_keyboard(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = whole(script)
            keys = visit.page.keyboard
            for _ in range(TABS_MAX):
                if await visit["#address"].evaluate("(one) => one === document.activeElement"):
                    break
                await keys.press("Tab")
            await keys.insert_text(front.origin.url("speech"))
            await keys.press("Enter")
            await visit.state("complete")
            await visit.ready()
            await visit.pause()
            await visit.page.evaluate("document.activeElement.blur()")
            reached: list[str] = []
            for _ in range(TABS_MAX):
                await keys.press("Tab")
                name, ring = await visit.page.evaluate(FOCUSED)
                assert ring, f"nobody sees that {name} has the focus"
                reached.append(name)
                if "time" in name:
                    break
            assert "time" in reached[-1], reached
            for _ in range(3):  # from the time to its words
                await keys.press("ArrowRight")
            assert (await visit.page.evaluate(FOCUSED))[1]
            onward = await visit.page.evaluate("Number(document.activeElement.dataset.start)")
            assert onward == (said[0].words or ())[2].start
            await visit.shot("keyboard-1280-light")
            await keys.press("Enter")
            await visit.stands(onward)
            await visit.page.evaluate("scrollTo(0, 0)")
            for name in ("#address", "#go", "#file", "#query", "#share"):
                await visit[name].focus()
                assert await visit[name].evaluate("(one) => one === document.activeElement"), name
            assert len(said) == len(await visit.segments(len(said)))


async def test_an_empty_page_keeps_nobody_out(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        await visit.open(path="/")  # a browser gets the page there too
        assert await visit.page.title()
        await visit.usable("idle")
        assert await visit["html"].get_attribute("data-state") == "idle"


async def test_a_video_and_its_words_keep_nobody_out(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech") as script:
            said = sentences(NARRATION)
            script.say(*said[:2])
            await visit.ask(front.origin.url("speech"))
            await visit.segments(2)
            await visit.state("playing")
            await visit.ready()
            await visit.pause()
            await visit.seek(2.0)
            await visit.usable("playing")
            script.say(*said[2:], Ending(LONG_S, "ok"))
            await visit.state("complete")
            await visit.seek(9.0)
            await visit.usable("complete")


async def test_an_error_keeps_nobody_out(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, refusals=True) as visit:
        await visit.ask(front.origin.url("private"))
        await visit.error("VIDEO_PRIVATE")
        assert await visit["#error"].get_attribute("role") == "alert"
        await visit.usable("failed")


async def test_words_from_right_to_left(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url) as visit:
        with speaking(front, "speech", language="ar") as script:
            said = whole(script, ARABIC)
            await visit.ask(front.origin.url("speech"))
            await visit.state("complete")
            assert await visit.segments(len(said)) == texts(said)
            line = visit["#transcript .segment"].first
            assert await line.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
            assert await line.evaluate("(one) => one.closest('[lang]').lang") == "ar"
            words = line.locator(".word")
            first, second = await words.nth(0).bounding_box(), await words.nth(1).bounding_box()
            assert first is not None
            assert second is not None
            assert first["x"] > second["x"]
            await visit.ready()
            await visit.pause()
            await visit.seek(2.0)
            caption = visit["#caption .word"].first
            assert await caption.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
            await visit.usable("arabic")


async def test_who_wants_no_motion_gets_none(front: Front, browser: Browser) -> None:
    async with visiting(browser, front.url, reduced_motion="reduce") as visit:
        moving = """() => [...document.querySelectorAll("*")].filter((one) => {
          const look = getComputedStyle(one);
          const long = (times) => times.split(",").some((time) => parseFloat(time) > 0.01);
          return long(look.animationDuration) && look.animationName !== "none"
            || long(look.transitionDuration) || look.scrollBehavior === "smooth"; })
          .map((one) => one.id || one.tagName)"""
        assert await visit.page.evaluate(moving) == []


async def test_without_scripts_the_page_says_so(front: Front, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        page = await context.new_page()
        answer = await page.goto(f"{front.url}/ui")
        assert answer is not None
        assert answer.status == 200
        assert len((await page.locator("noscript").inner_text()).strip()) > 10
    finally:
        await context.close()
