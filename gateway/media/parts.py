"""The parts of posts as spools: from the site, or made of parts that are."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from functools import partial

from gateway.errors import UpstreamFailed, UpstreamTimeout
from gateway.media import links
from gateway.media.captions import cues
from gateway.media.extractor import Extractor
from gateway.media.film import Film
from gateway.media.post import Post, Wanted, find
from gateway.media.remux import Remuxes
from gateway.media.slideshow import Slideshows
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.media.upstream import Upstreams
from gateway.wire.subtitles import Cue


class Parts:
    """Each part as the spool that is there, or as a new one."""

    def __init__(
        self,
        spools: Spools,
        upstreams: Upstreams,
        extractor: Extractor,
        remuxes: Remuxes,
        slideshows: Slideshows,
        *,
        caption_s: float,
    ) -> None:
        self._spools = spools
        self._upstreams = upstreams
        self._extractor = extractor
        self._remuxes = remuxes
        self._slideshows = slideshows
        self._caption_s = caption_s

    def open(self, post: Post, wanted: Wanted) -> AbstractAsyncContextManager[Spool]:
        """A part of a post as a spool: the one that is there, or a new one that the site fills."""
        return self._spools.open((post.id, wanted.key), partial(self._fill, post=post, wanted=wanted))

    def kept(self, post: Post, wanted: Wanted) -> Spool | None:
        """The spool of a part, if it is there now."""
        return self._spools.kept((post.id, wanted.key))

    def named(self, post_id: str, key: str) -> AbstractAsyncContextManager[Spool]:
        """As `open`, of a post that is only found where the spool is not there any more."""

        async def fill(spool: Spool) -> None:
            post = await self._extractor.find(links.canonical(post_id))
            await self._fill(spool, post, find(post, key))

        return self._spools.open((post_id, key), fill)

    async def captions(self, post: Post, wanted: Wanted) -> list[Cue]:
        """What is in a file of captions, within their deadline. Raises UpstreamFailed, UpstreamTimeout."""
        try:
            async with (
                asyncio.timeout(self._caption_s),
                self.open(post, wanted) as spool,
                aclosing(spool.chunks()) as chunks,
            ):
                file = b"".join([chunk async for chunk in chunks])
        except TimeoutError:
            raise UpstreamTimeout("The site sent the captions too slowly.") from None
        return await asyncio.to_thread(cues, file, post.duration_s)

    async def _fill(self, spool: Spool, post: Post, wanted: Wanted) -> None:
        """From the site, or made of parts that are."""
        if wanted.film is not None:
            await self._render(spool, post, wanted, wanted.film)
        elif wanted.of is not None:
            async with self.open(post, wanted.of) as video:
                await self._remuxes.fill(spool, video)
        else:
            await self._read(spool, post, wanted)

    async def _render(self, spool: Spool, post: Post, wanted: Wanted, film: Film) -> None:
        """A slideshow's film, of photos and a sound that are parts of the post themselves."""
        async with AsyncExitStack() as parts:
            photos = [await parts.enter_async_context(self.open(post, one)) for one in wanted.slides]
            heard = None
            if wanted.sound is not None:
                heard = await parts.enter_async_context(self.open(post, wanted.sound))
            await self._slideshows.fill(spool, photos, heard, film)

    async def _read(self, spool: Spool, post: Post, wanted: Wanted) -> None:
        def spare() -> bool:
            """Whether another part can still be sent instead of this one."""
            return wanted.instead is not None and not spool.size

        async def again() -> Wanted:
            """The same part with links of a page read now."""
            if spare():
                raise UpstreamFailed("The site does not give this format of the video.")
            await self._extractor.forget(post.id)
            return find(await self._extractor.find(post.url), wanted.key)

        try:
            await self._upstreams.fill(spool, wanted, again)
        except UpstreamFailed:
            if not spare():
                # its links may be what is wrong; the next request gets new ones
                await self._extractor.forget(post.id)
            raise
