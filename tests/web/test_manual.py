"""What a real browser makes of /docs: it is drawn, a route is tried, and nobody else is asked."""

import pytest
from playwright.async_api import Browser, expect

from tests.page.conftest import browser, front
from tests.page.visit import WAIT_MS, Visit, visiting
from tests.web.conftest import Front

__all__ = ["browser", "front"]  # fixtures
pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTENS = """window.refused = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.refused.push(event.effectiveDirective + " " + event.blockedURI));"""
ANSWER = ".live-responses-table tr.response"


async def drawn(visit: Visit, address: str) -> None:
    """Opens the manual, and waits for its five parts."""
    await visit.page.goto(f"{visit.url}/docs{address}")
    await expect(visit[".opblock-tag"]).to_have_count(5, timeout=WAIT_MS)


async def test_a_route_is_tried_from_the_page_and_nobody_else_is_asked(
    front: Front, browser: Browser
) -> None:
    asked: list[str] = []
    async with visiting(browser, front.url, opened=False) as visit:  # who looks at all that it asks for
        visit.page.on("request", lambda request: asked.append(request.url))
        await visit.page.add_init_script(LISTENS)
        await drawn(visit, "#/ttsave/getPing")
        await visit[".opblock.is-open .execute"].click()
        await visit[f"{ANSWER} .microlight"].get_by_text("pong", exact=True).wait_for()
        assert (await visit[f"{ANSWER} .response-col_status"].inner_text()).strip() == "200"
        assert await visit.page.evaluate("window.refused") == []
    assert f"{front.url}/ping" in asked


@pytest.mark.parametrize(
    "query", ["?url=https://elsewhere.example/x.json", "?configUrl=https://elsewhere.example/"]
)
async def test_an_address_of_the_page_cannot_name_another_document(
    front: Front, browser: Browser, query: str
) -> None:
    async with visiting(browser, front.url, opened=False) as visit:
        await drawn(visit, query)
