"""A visit to the page in a real browser, and what the browser complains of meanwhile."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, async_playwright

SHOTS = os.environ.get("CLIPWIRE_SHOTS")  # a folder for pictures of each walk, for people to look at
WAIT_MS = 60_000  # far more than is needed: a hang is to be told from a machine that is busy
REFUSED = re.compile(r"Failed to load resource: (the server responded with a status of|net::ERR_)")
WIDE, PHONE = (1280, 800), (360, 740)
RULES = {"resultTypes": ["violations"]}
FOUND = "(rules) => axe.run(rules).then((told) => told.violations)"
STICKS_OUT = """() => [...document.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect(), card = one.closest(".card") ?? document.body;
  const room = card.getBoundingClientRect();
  return box.width > 1 && !one.closest("#slides") && (box.left < room.left - 1 || room.right + 1 < box.right);
}).map((one) => one.id || one.className || one.tagName)"""
CUES = """() => [...document.querySelector("#player").textTracks].flatMap((one) => [...(one.cues ?? [])])
  .map((cue) => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser, driven by Playwright."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: sh tests/packages.sh chromium")
    async with async_playwright() as driver:
        arguments = [
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--mute-audio",
        ]  # fmt: skip
        browser = await driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Visit:
    """One tab. Whatever is named by the page's own ids."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.refusals_expected = False  # Chromium writes each refused answer to its console
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", self._asked)
        page.on("dialog", self._dialog)

    def __getitem__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    async def open(self, fragment: str = "", path: str = "/ui") -> None:
        """The page anew, as who follows a link gets it."""
        if self.page.url != "about:blank":  # another fragment alone would load nothing
            await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}{path}{fragment}")
        await self.page.wait_for_selector("html[data-state]", state="attached")

    async def ask(self, text: str) -> None:
        """Puts a link in and sends it."""
        await self["#address"].fill(text)
        await self["#go"].click()

    async def speaks(self, language: str) -> None:
        """Chooses the language that is spoken."""
        await self["#options summary"].click()
        await self["#language"].select_option(language)

    async def begin(self) -> None:
        """Sends what was chosen, where choosing it alone has not begun anything."""
        if await self["html"].get_attribute("data-state") == "idle":
            await self["#go"].click()

    async def state(self, *names: str) -> None:
        """Waits for one of these."""
        wanted = ", ".join(f'html[data-state="{name}"]' for name in names)
        await self.page.wait_for_selector(wanted, state="attached")

    async def segments(self, at_least: int) -> list[str]:
        """The texts in the transcript, once there are so many."""
        await self[f"#transcript .segment >> nth={at_least - 1}"].wait_for(state="attached")
        return await self.texts("#transcript .segment", of=".word")

    async def texts(self, selector: str, *, of: str = "") -> list[str]:
        """What each match says, its white space made plain; `of`: of those inside it alone."""
        script = """(all, of) => all.map((one) => of === "" ? one.textContent
          : [...one.querySelectorAll(of)].map((word) => word.textContent.trim()).join(" "))"""
        found: list[str] = await self[selector].evaluate_all(script, of)
        return [" ".join(text.split()) for text in found]

    async def cues(self) -> list[tuple[float, float, str]]:
        """Those of the player's track, a line each, as the browser draws them."""
        found = await self.page.evaluate(CUES)
        return [(start, end, " ".join(text.split())) for start, end, text in sorted(found)]

    async def seek(self, to_s: float) -> None:
        """Stops the player there, and waits until the page has drawn it."""
        await self.pause()
        await self["#player"].evaluate(
            """(player, to) => new Promise((done) => {
              player.addEventListener("seeked", () => requestAnimationFrame(() =>
                requestAnimationFrame(done)), {once: true});
              player.currentTime = to;
            })""",
            to_s,
        )

    async def stands(self, at_s: float, media: str = "#player", *, within_s: float = 1) -> None:
        """Waits until the player is about there; it may be playing."""
        await self.true(
            """([media, at, within]) => Math.abs(document.querySelector(media).currentTime - at) < within""",
            [media, at_s, within_s],
        )

    async def ready(self, media: str = "#player") -> None:
        """Waits until the player has a picture."""
        await self.true("(media) => document.querySelector(media).readyState >= 2", media)

    async def pause(self) -> None:
        """Nothing plays; decoding and painting cost more than all else here."""
        await self["#player, #sound"].evaluate_all("(all) => all.forEach((one) => one.pause())")

    async def true(self, script: str, argument: Any = None) -> None:
        """Waits for an expression of the page to be true, or for a function of the argument."""
        # a mere expression would be evaluated by the page itself, which forbids that
        function = script if argument is not None else f"() => {script}"
        await self.page.wait_for_function(function, arg=argument)

    async def error(self, code: str) -> str:
        """What the page says of an error with this code."""
        await self[f'#error[data-code="{code}"]'].wait_for(state="visible")
        return (await self["#error"].inner_text()).strip()

    async def usable(self, what: str) -> None:
        """Nothing that keeps people out, in each size and scheme; a picture of each on request."""
        await self.pause()
        for (width, height), name in ((WIDE, "1280"), (PHONE, "360")):
            await self.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                await self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                await self.shot(f"{what}-{name}-{scheme}")
                assert await self.barriers() == [], f"{what}, {name}, {scheme}"
            assert await self.page.evaluate(STICKS_OUT) == [], f"{what}, {name}"
        await self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        await self.page.emulate_media(color_scheme="light")

    async def barriers(self) -> list[str]:
        """What axe calls serious or critical."""
        if not await self.page.evaluate("typeof axe === 'object'"):
            await self.page.evaluate(AXE_SCRIPT + ";0")  # by the tools' own door, past the page's policy
        found = await self.page.evaluate(FOUND, RULES)
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    async def said(self) -> str:
        """What the page says of itself."""
        script = """() => [document.documentElement.dataset.state, ...["error", "status", "detected"].map(
          (id) => `${id}: ${document.getElementById(id)?.innerText}`)].join("; ")"""
        return str(await self.page.evaluate(script))

    async def shot(self, name: str) -> None:
        """A picture for people, where they want some."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type != "error" or (self.refusals_expected and REFUSED.match(message.text)):
            return
        self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", f"blob:{self.url}/")):
            self.faults.append(f"asked elsewhere: {request.url}")

    async def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


@asynccontextmanager
async def visiting(
    browser: Browser, url: str, *, refusals: bool = False, opened: bool = True, **context: Any
) -> AsyncIterator[Visit]:
    """A visit by somebody who was never here. The browser must not have complained at its end."""
    settings: dict[str, Any] = {"viewport": {"width": WIDE[0], "height": WIDE[1]}}
    own = await browser.new_context(**(settings | context))
    try:
        own.set_default_timeout(WAIT_MS)
        visit = Visit(await own.new_page(), url)
        visit.refusals_expected = refusals
        if opened:
            await visit.open()
        try:
            yield visit
        except BaseException:
            print(await visit.said(), visit.faults)  # for who looks into it: pytest shows this
            raise
        assert visit.faults == []
    finally:
        await own.close()


async def another(visit: Visit) -> Visit:
    """A second tab of the same visitor."""
    return Visit(await visit.page.context.new_page(), visit.url)
