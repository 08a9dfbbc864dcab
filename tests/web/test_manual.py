"""What a real browser makes of /docs: it is drawn, a route is tried, and nobody else is asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.web.conftest import Front
from tests.web.test_chromium import browser, chromium

__all__ = ["chromium"]  # a fixture

DRAWN_S_MAX = 120
LISTENS = """window.refused = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.refused.push(event.effectiveDirective + " " + event.blockedURI));"""
ANSWER = ".live-responses-table tr.response"
SHOWN = f"[...document.querySelectorAll('{ANSWER} .microlight')].map((one) => one.innerText)"
STATUS = f"document.querySelector('{ANSWER} .response-col_status').innerText.trim()"


async def test_a_route_is_tried_from_the_page_and_nobody_else_is_asked(
    front: Front, chromium: str, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(DRAWN_S_MAX),
        browser(chromium, "about:blank", tmp_path, "--remote-debugging-port=0"),
        tab(tmp_path / "browser", front.session) as page,
    ):
        await page.do("Page.addScriptToEvaluateOnNewDocument", source=LISTENS)
        await page.do("Page.navigate", url=f"{front.url}/docs#/ttsave/getPing")
        await page.until("document.querySelectorAll('.opblock-tag').length === 5")
        await page.until("document.querySelector('.opblock.is-open .execute') !== null")
        await page.said("document.querySelector('.opblock.is-open .execute').click()")
        await page.until(f"{SHOWN}.includes('pong')")
        assert await page.said(STATUS) == "200"
        assert await page.said("window.refused") == []
    asked = [one["request"]["url"] for one in page.heard("Network.requestWillBeSent")]
    assert f"{front.url}/ping" in asked
    assert [one for one in asked if not one.startswith((f"{front.url}/", "data:"))] == []
    assert [one["entry"]["text"] for one in page.heard("Log.entryAdded")] == []
    assert [one for one in page.heard("Runtime.consoleAPICalled") if one["type"] == "error"] == []
    assert page.heard("Runtime.exceptionThrown") == []


@pytest.mark.parametrize(
    "query", ["?url=https://elsewhere.example/x.json", "?configUrl=https://elsewhere.example/"]
)
async def test_an_address_of_the_page_cannot_name_another_document(
    front: Front, chromium: str, tmp_path: Path, query: str
) -> None:
    async with (
        asyncio.timeout(DRAWN_S_MAX),
        browser(chromium, "about:blank", tmp_path, "--remote-debugging-port=0"),
        tab(tmp_path / "browser", front.session) as page,
    ):
        await page.do("Page.navigate", url=f"{front.url}/docs{query}")
        await page.until("document.querySelectorAll('.opblock-tag').length === 5")
    asked = [one["request"]["url"] for one in page.heard("Network.requestWillBeSent")]
    assert [one for one in asked if not one.startswith((f"{front.url}/", "data:"))] == []


class Tab:
    """A page of the browser, by its own protocol for tools."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._told: list[dict[str, Any]] = []

    async def do(self, what: str, **how: Any) -> dict[str, Any]:
        """One command, and what comes of it."""
        self._count += 1
        await self._socket.send_str(json.dumps({"id": self._count, "method": what, "params": how}))
        while True:
            message: dict[str, Any] = await self._socket.receive_json()
            if message.get("id") == self._count:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._told.append(message)

    async def said(self, script: str) -> Any:
        """What an expression is in the page."""
        return (await self.do("Runtime.evaluate", expression=script, returnByValue=True))["result"].get(
            "value"
        )

    async def until(self, script: str) -> None:
        """Waits for an expression to be true."""
        while not await self.said(script):
            await asyncio.sleep(0.05)

    def heard(self, what: str) -> list[dict[str, Any]]:
        """What the page told of by itself."""
        return [one["params"] for one in self._told if one.get("method") == what]


@asynccontextmanager
async def tab(folder: Path, session: aiohttp.ClientSession) -> AsyncIterator[Tab]:
    """The browser's first page, once it is there."""
    while not (port := (folder / "DevToolsActivePort")).exists() or not port.read_text():
        await asyncio.sleep(0.05)
    address = f"http://127.0.0.1:{port.read_text().split()[0]}"
    while True:
        async with session.get(f"{address}/json") as response:
            pages = [one for one in await response.json() if one["type"] == "page"]
        if pages:
            break
        await asyncio.sleep(0.05)
    async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        page = Tab(socket)
        for domain in ("Network", "Page", "Runtime", "Log"):
            await page.do(f"{domain}.enable")
        yield page
