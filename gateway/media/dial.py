"""Answers from the site's hosts: the one HTTP session that may dial them.

Always: every address dialled has passed `hosts.py`, each redirect too; the proxy's CA is trusted
here and by the extractor only; cookies are sent as the page gave them, byte for byte (aiohttp's own
jar quotes the `=` in them and the CDN answers 403), and not to a host outside their domain.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from gateway.errors import (
    InvalidUrl,
    ProxyFailed,
    SiteUnreached,
    UpstreamFailed,
    UpstreamTimeout,
    VideoUnavailable,
)
from gateway.media.exits import Exits
from gateway.media.hosts import Hosts
from gateway.media.post import Source
from gateway.media.resolver import PublicResolver
from gateway.settings import Settings

REDIRECTS_MAX = 5
REDIRECTED = (301, 302, 303, 307, 308)
REFERER = "https://www.tiktok.com/"
COOKIE_DOMAIN = ".tiktok.com"
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
# short links redirect crawlers at once, and send browsers through a page of scripts
UNFOLD_AGENT = "facebookexternalhit/1.1"
CONNECT_S = 10
TRIES_MAX = 4  # exits that are tried for one answer
READ_BUFFER_BYTES = 256 << 10


class Dial:
    """Opens media links and short links, through the exits that work."""

    def __init__(self, settings: Settings, exits: Exits) -> None:
        self._settings = settings
        self._exits = exits
        self._hosts = Hosts(settings.origin_hosts)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the session."""
        settings = self._settings
        tls = ssl.create_default_context()
        if settings.proxy_ca_file is not None:
            tls.load_verify_locations(settings.proxy_ca_file)
        resolver = None if settings.proxies else PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls, resolver=resolver, keepalive_timeout=30),
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

    @asynccontextmanager
    async def media(self, source: Source, start: int = 0) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of a media link, from byte `start` on if it does ranges.

        Raises UpstreamFailed, UpstreamTimeout and ProxyFailed, also for what fails inside the context.
        """
        headers = {
            "User-Agent": USER_AGENT,
            "Referer": REFERER,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if start:
            headers["Range"] = f"bytes={start}-"
        url = source.url
        with translated():
            for _ in range(REDIRECTS_MAX):
                cookie = {"Cookie": source.cookie} if source.cookie and _cookie_goes_to(url) else {}
                self._hosts.check(url)
                async with await self._ask("GET", url, headers | cookie, source.exit) as answer:
                    if answer.status not in REDIRECTED:
                        yield answer
                        return
                    url = _onward(url, answer)
        raise UpstreamFailed("A media link leads in circles.")

    async def unfold(self, url: str) -> str:
        """Where a short link leads; the address of a post is not dialled.

        Raises InvalidUrl when it leads elsewhere, VideoUnavailable when it does not exist.
        """
        with translated(SiteUnreached.text):
            for _ in range(REDIRECTS_MAX):
                if not self._hosts.ours(url):
                    break
                async with await self._ask("HEAD", url, {"User-Agent": UNFOLD_AGENT}) as answer:
                    if answer.status in (404, 410):
                        raise VideoUnavailable("The short link does not exist.")
                    if answer.status not in REDIRECTED:
                        return url
                    url = _onward(url, answer)
                    if "/video/" in url or "/photo/" in url:
                        return url
        raise InvalidUrl("The short link does not lead to a post.")

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], first: int | None = None
    ) -> aiohttp.ClientResponse:
        """The head of an answer, from the first exit whose proxy works."""
        assert self._session is not None
        for tries, exit in enumerate(exits := self._exits.order(first)[:TRIES_MAX], 1):
            try:
                return await self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    allow_redirects=False,
                    proxy=exit.url,
                )
            except _PROXY_FAILURES:
                if exit.url is None:
                    raise
                self._exits.told(exit, ProxyFailed.code)
                if tries == len(exits):
                    raise ProxyFailed from None  # the cause knows the proxy's password
        raise AssertionError("there is always an exit")


# behind a proxy every connection is to it, and so is one that is not made in time
_PROXY_FAILURES = (
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
)


def _onward(url: str, answer: aiohttp.ClientResponse) -> str:
    """Where an answer redirects to; nowhere that may be dialled, when it names no address."""
    try:
        return urljoin(url, answer.headers.get("Location", ""))
    except ValueError:
        return ""


def _cookie_goes_to(url: str) -> bool:
    return ("." + (urlsplit(url).hostname or "")).endswith(COOKIE_DOMAIN)


@contextmanager
def translated(words: str | None = None) -> Iterator[None]:
    """aiohttp's failures as ours; `words` for what has no better ones."""
    try:
        yield
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        raise ProxyFailed from None
    except TimeoutError:
        raise UpstreamTimeout("The site stopped sending.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamFailed(words) from error
