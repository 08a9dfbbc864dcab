"""The client: one method for each thing a gateway does.

Always: until a method's `async with` is entered, a failure is an error of its own kind; leaving it
early closes the connection.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Literal

import aiohttp

from . import events, multipart
from .body import Body
from .codes import Codes
from .connection import Connection, Media, query, start, value
from .errors import Malformed, TranscriptFailed
from .events import Event
from .parts import Answer
from .records import Plan, Submitted
from .transcripts import Transcripts, path

Mode = Literal["VIDEO_ONLY", "ORIGINAL", "AUDIO_ONLY"]
Task = Literal["transcribe", "translate"]
Source = Literal["auto", "captions", "speech"]

LINES = "application/x-ndjson"
ANY_MEDIA = "application/octet-stream"


class Client:
    """A gateway at `url`. A `session` that is given stays open; `key` is sent as `X-API-Key`.

    `stall_s` is how long the gateway may be silent: before its answer, and between two chunks.
    `tries` is how often a request is sent again that is refused with a time to come again.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        key: str | None = None,
        stall_s: float = 120,
        tries: int = 3,
    ) -> None:
        self._connection = Connection(url, session, key, stall_s=stall_s, tries=tries)
        self.transcripts = Transcripts(self._connection)
        self.codes = Codes(self._connection)

    async def __aenter__(self) -> "Client":
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def ping(self) -> float:
        """The seconds that the gateway takes to answer."""
        began = time.perf_counter()
        async with self._connection.post("/api/v3/ping", None, again=False) as response:
            if await start(response, 5) != b"pong":
                raise Malformed("the answer to a ping is not pong")
        return time.perf_counter() - began

    @asynccontextmanager
    async def download(
        self,
        url: str | Sequence[str],
        mode: Mode = "VIDEO_ONLY",
        *,
        quality: str | int | None = None,
        codec: Literal["h264", "h265"] | None = None,
        thumbnail: bool = False,
    ) -> AsyncIterator[Answer]:
        """The media of a post, or of several: one video, its sound, or with ORIGINAL what it is made of."""
        wish = _media(url, mode, quality, codec, thumbnail)
        async with self._connection.post("/api/v3/download", wish) as response:
            boundary = multipart.boundary(response.headers.get("Content-Type", ""))
            meta = multipart.meta(response.headers.get("Content-Meta", ""))
            body: Body[multipart.Event] = Body(response.content, multipart.Parser(boundary))
            alone = mode != "ORIGINAL" and isinstance(url, str) and not thumbnail
            yield Answer(meta, body, self._connection.url, self._file, alone=alone)

    async def plan(
        self,
        url: str | Sequence[str],
        mode: Mode = "VIDEO_ONLY",
        *,
        quality: str | int | None = None,
        codec: Literal["h264", "h265"] | None = None,
        thumbnail: bool = False,
    ) -> Plan:
        """What that download would send."""
        wish = _media(url, mode, quality, codec, thumbnail)
        return await self._connection.told("POST", "/api/v3/download/plan", Plan, wish=wish)

    @asynccontextmanager
    async def transcribe(
        self,
        what: str | Media,
        *,
        language: str | None = None,
        task: Task = "transcribe",
        words: bool = False,
        source: Source | None = None,
        prompt: str | None = None,
        hotwords: str | None = None,
        model: str | None = None,
        media_type: str = ANY_MEDIA,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The words of a post by its address, or of media that are sent, while they are recognised.

        Iterating raises TranscriptFailed if that fails.
        """
        wish: dict[str, object] = {"task": task, "words": words}
        # only what is asked for: an older gateway may not know the rest
        asked = {
            "language": language,
            "source": source,
            "prompt": prompt,
            "hotwords": hotwords,
            "model": model,
        }
        wish |= {name: value for name, value in asked.items() if value is not None}
        async with self._words(what, wish, media_type) as response, _told(response) as found:
            yield found

    @asynccontextmanager
    async def follow(self, transcript: str, after: int = -1) -> AsyncIterator[AsyncIterator[Event]]:
        """A transcript that runs or is kept, by the `id` of its Info, without its first `after` + 1 events.

        All events but Progress count. There are none if `after` is the last one; then, and only then,
        there is no End.
        """
        url = self._connection.url + path(transcript) + "/events" + (f"?after={after}" if after >= 0 else "")
        async with (
            self._connection.answer("GET", url, {"Accept": LINES}, (200, 204), again=True) as response,
            _told(response) as found,
        ):
            yield found

    async def submit(
        self,
        media: Media,
        code: str,
        *,
        wait: bool = True,
        language: str | None = None,
        task: Task = "transcribe",
        prompt: str | None = None,
        hotwords: str | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
        media_type: str = ANY_MEDIA,
    ) -> Submitted:
        """The transcript of an upload, for a code; without `wait` only its beginning, to follow."""
        wish = {"language": language, "task": task, "prompt": prompt, "hotwords": hotwords}
        asked = query(wish | {"webhook": webhook, "wait": None if wait else 0})
        headers = {"Content-Type": media_type, "X-Auth-Code": code}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        sent = self._connection.send(f"/transcripts{asked}", media, headers, (200, 201, 202), waits=True)
        async with sent as response:
            return await value(response, Submitted)

    def _words(
        self, what: str | Media, wish: dict[str, object], media_type: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if isinstance(what, str):
            return self._connection.post("/transcribe", {"url": what} | wish, LINES)
        headers = {"Content-Type": media_type, "Accept": LINES}
        return self._connection.send(f"/transcribe{query(wish)}", what, headers, (200,), waits=False)

    def _file(
        self, link: str, headers: dict[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._connection.answer("GET", link, headers, (200, 206))


def _media(
    url: str | Sequence[str], mode: Mode, quality: str | int | None, codec: str | None, thumbnail: bool
) -> dict[str, object]:
    wish: dict[str, object] = {"url": url} if isinstance(url, str) else {"urls": list(url)}
    wish["download_content_type"] = mode
    if quality is not None:
        wish["quality"] = quality
    if codec is not None:
        wish["codec"] = codec
    if thumbnail:
        wish["thumbnail"] = True
    return wish


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
