"""The rest of a part that was cut, by the part's link.

Always: bytes go on only where the last ones that came before are seen again, in a file as long as
the part; so a file is never put together from two.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import aiohttp

from .errors import Cut, Refused, Unreachable

OVERLAP_BYTES = 4096  # asked for again, and compared
CHANGED = "there is another file behind the link now"
PAUSE_S = 0.5  # before the first try, then twice as long each time
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")

# a GET of an address with these headers; 200 and 206 are answers, all others Refused
Get = Callable[[str, dict[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]


class Received:
    """What of a part has come: how many bytes, and the last of them."""

    def __init__(self, link: str, length: int | None) -> None:
        self.link = link
        self.length = length
        self.done = 0
        self.tail = b""
        self.etag: str | None = None  # of the first answer that had one

    def add(self, chunk: bytes) -> None:
        self.done += len(chunk)
        self.tail = (self.tail + chunk)[-OVERLAP_BYTES:]


async def whole(
    part: AsyncIterator[bytes], received: Received, get: Get, tries: int
) -> AsyncGenerator[bytes, None]:
    """All chunks of a part; what is missing of a cut one is asked for by its link. Raises Cut."""
    try:
        async for chunk in part:
            received.add(chunk)
            yield chunk
        return
    except Cut:
        if not tries:
            raise
    for tried in range(1, tries + 1):
        await asyncio.sleep(PAUSE_S * 2 ** (tried - 1))
        try:
            async with aclosing(_rest(received, get)) as rest:
                async for chunk in rest:
                    received.add(chunk)
                    yield chunk
            return
        except Cut:
            if tried == tries:
                raise


async def _rest(received: Received, get: Get) -> AsyncGenerator[bytes, None]:
    """The bytes after those received. Raises Cut, also when there is no answer."""
    start = received.done - len(received.tail)
    headers = {"Range": f"bytes={start}-"} | ({"If-Range": received.etag} if received.etag else {})
    try:
        async with get(received.link, headers) as response:
            (at, length), etag = _place(response), _strong(response.headers.get("ETag"))
            if at > start or _differ(length, received.length) or _differ(etag, received.etag):
                raise Cut(CHANGED)
            received.etag = received.etag or etag
            async with aclosing(_new(response.content.iter_any(), at, received)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if length is not None and received.done != length:
                raise Cut("the rest of the part ended early")
    except (Refused, Unreachable) as failure:
        raise Cut(f"the part was cut and could not be gone on with: {failure}") from failure
    except (aiohttp.ClientError, OSError) as failure:
        raise Cut(f"the connection broke again: {str(failure) or type(failure).__name__}") from failure


async def _new(body: AsyncIterator[bytes], at: int, received: Received) -> AsyncGenerator[bytes, None]:
    """What of a body that begins at byte `at` has not come yet, once what has is seen to be the same."""
    end, tail = received.done, received.tail
    first = end - len(tail)  # from here on there is something to compare with
    async for chunk in body:
        low, high = max(at, first), min(at + len(chunk), end)
        if low < high and chunk[low - at : high - at] != tail[low - first : high - first]:
            raise Cut(CHANGED)
        if at + len(chunk) > end:
            yield chunk[max(0, end - at) :]
        at += len(chunk)
    if at < end:
        raise Cut("the rest of the part ended early")


def _place(response: aiohttp.ClientResponse) -> tuple[int, int | None]:
    """Where in the file an answer begins, and how long the file is."""
    if response.status == 200:
        return 0, response.content_length
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if told is None:
        raise Cut("the answer does not tell which bytes it has")
    return int(told[1]), None if told[2] == "*" else int(told[2])


def _differ(one: int | str | None, other: int | str | None) -> bool:
    """Whether both are told, and not the same."""
    return one is not None and other is not None and one != other


def _strong(etag: str | None) -> str | None:
    return etag if etag and etag.startswith('"') else None
