"""Webhooks: news of a job, told to an address that its caller gave.

Always: an address is dialled only if it is a public one or the operator has named its host; no redirect is
followed, and no answer is read; what is told is signed.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp
import structlog
from yarl import URL

from gateway.errors import BadRequest
from gateway.media.hosts import public
from gateway.media.resolver import PublicResolver

SIGNATURE = "X-Clipwire-Signature"
URL_CHARS_MAX = 2048
ANSWER_S = 10
AGAIN_S = (1, 5, 30, 120)  # a restart at the other end takes no longer
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")  # a name that ends in one is read as an IPv4 address
_REFUSED = "The webhook is http:// or https:// and a public host, without a user."

log = structlog.get_logger()


class Webhooks:
    """Tells webhooks. `allowed` are hosts that may be private."""

    def __init__(
        self, secret: bytes, allowed: Collection[str] = (), *, again_s: Sequence[float] = AGAIN_S
    ) -> None:
        # who is told can check what it is told, and can sign no links
        self._key = hmac.digest(secret, b"webhook", "sha256").hex().encode()
        self._allowed = frozenset(host.lower() for host in allowed)
        self._again_s = again_s
        self._guarded: aiohttp.ClientSession | None = None
        self._trusting: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the sessions."""
        self._guarded = _session(aiohttp.TCPConnector(limit=16, resolver=PublicResolver(), force_close=True))
        self._trusting = _session(aiohttp.TCPConnector(limit=16, force_close=True))

    async def close(self) -> None:
        """Closes them."""
        for session in (self._guarded, self._trusting):
            if session is not None:
                await session.close()

    def check(self, url: str) -> str:
        """The same URL where it may be told. Raises BadRequest."""
        if len(url) > URL_CHARS_MAX or not url.isascii() or any(sign <= " " for sign in url) or "\\" in url:
            raise BadRequest(_REFUSED)
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise BadRequest(_REFUSED) from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise BadRequest(_REFUSED)
        if host not in self._allowed and not _may_be_public(host):
            raise BadRequest(_REFUSED)
        return url

    async def tell(self, url: str, body: bytes) -> bool:
        """Posts a body until it is taken, a few times. False: it was not."""
        for again_s in (*self._again_s, None):
            if await self._posted(url, body):
                return True
            if again_s is not None:
                await asyncio.sleep(again_s)
        return False

    async def _posted(self, url: str, body: bytes) -> bool:
        try:
            host = urlsplit(self.check(url)).hostname  # again: settings may have changed since
        except BadRequest:
            return False
        session = self._trusting if host in self._allowed else self._guarded
        assert session is not None
        headers = {"Content-Type": "application/json", SIGNATURE: self.signature(body)}
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return True
                log.info("webhook refused", host=host, status=answer.status)
        return False

    def signature(self, body: bytes) -> str:
        """What a body is signed with, as the header has it."""
        return "sha256=" + hmac.new(self._key, body, hashlib.sha256).hexdigest()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
        headers={"User-Agent": "clipwire"},
        trust_env=False,
    )


def _may_be_public(host: str) -> bool:
    """Whether a host is a public address, or a name, of which its resolver will know."""
    try:
        return str(ipaddress.ip_address(host)) == host and public(host)
    except ValueError:
        return bool(_NAME.fullmatch(host)) and not _NUMBER.fullmatch(host.rpartition(".")[2])
