"""The origin as a test holds it: a proxy address, a CA file, addresses to ask for, and what was seen."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from aiohttp import web

from tests.origin import pages
from tests.origin.cdn import Cdn, Fault
from tests.origin.certificates import server_context
from tests.origin.gate import Gate
from tests.origin.media import Clips
from tests.origin.proxy import Proxy
from tests.origin.scenarios import SCENARIOS, Scenario, spoken
from tests.origin.site import PAGE_HOSTS, SHORT_HOSTS, Site
from tests.origin.tally import Tally

HOSTS = PAGE_HOSTS | SHORT_HOSTS | pages.MEDIA_HOSTS


class Origin:
    """A running stand-in for the site; an async context manager.

    `speech` adds spoken video posts: the ending of the post's id (digits) to a sound file. Such a post is
    the scenario `speech:<ending>`.
    """

    proxy_url: str
    ca_file: Path

    def __init__(self, folder: Path, *, speech: Mapping[str, Path] | None = None, port: int = 0) -> None:
        self.scenarios: dict[str, Scenario] = dict(SCENARIOS)
        self.scenarios.update({f"speech:{suffix}": spoken(suffix) for suffix in speech or {}})
        self._folder, self._port = folder, port
        self._clips = Clips(folder, speech or {})
        self._tally = Tally()
        self._gate = Gate()
        self._site = Site(self.scenarios, self._clips, self._gate, self._tally)
        self._cdn = Cdn(self.scenarios, self._clips, self._gate, self._tally)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        context, self.ca_file = server_context(self._folder, sorted(HOSTS))
        # a client that leaves must end its read here at once, or `open_reads` would tell of ghosts
        server = web.Server(self._answer, handler_cancellation=True, access_log=None)
        proxy = Proxy(server, context, HOSTS, self._tally, port=self._port)
        self.proxy_url = (await self._stack.enter_async_context(proxy)).url
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gate.open(for_good=True)
        await self._stack.aclose()

    @property
    def hits(self) -> Counter[str]:
        """Requests seen: `<host>/<path>`, `page:<id>`, `short`, `media:<clip, scenario or scenario.part>`."""
        return self._tally.hits

    @property
    def open_reads(self) -> int:
        """Media answers that are being sent now, silent ones included."""
        return self._tally.open_reads

    @property
    def bytes_sent(self) -> Counter[str]:
        """Media bytes handed to the network, by clip, scenario and scenario.part."""
        return self._tally.bytes_sent

    @property
    def refused_hosts(self) -> Counter[str]:
        """Hosts that somebody wanted to reach and that are not ours."""
        return self._tally.refused_hosts

    def url(self, name: str) -> str:
        """The address that a person would paste for this scenario."""
        return self.scenarios[name].url

    def parts(self, name: str) -> list[bytes]:
        """The original parts, byte for byte, in order: the video; or the photos and then the sound."""
        scenario = self.scenarios[name]
        if scenario.kind == "short":
            return self.parts(scenario.target) if scenario.target in self.scenarios else []
        return [self._clips.get(clip).data for clip in scenario.clips]

    def clip(self, name: str) -> bytes:
        """The bytes of one clip, such as `watermarked` or a gear's `h264-540`."""
        return self._clips.get(name).data

    def body(self, name: str) -> bytes | list[bytes]:
        """A video's bytes, or the parts of a photo post."""
        parts = self.parts(name)
        return parts[0] if len(parts) == 1 else parts

    def pace(self, bytes_per_s: int | None) -> None:
        """How fast each media answer flows from now on, also those under way; None: as it is read."""
        self._cdn.bytes_per_s = bytes_per_s

    def faults(self, fault: Callable[[str, int], Fault] | None) -> None:
        """What goes wrong with each media answer from now on, by "scenario.part" and the file's size."""
        self._cdn.fault = fault

    def block(self, status: int | None) -> None:
        """Every page has this status from now on, as for an address that the site does not like."""
        self._site.blocked = status

    def release(self) -> None:
        """Let the answers that hang now go on to their end; later ones hang again."""
        self._gate.open()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._tally.hit([f"{request.host}{request.path}"])
        answers = self._cdn if request.host in pages.MEDIA_HOSTS else self._site
        try:
            return await answers.answer(request)
        except ConnectionError:  # the client left before its answer began; nobody is there to be told
            return web.Response(status=499)
