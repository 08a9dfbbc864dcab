"""Address to Post: kept posts, one extraction per post at a time, one exit after the other.

Always: those who ask for a post while it is extracted share it, those of other gateways too where there
is a shelf; a failure is told and not kept.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from gateway import errors
from gateway.errors import (
    GatewayError,
    InvalidUrl,
    UpstreamTimeout,
    VideoTooLong,
)
from gateway.media import links, tiktok
from gateway.media.exits import FAULTS, SLOW, Exits
from gateway.media.links import Address
from gateway.media.post import Post
from gateway.media.processes import Processes
from gateway.media.shelf import Kept, Shelf
from gateway.settings import Settings
from gateway.tasks import Background, SingleFlight
from gateway.tracing import OFF, Tracing

POSTS_KEPT_MAX = 4096  # a post is some 5 KB
EXPIRY_MARGIN_S = 30  # a link this close to its end may be refused before it is used
EXITS_TRIED_MAX = 4
LEFT_S_MIN = 1  # less time than this is not worth another exit
SETTLE_S = 5  # an upgrade that is seen half done is whole by then

Unfold = Callable[[str], Awaitable[str]]  # a short link to where it leads

log = structlog.get_logger()


class Extractor:
    """Finds posts. `unfold` follows a short link; it only ever dials names of the site."""

    def __init__(
        self,
        settings: Settings,
        background: Background,
        exits: Exits,
        unfold: Unfold,
        shelf: Shelf | None = None,  # None: no other gateway's posts
        *,
        tracing: Tracing = OFF,
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._exits = exits
        self._unfold = unfold
        self._processes = Processes(settings, background)
        self._shelf = shelf
        self._posts: OrderedDict[str, Kept] = OrderedDict()
        self._flight: SingleFlight[str, Post] = SingleFlight(background, "extract")
        self.asked = 0  # posts that were asked for
        self.misses = 0  # of these, those that had to be read
        self.outcomes: Counter[str] = Counter()  # of pages read: ok, an error's code, or left by all
        self.spent_s = 0.0  # on those

    @property
    def hits(self) -> int:
        """Posts that were known, or being read for others, when they were asked for."""
        return self.asked - self.misses

    @property
    def pids(self) -> list[int]:
        """The extractor processes that run."""
        return self._processes.pids

    def start(self) -> None:
        """Lets posts be asked for; who asks first waits until a process has loaded."""
        self._processes.start()

    def load(self) -> None:
        """Starts the extractor processes ahead of need."""
        self._processes.load()

    async def close(self) -> None:
        """Ends the extractor processes."""
        await self._processes.close()

    async def find(self, text: str, *, since: float = 0.0) -> Post:
        """The post of an address, or of a share text around one; as its page was `since`, in unix time.

        Raises InvalidUrl, the errors of a refused post or origin, UpstreamTimeout, Busy.
        """
        address = await self.address(text)
        post_id = address.post_id
        assert post_id is not None

        def missed() -> Coroutine[Any, Any, Post]:
            self.misses += 1
            return self._extract(address, since)

        self.asked += 1
        post = self._kept(post_id, since) or await self._flight.run(post_id, missed)
        if post.read_at < since:  # others, who began it, take an older one from the shelf
            post = await self._extract(address, since)
        if (post.duration_s or 0) > self._settings.video_duration_max:
            raise VideoTooLong(f"The post is longer than {self._settings.video_duration_max:g} seconds.")
        return post

    async def forget(self, post_id: str) -> None:
        """Drops a kept post whose links turned out to be refused."""
        kept = self._posts.pop(post_id, None)
        if self._shelf is not None:
            await self._shelf.drop(post_id, None if kept is None else kept.post)

    async def fresh(self, text: str) -> Post:
        """The post as its page is now, past what is kept. Raises the same."""
        return await self._read(await self.address(text))

    async def renew(self) -> None:
        """Replaces the extractor processes one by one, so that they run the yt-dlp that is installed now."""
        await self._processes.renew()

    async def renew_if_changed(self) -> None:
        """The same, if another yt-dlp is installed than they run."""
        if await asyncio.to_thread(tiktok.installed) in (None, self._processes.version):
            return
        await asyncio.sleep(SETTLE_S)
        await self._processes.renew()

    async def address(self, text: str) -> Address:
        """The address in a text, with its post's id. Raises InvalidUrl, UpstreamTimeout."""
        address = links.find(text)
        return address if address.post_id is not None else await self._unfolded(address)

    async def _unfolded(self, address: Address) -> Address:
        try:
            async with asyncio.timeout(self._settings.extract_s):
                found = links.parse(await self._unfold(address.url))
        except TimeoutError:
            raise UpstreamTimeout from None
        if found is None or found.post_id is None:
            raise InvalidUrl("The short link does not lead to a post.")
        return found

    async def _extract(self, address: Address, since: float) -> Post:
        kept = await self._shared(address, self._shelf, since) if self._shelf else await self._new(address)
        self._posts[kept.post.id] = kept
        while len(self._posts) > POSTS_KEPT_MAX:
            self._posts.popitem(last=False)
        return kept.post

    async def _shared(self, address: Address, shelf: Shelf, since: float) -> Kept:
        """As another gateway found it, is just finding it, or, where none does, as we do."""
        assert address.post_id is not None
        kept = await shelf.get(address.post_id, since)
        if kept is None:
            async with shelf.once(address.post_id):
                kept = await shelf.get(address.post_id, since)
                if kept is None:
                    kept = await self._new(address)
                    await shelf.put(kept)
        return kept

    async def _new(self, address: Address) -> Kept:
        post = await self._read(address)
        good_until = time.time() + self._settings.post_s
        if post.expires_at is not None:
            good_until = min(good_until, post.expires_at - EXPIRY_MARGIN_S)
        return Kept(post, good_until)

    async def _read(self, address: Address) -> Post:
        """Reads the page, and counts what came of it."""
        outcome, began = "left", time.monotonic()
        try:
            with self._tracing.span("extraction"):
                post = await self._through(address)
            outcome = "ok"
        except GatewayError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = errors.Internal.code
            raise
        finally:
            self.outcomes[outcome] += 1
            self.spent_s += time.monotonic() - began
        return post

    async def _through(self, address: Address) -> Post:
        """Reads the page, through another exit where one does not get it, as long as there is time."""
        assert address.post_id is not None
        left_s, failure = self._settings.extract_s, None
        order = self._exits.order()[:EXITS_TRIED_MAX]
        for number, exit in enumerate(order, 1):
            last, began = number == len(order), time.monotonic()
            try:
                # a page that hangs leaves half of the time to the others
                post = await self._processes.ask(
                    tiktok.Ask(address.url, address.post_id, exit), left_s if last else left_s / 2
                )
            except GatewayError as error:
                self._exits.told(exit, error.code)
                if error.code not in FAULTS and error.code != SLOW:
                    raise
                # what the site says is worth more than that a proxy did not work
                if failure is None or failure.code == errors.ProxyFailed.code:
                    failure = error
                left_s -= time.monotonic() - began
                if left_s < LEFT_S_MIN:
                    break
            else:
                self._exits.told(exit, None)
                return post
        assert failure is not None
        raise failure

    def _kept(self, post_id: str, since: float) -> Post | None:
        kept = self._posts.get(post_id)
        if kept is None:
            return None
        if time.time() >= kept.good_until:
            del self._posts[post_id]
            return None
        return kept.post if kept.post.read_at >= since else None
