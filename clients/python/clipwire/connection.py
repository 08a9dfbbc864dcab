"""One gateway, asked: answers that are no refusals, and refusals that say when to come again.

Always: no redirect is followed, so the key goes to the given gateway only; leaving an answer early
closes its connection.
"""

import asyncio
import errno
import os
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from .errors import Malformed, Unreachable, refused
from .patience import Patience, passes_s

REFUSAL_BYTES_MAX = 65_536
JSON_BYTES_MAX = 16 << 20  # a page of hits is some 100 kB

JSON = {"Content-Type": "application/json"}

Media = bytes | Path | AsyncIterable[bytes]
T = TypeVar("T")


class Connection:
    """How a client asks its gateway. A `session` that is given stays open."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession | None,
        key: str | None,
        *,
        stall_s: float,
        patience: Patience,
    ) -> None:
        if key is not None and not key.isprintable():
            raise ValueError("the key has a line end, or another character that a header cannot have")
        self.url = url.rstrip("/")
        self.patience = patience
        self._given = session
        self._own: aiohttp.ClientSession | None = None
        # media does not get smaller, and lengths must stay those of the files
        self._headers = {"Accept-Encoding": "identity"} | ({"X-API-Key": key} if key else {})
        self._stall_s = stall_s

    def open(self) -> None:
        if self._given is None:
            self._own = aiohttp.ClientSession()

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    def post(
        self, path: str, wish: object, accept: str = "*/*", *, again: bool = True
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self.answer("POST", self.url + path, {"Accept": accept}, json=wish, again=again)

    def send(
        self, path: str, media: Media, headers: dict[str, str], good: tuple[int, ...], *, waits: bool
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """An answer to media in the body. `waits`: it comes after all work, however long that takes."""
        again = isinstance(media, bytes | Path)
        return self.answer("POST", self.url + path, headers, good, media=media, again=again, waits=waits)

    async def told(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        wish: object = None,
        good: tuple[int, ...] = (200,),
        headers: Mapping[str, str] | None = None,
        again: bool = True,
        waits: bool = False,
    ) -> T:
        """A short answer as a value. A `wish` that is bytes is JSON already, and sent as it is."""
        told = dict(headers or {}) | (JSON if isinstance(wish, bytes) else {})
        json, media = (None, wish) if isinstance(wish, bytes) else (wish, None)
        sent = self.answer(method, self.url + path, told, good, json, media, again=again, waits=waits)
        async with sent as response:
            return await value(response, kind)

    async def gone(self, path: str) -> None:
        async with self.answer("DELETE", self.url + path, {}, (204,), again=True):
            pass

    def file(
        self, link: str, headers: dict[str, str], *, again: bool = False
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A part by its link, or a range of it."""
        return self.answer("GET", link, headers, (200, 206), again=again)

    def own(self, link: str) -> str:
        """The address of one of this gateway's paths: a link to elsewhere would get our key."""
        if link.startswith(self.url + "/"):
            return link
        if not link.startswith("/"):
            raise ValueError("the link is not one of this gateway")
        return self.url + link

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        good: tuple[int, ...] = (200,),
        json: object = None,
        media: Media | None = None,
        *,
        again: bool = False,
        waits: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is not a refusal. `again`: asked once more when the gateway says when."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=10, sock_read=None if waits else self._stall_s
        )
        left = self.patience.tries if again else 0
        while True:
            response = await self._asked(method, url, self._headers | headers, json, media, timeout)
            async with response:
                if response.status in good:
                    yield response
                    return
                refusal = refused(
                    response.status,
                    await start(response, REFUSAL_BYTES_MAX),
                    retry_after=response.headers.get("Retry-After"),
                    request_id=response.headers.get("X-Request-Id"),
                )
            wait_s = passes_s(refusal)
            if wait_s is None or left <= 0:
                raise refusal
            left -= 1
            await asyncio.sleep(wait_s)

    async def _asked(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        json: object,
        media: Media | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        session = self._given or self._own
        if session is None:
            raise RuntimeError("the client is not open: use `async with Client(...) as client`")
        data = await asyncio.to_thread(media.open, "rb") if isinstance(media, Path) else media
        try:
            return await session.request(
                method,
                url,
                json=json,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,
            )
        except aiohttp.ClientResponseError as failure:
            raise Malformed(f"the answer is not HTTP: {failure.message}") from failure
        except (aiohttp.ClientError, OSError) as failure:  # OSError: timeouts too
            raise Unreachable(f"{_shown(self.url)}: {_why(failure)}") from failure


def query(fields: Mapping[str, object]) -> str:
    """What is asked for, behind a path; what is None is not."""
    told = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if value is not None
    }
    return f"?{urlencode(told)}" if told else ""


async def value(response: aiohttp.ClientResponse, kind: type[T]) -> T:
    """A short answer's JSON. Raises Malformed or Unreachable."""
    try:
        return msgspec.json.decode(await whole(response, JSON_BYTES_MAX), type=kind)
    except (ValueError, RecursionError) as failure:
        raise Malformed(f"the answer is not what it should be: {failure}") from failure
    except (aiohttp.ClientError, OSError) as failure:
        raise Unreachable(f"the answer broke off: {str(failure) or type(failure).__name__}") from failure


async def whole(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """All of an answer. Raises Malformed where it has more bytes; and aiohttp's errors."""
    data = bytearray()
    while more := await response.content.readany():  # what was compressed comes in pieces too
        data += more
        if len(data) > bytes_max:
            raise Malformed(f"the answer is longer than {bytes_max} bytes")
    return bytes(data)


async def start(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The first bytes of a short answer; what is missing of a broken one is not asked for."""
    data = b""
    try:
        while len(data) < bytes_max and (more := await response.content.readany()):
            data += more
    except (aiohttp.ClientError, OSError):
        pass
    return data[:bytes_max]


def _shown(url: str) -> str:
    """The address without a name and a password."""
    return re.sub(r"//.*@", "//", url, flags=re.S)


def _why(failure: Exception) -> str:
    """Why there is no answer. Some of aiohttp's own texts have the whole address in them."""
    match failure:
        case TimeoutError():
            return "timed out"
        case aiohttp.ClientConnectorDNSError():
            return "the host is not found"
        case aiohttp.InvalidURL():
            return "that is no address"
        case aiohttp.ClientSSLError() | ssl.SSLError():  # their numbers are not the system's
            return f"no safe connection: {failure.__cause__ or type(failure).__name__}"
        case OSError(errno=errno.ECONNREFUSED):
            return "refused"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case aiohttp.ClientConnectorError():  # several addresses, each for a reason of its own
            return "no connection"
        case _:
            return str(failure) or type(failure).__name__
