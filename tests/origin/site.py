"""The hosts that answer with pages: posts and short links."""

import asyncio
import re
import time
from collections import Counter

import msgspec
from aiohttp import web

from tests.origin import pages
from tests.origin.gate import Gate
from tests.origin.media import Clip, Clips
from tests.origin.scenarios import MEMBER, Scenario
from tests.origin.tally import Tally

PAGE_HOSTS = frozenset({"www.tiktok.com", "m.tiktok.com"})
SHORT_HOSTS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
POST = re.compile(r"/@[^/]*/(?:video|photo)/(\d+)/?$")
LINK_S = 6 * 3600  # how long a video link lives
HUGE_BYTES = 64 << 20
LOGIN = (10204, "content_classification")


class Site:
    """Answers for pages; remembers how often each was asked for, which some behaviours hang on."""

    def __init__(self, posts: dict[str, Scenario], clips: Clips, gate: Gate, tally: Tally) -> None:
        self._posts, self._clips, self._gate, self._tally = posts, clips, gate, tally
        self._by_id = {p.id: p for p in posts.values() if p.kind != "short"}
        self._by_address = {p.address.rstrip("/"): p for p in posts.values() if p.kind == "short"}
        self._answers: Counter[str] = Counter()
        self._challenges: dict[str, pages.Challenge] = {}
        self.blocked: int | None = None  # the status that every page has for this visitor

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if (post := POST.match(request.path)) is not None:
            return await self._post(request, post[1])
        short = self._by_address.get(f"https://{request.host}{request.path}".rstrip("/"))
        if short is not None or request.host in SHORT_HOSTS or request.path.startswith("/t/"):
            self._tally.hit(["short"])
            return web.Response(status=301, headers={"Location": self._target(short)})
        if request.path in ("/", "/login"):
            return _html(pages.plain_page("Log in"))
        return web.Response(status=404)

    async def _post(self, request: web.BaseRequest, post_id: str) -> web.StreamResponse:
        self._tally.hit([f"page:{post_id}"])
        if self.blocked is not None:
            return web.Response(status=self.blocked, text="no")
        scenario = self._by_id.get(post_id)
        if scenario is None:
            return _html(pages.missing_page())
        match scenario.page:
            case "403" | "429" | "503":
                return web.Response(status=int(scenario.page), text="no")
            case "login_redirect":
                return web.Response(
                    status=302, headers={"Location": "https://www.tiktok.com/login?redirect_url=x"}
                )
            case "redirect":
                return web.Response(status=302, headers={"Location": scenario.target})
            case "circles":
                return web.Response(status=302, headers={"Location": request.path})
            case "detour" if request.host != "m.tiktok.com":
                return web.Response(status=301, headers={"Location": f"//m.tiktok.com{request.path}"})
            case "huge":
                return await self._huge(request)
            case "members" if cookies(request).get("sessionid") != MEMBER:
                return _html(
                    pages.page(msgspec.structs.replace(scenario, status=LOGIN), {}, pages.Signature("", 0, 0))
                )
            case "waf_hard":
                return _html(pages.plain_page("Nothing to see"))
            case "waf":
                challenge = self._challenges.setdefault(post_id, pages.Challenge())
                if not challenge.solved_by(cookies(request)):
                    return _html(challenge.page())
            case "hangs":
                await self._gate.wait()
            case "trickles":
                return await self._trickle(request)
        return await self._page(scenario)

    async def _page(self, scenario: Scenario) -> web.Response:
        self._answers[scenario.id] += 1
        issue = self._answers[scenario.id]
        stale = scenario.page == "expired" and issue == 1
        expire = int(time.time()) + (-60 if stale else LINK_S)
        signature = pages.Signature(pages.new_token(), expire, issue)
        names = {
            *scenario.clips,
            *(gear.clip for gear in scenario.gears),
            *(() if scenario.kind == "photo" else ("music",)),
        }
        clips: dict[str, Clip] = {name: await self._clips.load(name) for name in names}
        response = _html(pages.page(scenario, clips, signature))
        # by hand: a cookie object would put the value in quotes because of its `=`, as the site does not
        response.headers.add(
            "Set-Cookie", f"tt_chain_token={signature.token}; Path=/; Domain=.tiktok.com; HttpOnly; Secure"
        )
        response.headers.add("Set-Cookie", "ttwid=1%7Cinvented; Path=/; Domain=.tiktok.com; HttpOnly; Secure")
        return response

    async def _huge(self, request: web.BaseRequest) -> web.StreamResponse:
        """Far more than any page has, small on the wire."""
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for _ in range(HUGE_BYTES >> 20):
            await response.write(bytes(1 << 20))
        await response.write_eof()
        return response

    async def _trickle(self, request: web.BaseRequest) -> web.StreamResponse:
        """20 bytes a second without an end: never silent for long enough to be a stall."""
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        released = self._gate.next_opening()
        while not released.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    def _target(self, short: Scenario | None) -> str:
        if short is None:  # the site sends unknown codes to its front page
            return "https://www.tiktok.com/?_r=1"
        if short.target in self._posts:
            return f"{self._posts[short.target].url}?_r=1&_t=ZM-invented"
        return short.target


def cookies(request: web.BaseRequest) -> dict[str, str]:
    """The cookies with their values byte for byte as they were sent, quotes and all."""
    pairs = (pair.strip().partition("=") for pair in request.headers.get("Cookie", "").split(";"))
    return {name: value for name, _, value in pairs if name}


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")
