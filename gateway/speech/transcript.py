"""One transcript, many readers: an append-only log of events.

Always: every reader of a transcript gets every event, in order, from where it asks; the last event
is End or Failed; when the last reader leaves, the work stops at once.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import msgspec
import structlog

from gateway.errors import Busy, GatewayError, Internal
from gateway.speech.lane import Ahead, Lane
from gateway.speech.listening import Listening
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool
from gateway.speech.windows import RATE, Window
from gateway.tasks import Background, Shared
from gateway.wire.events import End, Failed, Info, Logged, Segment, text_of

log = structlog.get_logger()

E = TypeVar("E", bound=BaseException)


class Transcript:
    """One sound on its way to text, and everything said of it so far."""

    def __init__(
        self, options: Options, listening: Listening, pool: LocalPool, *, duration: float | None, ahead: Ahead
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self._options = options
        self._listening = listening
        self._pool = pool
        self._duration = duration
        self._ahead = ahead
        self._log: list[Logged] = []
        self._segments: list[Segment] = []
        self._grown = asyncio.Event()  # replaced at each event
        self._started = time.monotonic()
        self._shared: Shared | None = None

    def start(self, background: Background) -> "asyncio.Task[None]":
        """Begins the work; `background` is its parent."""
        task = background.start(self._run(), f"transcript {self.id}")
        task.add_done_callback(lambda _: self._ended())
        self._shared = Shared(task)
        return task

    @property
    def ending(self) -> bool:
        """Whether it is too late to join."""
        return self._shared is None or self._shared.task.done() or bool(self._shared.task.cancelling())

    async def follow(self, after: int = -1) -> AsyncGenerator[tuple[int, Logged], None]:
        """The events from `after` + 1 on, each with its number; ends after End or Failed."""
        assert self._shared is not None, "started by join"
        async with self._shared.joined():
            number = after + 1
            while True:
                grown = self._grown
                while number < len(self._log):
                    yield number, self._log[number]
                    number += 1
                if self._over:
                    return
                await grown.wait()

    @property
    def _over(self) -> bool:
        return bool(self._log) and isinstance(self._log[-1], End | Failed)

    def _append(self, event: Logged) -> None:
        assert not self._over
        self._log.append(event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _ended(self) -> None:
        """The task is over; readers never wait for nothing."""
        if not self._over:
            self._fail(Busy("The server is stopping. Try again later."))

    async def _run(self) -> None:
        """Hears the sound to its end, several windows at a time."""
        try:
            async with asyncio.TaskGroup() as group:
                lane: Lane[_Answer] = Lane(group, self._ahead)
                group.create_task(self._write(lane))
                language: asyncio.Future[str] = asyncio.get_running_loop().create_future()
                try:
                    async with aclosing(self._listening.windows()) as windows:
                        async for window in windows:
                            await lane.room()
                            lane.add(self._recognise(window, language))
                except GatewayError as failure:
                    lane.end(failure)
                else:
                    lane.end(None)
            self._finish()
        except* GatewayError as failures:
            self._fail(_first(failures))
        except* Exception as failures:
            log.error("transcript failed", transcript=self.id, exc_info=_first(failures))
            self._fail(Internal())

    async def _recognise(self, window: Window, language: "asyncio.Future[str]") -> "_Answer":
        """A window's segments; the windows after the first wait for the language that was heard in it.

        A failure is a value, so that the windows before it are still written.
        """

        def heard(code: str, probability: float | None) -> None:
            if not language.done():
                language.set_result(code)
                self._inform(code, probability)

        try:
            if window.first:
                answer = await self._pool.recognise(self.id, window, self._options, heard)
            else:
                fixed = msgspec.structs.replace(self._options, language=await asyncio.shield(language))
                answer = await self._pool.recognise(self.id, window, fixed)
        except GatewayError as failure:
            return failure
        return [_moved(segment, window.start / RATE) for segment in answer.segments]

    async def _write(self, lane: Lane["_Answer"]) -> None:
        """Appends the answers in the order of their windows."""
        async for answer in lane.answers():
            if isinstance(answer, GatewayError):
                raise answer
            for segment in answer:
                numbered = msgspec.structs.replace(segment, id=len(self._segments))
                self._segments.append(numbered)
                self._append(numbered)

    def _inform(self, language: str | None, probability: float | None) -> None:
        self._append(
            Info(
                id=self.id,
                language=language,
                language_probability=probability,
                duration=self._duration,
                model=self._pool.model,
                source="speech",
            )
        )

    def _finish(self) -> None:
        if not self._log:
            self._inform(None, None)
        self._append(
            End(
                segments=len(self._segments),
                duration=round(self._listening.duration, 3),
                text_sha256=hashlib.sha256(text_of(self._segments).encode()).hexdigest(),
                elapsed_ms=round((time.monotonic() - self._started) * 1000),
                speech=self._listening.verdict,
            )
        )

    def _fail(self, failure: GatewayError) -> None:
        self._append(Failed(failure.code, failure.message))


_Answer = list[Segment] | GatewayError


def _moved(segment: Segment, by_s: float) -> Segment:
    """A segment of a window as one of the whole sound."""

    def at(time_s: float) -> float:
        return round(time_s + by_s, 3)

    words = segment.words and tuple(
        msgspec.structs.replace(word, start=at(word.start), end=at(word.end)) for word in segment.words
    )
    return msgspec.structs.replace(segment, start=at(segment.start), end=at(segment.end), words=words)


def _first(failures: BaseExceptionGroup[E]) -> E:
    """One failure of a group, however deep."""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
