"""The client: one method for each thing a gateway does.

Always: until a method's `async with` is entered, a failure is an error of its own kind; leaving it
early closes the connection.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from . import multipart, parts, resume
from .analyzer import Analyzer
from .body import Body
from .codes import Codes
from .connection import Connection, Media, query, start, value
from .errors import Malformed
from .events import LINES, Event
from .following import Following, checked
from .jobs import Jobs
from .parts import Answer, Part
from .patience import Patience
from .records import Heard, Live, MediaHead, Plan, Ready, Submitted
from .signing import signed
from .transcripts import Transcripts, path

Mode = Literal["VIDEO_ONLY", "ORIGINAL", "AUDIO_ONLY"]
Task = Literal["transcribe", "translate"]
Source = Literal["auto", "captions", "speech"]
About = Literal["live", "version", "queue", "health", "platforms", "stats", "models"]

ANY_MEDIA = "application/octet-stream"
ABOUT: dict[About, str] = {
    "live": "/live",
    "version": "/version",
    "queue": "/queue/status",
    "health": "/health",
    "platforms": "/supported-platforms",
    "stats": "/stats",
    "models": "/v1/models",
}


class Choice(TypedDict, total=False):
    """What to choose of a post, and how its photos become a film: as in the API."""

    quality: str | int | None
    codec: Literal["h264", "h265"] | None
    thumbnail: bool
    render: Literal["stream"] | None
    slide_s: float | None
    fade_s: float | None


class Speech(TypedDict, total=False):
    """How speech is recognised: as in the API."""

    language: str | None
    task: Task
    words: bool
    prompt: str | None
    hotwords: str | None
    model: str | None


class Client:
    """A gateway at `url`. A `session` that is given stays open; `key` is sent as `X-API-Key`.

    `secret` signs with that key. `stall_s` is how long the gateway may be silent: before its answer,
    and between two chunks. `tries` is how often one thing is tried again, after a loss or a refusal
    with a time to come again; `pause_s` is waited before the first try after a loss, then twice as
    long each time.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        key: str | None = None,
        secret: str | None = None,
        stall_s: float = 120,
        tries: int = 3,
        pause_s: float = 0.5,
    ) -> None:
        patience = Patience(tries, pause_s)
        self._connection = Connection(url, session, key, stall_s=stall_s, patience=patience)
        self._key, self._secret = key, secret
        self.transcripts = Transcripts(self._connection)
        self.codes = Codes(self._connection)
        self.jobs = Jobs(self._connection)
        self.analyzer = Analyzer(self._connection)

    async def __aenter__(self) -> "Client":
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    # media

    @asynccontextmanager
    async def download(
        self,
        url: str | Sequence[str],
        mode: Mode = "VIDEO_ONLY",
        *,
        heard: parts.Heard | None = None,
        **choice: Unpack[Choice],
    ) -> AsyncIterator[Answer]:
        """The media of a post, or of several: one video, its sound, or with ORIGINAL what it is made of.

        With `heard` the post's words come too: it is called with each event that has come, while the
        parts are read, `Failed` among them.
        """
        wish = _media(url, mode, choice) | ({} if heard is None else {"transcript": True})
        async with self._connection.post("/api/v3/download", wish) as response:
            boundary = multipart.boundary(response.headers.get("Content-Type", ""))
            meta = multipart.meta(response.headers.get("Content-Meta", ""))
            body: Body[multipart.Event] = Body(response.content, multipart.Parser(boundary))
            # of these nothing comes after the part
            alone = mode != "ORIGINAL" and isinstance(url, str) and wish.keys().isdisjoint(MORE)
            yield Answer(meta, body, self._connection, alone=alone, heard=heard)

    async def plan(
        self, url: str | Sequence[str], mode: Mode = "VIDEO_ONLY", **choice: Unpack[Choice]
    ) -> Plan:
        """What that download would send."""
        wish = _media(url, mode, choice)
        return await self._connection.told("POST", "/api/v3/download/plan", Plan, wish=wish)

    @asynccontextmanager
    async def media(self, link: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[Part]:
        """A part by its `link`, from byte `start` on, to before `stop`."""
        if start < 0 or (stop is not None and stop <= start):
            raise ValueError("there are no such bytes")
        received = resume.Received(self._connection.own(link), None, start, stop)
        headers = received.headers() if start or stop is not None else {}
        async with self._connection.file(received.link, headers, again=True) as response:
            rest = resume.Rest(response, received)
            head = multipart.Head(_name(link), response.content_type, None)
            length = None if received.end is None else received.end - start
            yield Part(head, length, received.link, rest.next, received, self._connection)

    async def media_head(self, link: str) -> MediaHead:
        """What a link holds."""
        async with self._connection.answer("HEAD", self._connection.own(link), {}, again=True) as response:
            told = response.headers
            return MediaHead(told.get("Content-Type"), response.content_length, told.get("ETag"))

    # words

    @asynccontextmanager
    async def transcribe(
        self,
        what: str | Media,
        *,
        source: Source | None = None,
        media_type: str = ANY_MEDIA,
        **speech: Unpack[Speech],
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The words of a post by its address, or of media that are sent, while they are recognised.

        Iterating goes on over lost connections, where the transcript does. It raises TranscriptFailed
        if that fails.
        """
        wish: dict[str, object] = {"task": "transcribe", "words": False} | _told(speech, source=source)
        async with self._words(what, wish, media_type) as response:
            following = Following(self._events, self._connection.patience)
            async with aclosing(following.events(checked(response))) as found:
                yield found

    @asynccontextmanager
    async def follow(self, transcript: str, after: int = -1) -> AsyncIterator[AsyncIterator[Event]]:
        """A transcript that runs or is kept, by the `id` of its Info, without its first `after` + 1 events.

        All events but Progress count. There are none if `after` is the last one; then, and only then,
        there is no End.
        """
        async with self._events(transcript, after, again=True) as response:
            following = Following(self._events, self._connection.patience, transcript, after)
            async with aclosing(following.events(checked(response))) as found:
                yield found

    async def begin(
        self, url: str, *, webhook: str | None = None, source: Source | None = None, **speech: Unpack[Speech]
    ) -> Submitted:
        """A post's transcript that needs nobody who waits: only its id, to follow."""
        wish = {"url": url, "wait": False} | _told(speech, source=source, webhook=webhook)
        return await self._connection.told("POST", "/transcribe", Submitted, wish=wish, good=(202,))

    async def submit(
        self,
        media: Media,
        code: str,
        *,
        wait: bool = True,
        webhook: str | None = None,
        idempotency_key: str | None = None,
        media_type: str = ANY_MEDIA,
        **speech: Unpack[Speech],
    ) -> Submitted:
        """The transcript of an upload, for a code; without `wait` only its beginning, to follow."""
        asked = query(_told(speech, webhook=webhook, wait=None if wait else 0))
        headers = {"Content-Type": media_type, "X-Auth-Code": code}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        sent = self._connection.send(f"/transcripts{asked}", media, headers, (200, 201, 202), waits=True)
        async with sent as response:
            return await value(response, Submitted)

    async def signed_transcribe(self, url: str) -> Heard:
        """The words of a post by TTTranscribe's API, signed; the answer comes when all is known."""
        if self._key is None or self._secret is None:
            raise ValueError("signing needs a key and a secret")
        body = msgspec.json.encode({"url": url})
        headers = signed(self._key, self._secret, body, time.time_ns() // 1_000_000)
        return await self._connection.told(
            # a second call would need a new signature: the first may have been answered
            "POST", "/api/transcribe", Heard, wish=body, headers=headers, again=False, waits=True
        )  # fmt: skip

    # how the gateway does

    async def ping(self) -> float:
        """The seconds that the gateway takes to answer."""
        began = time.perf_counter()
        async with self._connection.post("/api/v3/ping", None, again=False) as response:
            if await start(response, 5) != b"pong":
                raise Malformed("the answer to a ping is not pong")
        return time.perf_counter() - began

    async def live(self) -> bool:
        """Whether the process answers."""
        return (await self._connection.told("GET", ABOUT["live"], Live, again=False)).status == "ok"

    async def ready(self) -> Ready:
        """Whether a transcript would be taken up now, and why not."""
        return await self._connection.told("GET", "/ready", Ready, good=(200, 503), again=False)

    async def about(self, what: About) -> dict[str, Any]:
        """What the gateway tells of itself, as it is."""
        told = await self._connection.told("GET", ABOUT[what], dict[str, Any], again=False)
        data = told.get("data")
        return data if isinstance(data, dict) else told

    def _words(
        self, what: str | Media, wish: dict[str, object], media_type: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if isinstance(what, str):
            return self._connection.post("/transcribe", {"url": what} | wish, LINES)
        headers = {"Content-Type": media_type, "Accept": LINES}
        return self._connection.send(f"/transcribe{query(wish)}", what, headers, (200,), waits=False)

    def _events(
        self, transcript: str, after: int, *, again: bool = False
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Accept": LINES} | ({"Last-Event-ID": str(after)} if after >= 0 else {})
        url = f"{self._connection.url}{path(transcript)}/events"
        return self._connection.answer("GET", url, headers, (200, 204), again=again)


MORE = {"thumbnail", "transcript"}


def _media(url: str | Sequence[str], mode: Mode, choice: Choice) -> dict[str, object]:
    wish: dict[str, object] = {"url": url} if isinstance(url, str) else {"urls": list(url)}
    chosen = {name: value for name, value in choice.items() if value is not None and value is not False}
    return wish | {"download_content_type": mode} | chosen


def _told(speech: Speech, **more: object) -> dict[str, object]:
    """What is asked for and nothing else: an older gateway may not know the rest."""
    return {name: value for name, value in (speech | more).items() if value is not None}


def _name(link: str) -> str:
    return unquote(urlsplit(link).path.rpartition("/")[2])
