"""A file by its link, and the rest of a part that was cut.

Always: bytes go on only where the last ones that came before are seen again, in a file as long as
the part; so a file is never put together from two.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp

from .errors import Cut, Refused, Unreachable
from .patience import Patience

OVERLAP_BYTES = 4096  # asked for again, and compared
CHANGED = "there is another file behind the link now"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")

# a GET of an address with these headers; 200 and 206 are answers, all others Refused
Get = Callable[[str, dict[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]


class Received:
    """What of a file has come, from byte `start` on and to before `stop`: how far, and the last of it."""

    def __init__(self, link: str, length: int | None, start: int = 0, stop: int | None = None) -> None:
        self.link = link
        self.length = length  # of the whole file
        self.stop = stop
        self.done = start
        self.tail = b""
        self.etag: str | None = None  # of the first answer that had one

    @property
    def end(self) -> int | None:
        """Where the last byte that is wanted ends; None while that is not known."""
        ends = [one for one in (self.stop, self.length) if one is not None]
        return min(ends, default=None)

    def headers(self) -> dict[str, str]:
        """What asks for the rest, beginning with what is compared."""
        last = "" if self.stop is None else str(self.stop - 1)
        headers = {"Range": f"bytes={self.done - len(self.tail)}-{last}"}
        return headers | ({"If-Range": self.etag} if self.etag else {})

    def add(self, chunk: bytes) -> None:
        self.done += len(chunk)
        self.tail = (chunk if len(chunk) >= OVERLAP_BYTES else self.tail + chunk)[-OVERLAP_BYTES:]


class Rest:
    """The bytes of an answer that have not come yet. Raises Cut if it is of another file."""

    def __init__(self, response: aiohttp.ClientResponse, received: Received) -> None:
        at, length = _place(response)
        etag = _strong(response.headers.get("ETag"))
        start = received.done - len(received.tail)
        if at > start or _differ(length, received.length) or _differ(etag, received.etag):
            raise Cut(CHANGED)
        received.etag = received.etag or etag
        received.length = received.length if length is None else length
        self._received = received
        self._content = response.content
        self._at = at

    async def next(self) -> bytes | None:
        """The next bytes, once what comes before them is seen to be the same; None at the end."""
        received = self._received
        while received.stop is None or received.done < received.stop:
            try:
                chunk = await self._content.readany()
            except (aiohttp.ClientError, OSError) as failure:  # OSError: timeouts and resets
                raise Cut(f"the connection broke: {str(failure) or type(failure).__name__}") from failure
            if not chunk:
                break
            new = self._new(chunk)[: None if received.stop is None else received.stop - received.done]
            if new:
                received.add(new)
                return new
        if self._at < received.done or (received.end is not None and received.done < received.end):
            raise Cut("the rest of the file ended early")
        if received.end is not None and received.done > received.end:
            raise Cut(CHANGED)
        return None

    def _new(self, chunk: bytes) -> bytes:
        """What of a chunk has not come before. What has must be the same."""
        at, end, tail = self._at, self._received.done, self._received.tail
        first = end - len(tail)  # from here on there is something to compare with
        low, high = max(at, first), min(at + len(chunk), end)
        if low < high and chunk[low - at : high - at] != tail[low - first : high - first]:
            raise Cut(CHANGED)
        self._at += len(chunk)
        return chunk[max(0, end - at) :]


async def whole(
    part: AsyncIterator[bytes], received: Received, get: Get, patience: Patience
) -> AsyncGenerator[bytes, None]:
    """All chunks of a part; what is missing of a cut one is asked for by its link. Raises Cut."""
    try:
        async for chunk in part:
            yield chunk
        return
    except Cut as failure:
        loss: Cut | Refused | Unreachable = failure
    tried = 0
    while True:
        await asyncio.sleep(patience.wait_s(loss, tried))  # raises when that was enough
        tried += 1
        try:
            async with get(received.link, received.headers()) as response:
                rest = Rest(response, received)
                while (more := await rest.next()) is not None:
                    yield more
            return
        except (Cut, Refused, Unreachable) as failure:
            loss = failure


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
