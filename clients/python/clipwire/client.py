"""The client: one method for each thing a gateway does.

Always: until a method's `async with` is entered, a failure is an error of its own kind; leaving it
early closes the connection; no redirect is followed, so the key goes to the given gateway only.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Literal
from urllib.parse import quote

import aiohttp

from . import events, multipart
from .body import Body
from .errors import Malformed, TranscriptFailed, Unreachable, refused
from .events import Event
from .parts import Answer

Mode = Literal["VIDEO_ONLY", "ORIGINAL"]
Task = Literal["transcribe", "translate"]
Source = Literal["auto", "captions", "speech"]

LINES = "application/x-ndjson"

REFUSAL_BYTES_MAX = 65_536


class Client:
    """A gateway at `url`. A `session` that is given stays open; `key` is sent as `X-API-Key`.

    `stall_s` is how long the gateway may be silent: before its answer, and between two chunks.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        key: str | None = None,
        stall_s: float = 120,
    ) -> None:
        self._url = url.rstrip("/")
        self._given = session
        self._own: aiohttp.ClientSession | None = None
        # media does not get smaller, and lengths must stay those of the files
        self._headers = {"Accept-Encoding": "identity"} | ({"X-API-Key": key} if key else {})
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=stall_s)

    async def __aenter__(self) -> "Client":
        if self._given is None:
            self._own = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    async def ping(self) -> float:
        """The seconds that the gateway takes to answer."""
        began = time.perf_counter()
        async with self._post("/api/v3/ping", None) as response:
            if await _start(response, 5) != b"pong":
                raise Malformed("the answer to a ping is not pong")
        return time.perf_counter() - began

    @asynccontextmanager
    async def download(self, url: str, mode: Mode = "VIDEO_ONLY") -> AsyncIterator[Answer]:
        """The media of a post: one video, or with ORIGINAL what the post is made of."""
        wish = {"url": url, "download_content_type": mode}
        async with self._post("/api/v3/download", wish) as response:
            boundary = multipart.boundary(response.headers.get("Content-Type", ""))
            meta = multipart.meta(response.headers.get("Content-Meta", ""))
            body: Body[multipart.Event] = Body(response.content, multipart.Parser(boundary))
            yield Answer(meta, body, self._url, self._file, alone=mode == "VIDEO_ONLY")

    @asynccontextmanager
    async def transcribe(
        self,
        url: str,
        *,
        language: str | None = None,
        task: Task = "transcribe",
        words: bool = False,
        source: Source | None = None,
        prompt: str | None = None,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The words of a post while they are recognised; iterating raises TranscriptFailed if that fails."""
        wish: dict[str, object] = {"url": url, "task": task, "words": words}
        # only what is asked for: an older gateway may not know the rest
        asked = {"language": language, "source": source, "prompt": prompt}
        wish |= {name: value for name, value in asked.items() if value is not None}
        async with self._post("/transcribe", wish, accept=LINES) as response, _told(response) as found:
            yield found

    @asynccontextmanager
    async def follow(self, transcript: str, after: int = -1) -> AsyncIterator[AsyncIterator[Event]]:
        """A transcript that runs or is kept, by the `id` of its Info, without its first `after` + 1 events.

        All events but Progress count. There are none if `after` is the last one; then, and only then,
        there is no End.
        """
        path = f"/transcripts/{quote(transcript, safe='')}/events" + (f"?after={after}" if after >= 0 else "")
        async with (
            self._answer("GET", self._url + path, {"Accept": LINES}, (200, 204)) as response,
            _told(response) as found,
        ):
            yield found

    def _post(
        self, path: str, wish: dict[str, object] | dict[str, str] | None, accept: str = "*/*"
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._answer("POST", self._url + path, {"Accept": accept}, json=wish)

    def _file(
        self, link: str, headers: dict[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._answer("GET", link, headers, (200, 206))

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        good: tuple[int, ...] = (200,),
        json: object = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is not a refusal."""
        session = self._given or self._own
        if session is None:
            raise RuntimeError("the client is not open: use `async with Client(...) as client`")
        try:
            response = await session.request(
                method,
                url,
                json=json,
                headers=self._headers | headers,
                timeout=self._timeout,
                allow_redirects=False,
                raise_for_status=False,
            )
        except aiohttp.ClientResponseError as failure:
            raise Malformed(f"the answer is not HTTP: {failure.message}") from failure
        except (aiohttp.ClientError, OSError) as failure:  # OSError: timeouts too
            raise Unreachable(f"{self._url}: {str(failure) or type(failure).__name__}") from failure
        async with response:
            if response.status not in good:
                raise refused(
                    response.status,
                    await _start(response, REFUSAL_BYTES_MAX),
                    retry_after=response.headers.get("Retry-After"),
                    request_id=response.headers.get("X-Request-Id"),
                )
            yield response


@asynccontextmanager
async def _told(response: aiohttp.ClientResponse) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of an answer."""
    nothing = response.status == 204
    if not nothing and response.content_type != LINES:
        raise Malformed(f"the answer is {response.content_type}, not lines of events")
    async with aclosing(_events(Body(response.content, events.Parser(whole=nothing)))) as found:
        yield found


async def _events(body: Body[Event | events.Failed]) -> AsyncGenerator[Event, None]:
    while (event := await body.next()) is not None:
        if isinstance(event, events.Failed):
            raise TranscriptFailed(event.code, event.message)
        yield event


async def _start(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The first bytes of a short answer; what is missing of a broken one is not asked for."""
    data = b""
    try:
        while len(data) < bytes_max and (more := await response.content.readany()):
            data += more
    except (aiohttp.ClientError, OSError):
        pass
    return data[:bytes_max]
