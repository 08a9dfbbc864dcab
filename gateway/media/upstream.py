"""One origin read: a part's bytes into its spool, healed as long as it can be.

A cut read goes on by Range a little before where it stopped: ETag, length and the bytes read twice
show that it is still the same file. A site that sends it whole again is compared with all that is
there. A refused link is asked for anew.
Always: what is in the spool is one file's bytes, whatever it took to get them; else it breaks.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import structlog

from gateway.errors import GatewayError, UpstreamFailed, UpstreamTimeout
from gateway.media import sniff
from gateway.media.dial import Dial
from gateway.media.post import Source, Wanted
from gateway.media.spool import Spool
from gateway.media.turns import Turns
from gateway.settings import Settings
from gateway.tracing import OFF, Tracing
from gateway.wire import ranges

WAITING_MAX = 4096  # reads that wait for their turn; each is a request's part
WAITING_S = 60
BARREN_MAX = 2  # tries one after the other that brought no byte
FRESH_MAX = 2  # new links asked for in one read
PAUSE_S = 0.2  # before the same link is tried again, doubled each time
OVERLAP_BYTES = 4096

Again = Callable[[], Awaitable[Wanted]]  # the same part with fresh links

log = structlog.get_logger()


class Refused(UpstreamFailed):
    """The CDN wants another link."""


class Changed(UpstreamFailed):
    """It is not the same file any more: nothing heals that."""

    text = "The site's media changed while they were read."


class Upstreams:
    """Reads from the site; `origin_reads_max` at once, as a spool takes bytes as fast as they come."""

    def __init__(self, settings: Settings, dial: Dial, *, tracing: Tracing = OFF) -> None:
        self._settings = settings
        self._dial = dial
        self._tracing = tracing
        self._turns = Turns(settings.origin_reads_max, waiting_max=WAITING_MAX, wait_s=WAITING_S)

    async def fill(self, spool: Spool, wanted: Wanted, again: Again) -> None:
        """Pours a part into the spool.

        Raises UpstreamFailed, UpstreamTimeout, ProxyFailed, what `again` raises and what the spool raises.
        """
        bytes_max = min(self._settings.part_bytes_max, wanted.bytes_max or sys.maxsize)
        with self._tracing.span("origin read") as span:
            async with self._turns.one():
                try:
                    async with asyncio.timeout(self._settings.part_s):
                        await _Read(spool, self._dial, bytes_max).run(wanted, again)
                except TimeoutError:
                    raise UpstreamTimeout("The site sent the media too slowly.") from None
                finally:
                    span.say(bytes=spool.size)


class _Read:
    """One part on its way into one spool."""

    def __init__(self, spool: Spool, dial: Dial, bytes_max: int) -> None:
        self._spool = spool
        self._dial = dial
        self._bytes_max = bytes_max
        self._etag: str | None = None

    async def run(self, wanted: Wanted, again: Again) -> None:
        """Tries link after link, and each again while it brings bytes."""
        failure: GatewayError = UpstreamFailed("The post names no address for this part.")
        links, refused, fresh, barren = list(wanted.sources), False, 0, 0
        while links:
            before = self._spool.size
            try:
                return await self._pour(links[0], wanted)
            except Changed:
                raise
            except (UpstreamFailed, UpstreamTimeout) as error:
                failure = error
            log.warning(
                "origin read failed",
                part=wanted.key,
                code=failure.code,
                reason=failure.message,
                at=self._spool.size,
            )
            barren = 0 if self._spool.size > before else barren + 1
            refused = refused or isinstance(failure, Refused)
            if not isinstance(failure, Refused) and self._spool.size and barren < BARREN_MAX:
                await asyncio.sleep(PAUSE_S * 2**barren)
                continue
            links.pop(0)
            barren = 0
            if not links and refused and fresh < FRESH_MAX:
                links, refused, fresh = list((await again()).sources), False, fresh + 1
        raise failure

    async def _pour(self, source: Source, wanted: Wanted) -> None:
        """One answer, from where the spool is, to its end."""
        async with self._dial.media(source, max(0, self._spool.size - OVERLAP_BYTES)) as answer:
            if answer.status in (401, 403, 404, 410):
                raise Refused(f"The site answered a media link with HTTP {answer.status}.")
            if answer.status not in (200, 206):
                raise UpstreamFailed(f"The site answered a media link with HTTP {answer.status}.")
            body = answer.content.iter_any()
            if not self._spool.size:
                await self._begin(answer, body, wanted)
            else:
                await self._go_on(answer, body)
            async for chunk in body:
                self._append(chunk)
            if self._spool.length not in (None, self._spool.size):
                raise UpstreamFailed("The site's media ended early.")
            if self._spool.length is None and not _framed(answer) and wanted.bytes != self._spool.size:
                # the end of the connection is the only end it has, and a cut looks the same
                raise Changed("The site did not say where its media end.")

    async def _begin(
        self, answer: aiohttp.ClientResponse, body: AsyncIterator[bytes], wanted: Wanted
    ) -> None:
        """The first answer says how long the file is, and its first bytes what it is."""
        self._etag = answer.headers.get("ETag")
        self._spool.etag = ranges.strong(self._etag)
        head = b""
        while len(head) < sniff.HEAD_BYTES and (chunk := await anext(body, b"")):
            head += chunk
        media_type = _media_type(head, wanted)
        length = answer.content_length
        if length is not None:
            if length > self._bytes_max:
                raise UpstreamFailed("The media file is larger than this server accepts.")
            self._spool.expect(length)
        self._spool.begin(media_type)
        self._append(head)

    async def _go_on(self, answer: aiohttp.ClientResponse, body: AsyncIterator[bytes]) -> None:
        """Later answers go on where the spool is, or begin again with the same bytes."""
        spool = self._spool
        told = ranges.told(answer.headers.get("Content-Range")) if answer.status == 206 else None
        length, seen = (told.total, told.span.start) if told else (answer.content_length, 0)
        same = answer.headers.get("ETag") == self._etag and (answer.status == 200 or told)
        if not same or seen > spool.size or (length is not None and spool.length not in (None, length)):
            raise Changed
        if spool.length is None and length is not None:
            spool.expect(length)
        while seen < spool.size:
            chunk = await anext(body, b"")
            if not chunk:
                raise UpstreamFailed("The site's media ended early.")
            known = os.pread(spool.fd, min(len(chunk), spool.size - seen), seen)
            if not chunk.startswith(known):
                raise Changed
            seen += len(known)
            if len(chunk) > len(known):
                self._append(chunk[len(known) :])
                return

    def _append(self, chunk: bytes) -> None:
        if self._spool.size + len(chunk) > (
            self._bytes_max if self._spool.length is None else self._spool.length
        ):
            raise Changed("The site sent more than it announced, or than this server accepts.")
        self._spool.append(chunk)


def _framed(answer: aiohttp.ClientResponse) -> bool:
    return "chunked" in answer.headers.get("Transfer-Encoding", "").lower()


def _media_type(head: bytes, wanted: Wanted) -> str:
    """What the bytes are. Raises UpstreamFailed for nothing, a page, or another kind than wanted."""
    if not head:
        raise UpstreamFailed("The site sent an empty file.")
    found = sniff.media_type(head)
    if found is None or not sniff.fits(found, wanted.kind):
        what = "WebVTT captions" if wanted.kind == "caption" else "the media"
        raise UpstreamFailed(f"The site sent something else than {what}.")
    return "audio/mp4" if wanted.kind == "sound" and found == "video/mp4" else found
