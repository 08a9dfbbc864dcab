"""One origin read: an open reading of the site's media, poured into a spool.

Always: every address dialled has passed `hosts.py`, each redirect too; the proxy's CA is trusted
here and by the extractor only; cookies are sent as the page gave them, byte for byte (aiohttp's own
jar quotes the `=` in them and the CDN answers 403).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urljoin

import aiohttp
import structlog
from yarl import URL

from gateway.errors import (
    Busy,
    GatewayError,
    InvalidUrl,
    ProxyFailed,
    UpstreamFailed,
    UpstreamTimeout,
    VideoUnavailable,
)
from gateway.media import sniff
from gateway.media.hosts import Hosts, PublicResolver
from gateway.media.post import Source, Wanted
from gateway.media.spool import Spool
from gateway.settings import Settings

REDIRECTS_MAX = 5
WAITING_MAX = 4096  # reads that wait for their turn; each is a request's part
WAITING_S = 60
REFERER = "https://www.tiktok.com/"
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
# short links redirect crawlers at once, and send browsers through a page of scripts
UNFOLD_AGENT = "facebookexternalhit/1.1"
CONNECT_S = 10
READ_BUFFER_BYTES = 256 << 10

log = structlog.get_logger()


class Upstreams:
    """Reads from the site, `origin_reads_max` at once: a spool takes bytes as fast as they come."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts = Hosts(settings.origin_hosts)
        self._reads = asyncio.Semaphore(settings.origin_reads_max)
        self._waiting = 0
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the one HTTP session for the site."""
        settings = self._settings
        tls = ssl.create_default_context()
        if settings.proxy_ca_file is not None:
            tls.load_verify_locations(settings.proxy_ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=tls,
                resolver=None if settings.proxy_url else PublicResolver(),
                keepalive_timeout=30,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=settings.stall_s),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            trust_env=False,
        )

    async def close(self) -> None:
        """Closes the session."""
        if self._session is not None:
            await self._session.close()

    async def fill(self, spool: Spool, wanted: Wanted) -> None:
        """Pours a part into the spool, from the first of its sources that answers.

        Raises UpstreamFailed, UpstreamTimeout, ProxyFailed, and what the spool raises.
        """
        async with self._slot():
            try:
                async with asyncio.timeout(self._settings.part_s):
                    await self._pour_any(spool, wanted)
            except TimeoutError:
                raise UpstreamTimeout("The site sent the media too slowly.") from None

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """A turn to read. Raises Busy when too many wait, or for too long."""
        if self._waiting >= WAITING_MAX:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(WAITING_S):
                await self._reads.acquire()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._reads.release()

    async def unfold(self, url: str) -> str:
        """Where a short link leads: the first hop that leaves the short hosts is not dialled."""
        headers = {"User-Agent": UNFOLD_AGENT}
        with _translated():
            for _ in range(REDIRECTS_MAX):
                if not self._hosts.ours(url):
                    break
                async with self._request("HEAD", url, headers) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        url = urljoin(url, answer.headers.get("Location", ""))
                        if "/video/" in url or "/photo/" in url:
                            return url
                    elif answer.status in (404, 410):
                        raise VideoUnavailable("The short link does not exist.")
                    else:
                        return url
        raise InvalidUrl("The short link does not lead to a post.")

    async def _pour_any(self, spool: Spool, wanted: Wanted) -> None:
        failure: GatewayError | None = None
        for source in wanted.sources:
            try:
                return await self._pour(spool, source, wanted)
            except (UpstreamFailed, UpstreamTimeout) as error:
                failure = error
                log.warning("source failed", part=wanted.key, code=error.code, reason=error.message)
                if spool.size:
                    break
        raise failure or UpstreamFailed("The post names no address for this part.")

    async def _pour(self, spool: Spool, source: Source, wanted: Wanted) -> None:
        with _translated():
            async with self._get(source) as answer:
                if answer.status != 200:
                    raise UpstreamFailed(f"The site answered a media link with HTTP {answer.status}.")
                if answer.content_length is not None:
                    if answer.content_length > self._settings.part_bytes_max:
                        raise UpstreamFailed("The media file is larger than this server accepts.")
                    spool.expect(answer.content_length)
                body = answer.content.iter_any()
                head = b""
                while len(head) < sniff.HEAD_BYTES and (chunk := await anext(body, b"")):
                    head += chunk
                spool.begin(_media_type(head, wanted))
                spool.append(head)
                async for chunk in body:
                    if spool.size + len(chunk) > self._settings.part_bytes_max:
                        raise UpstreamFailed("The media file is larger than this server accepts.")
                    spool.append(chunk)
                if answer.content_length not in (None, spool.size):
                    raise UpstreamFailed("The site's media ended early.")

    @asynccontextmanager
    async def _get(self, source: Source) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {
            "User-Agent": USER_AGENT,
            "Referer": REFERER,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if source.cookie:
            headers["Cookie"] = source.cookie
        url = source.url
        for _ in range(REDIRECTS_MAX):
            async with self._request("GET", self._hosts.check(url), headers) as answer:
                if answer.status not in (301, 302, 303, 307, 308):
                    yield answer
                    return
                url = urljoin(url, answer.headers.get("Location", ""))
        raise UpstreamFailed("A media link leads in circles.")

    def _request(
        self, method: str, url: str, headers: dict[str, str]
    ) -> "aiohttp.client._RequestContextManager":
        assert self._session is not None
        return self._session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
            proxy=self._settings.proxy_url,
        )


def _media_type(head: bytes, wanted: Wanted) -> str:
    """What the bytes are. Raises UpstreamFailed for nothing, a page, or another kind than wanted."""
    if not head:
        raise UpstreamFailed("The site sent an empty file.")
    found = sniff.media_type(head)
    if found is None or not sniff.fits(found, wanted.kind):
        raise UpstreamFailed("The site sent something else than the media.")
    return "audio/mp4" if wanted.kind == "sound" and found == "video/mp4" else found


@contextmanager
def _translated() -> Iterator[None]:
    """aiohttp's failures as ours."""
    try:
        yield
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        raise ProxyFailed from None
    except TimeoutError:
        raise UpstreamTimeout("The site stopped sending.") from None
    except aiohttp.ClientError as error:
        raise UpstreamFailed from error
    except OSError as error:
        raise UpstreamFailed from error
