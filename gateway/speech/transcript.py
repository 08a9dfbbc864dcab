"""One transcript, many readers: an append-only log of events.

Always: every reader of a transcript gets every event, in order, from where it asks; the last event
is End or Failed; when the last reader leaves, the work stops at once.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import structlog

from gateway.errors import Busy, Cancelled, GatewayError, Internal, by_code
from gateway.speech.cost import Cost
from gateway.speech.messages import Options
from gateway.tasks import Background, Shared
from gateway.wire.events import (
    End,
    Failed,
    Info,
    Logged,
    Progress,
    Reason,
    Segment,
    Verdict,
    line,
    text_of,
)

log = structlog.get_logger()

E = TypeVar("E", bound=BaseException)


class Ending(msgspec.Struct, frozen=True):
    """What is known of a sound at its end. `duration` in seconds."""

    duration: float
    speech: Verdict
    reasons: tuple[Reason, ...] = ()


class Origin(msgspec.Struct, frozen=True):
    """Where a sound comes from, as far as that is known."""

    title: str | None = None
    url: str | None = None
    post_id: str | None = None
    sound_id: str | None = None


class Transcript:
    """The log of one sound on its way to text."""

    def __init__(
        self,
        standing: Callable[["Transcript"], Progress],
        settle: "Settle | None" = None,
        *,
        id_: str | None = None,  # where it was promised before it began
        origin: Origin = Origin(),  # noqa: B008  # frozen
        options: Options | None = None,
    ) -> None:
        self.id = id_ or secrets.token_urlsafe(16)
        self.title = origin.title
        self.origin = origin
        self.options = options  # None: no model was asked
        self.owners: list[str] = []  # who asked for it, the first first
        self.followed = False  # whether its words are another transcript's
        self.media_sha256: str | None = None  # once the media are whole
        self.media_bytes = 0  # that had arrived at its end
        self.cost = Cost()
        self.created_at = datetime.now(UTC)
        self.ended_at: datetime | None = None
        self.read = False  # whether its words were handed to somebody by its id
        self.pending = False  # told again: it waits for a process that takes it up
        self.handing: Handing | None = None  # what must be done before the first words are
        self._standing = standing
        self._settle = settle
        self.settled = settle is not None  # whether somebody else sees to it that its end is written down
        self._log: list[Logged] = []
        self._segments: list[Segment] = []
        self._grown = asyncio.Event()  # replaced at each event
        self._started = time.monotonic()
        self._again: int | None = None  # segments that are said once more; None: nothing ever was
        self._shared: Shared | None = None
        self._settling = False
        self._cancelled = False

    @classmethod
    def told_again(
        cls,
        id_: str,
        events: Sequence[Logged],
        origin: Origin,
        created_at: datetime,
        ended_at: datetime | None,
    ) -> "Transcript":
        """One that was written down: nothing is added any more."""
        found = cls(lambda _: Progress(0, None, 0, None), origin=origin)
        found.id, found.created_at, found.ended_at = id_, created_at, ended_at
        found._log = list(events)
        found._segments = [event for event in events if isinstance(event, Segment)]
        return found

    def start(self, work: "Work", background: Background) -> "asyncio.Task[None]":
        """Begins the work that writes this log; `background` is its parent."""
        task = background.start(self._run(work), f"transcript {self.id}")
        task.add_done_callback(lambda _: self._ended())
        self._shared = Shared(task)
        return task

    # the writer

    def inform(self, info: Info) -> None:
        """Says what is being recognised, first of all."""
        if self._log:
            assert self._again is not None
            return
        duration = None if info.duration is None else round(info.duration, 3)
        self._append(msgspec.structs.replace(info, id=self.id, duration=duration))

    def add(self, segment: Segment) -> None:
        """Appends a segment, whatever its own number was."""
        if self._again:
            self._again -= 1
            return
        numbered = msgspec.structs.replace(segment, id=len(self._segments))
        self._segments.append(numbered)
        self._append(numbered)

    async def follow_on(self, other: "Transcript") -> Ending | None:
        """Goes on as `other` does, which is of the same sound. None when that fails or has stopped."""
        if other.ending and not other.over:
            return None
        if self._again is not None:
            self._again = 0  # from here on all is new
        async with aclosing(other.follow(after=len(self._log) - 1)) as events:
            async for _, event in events:
                match event:
                    case Info():
                        self.inform(event)
                    case Segment():
                        self.add(event)
                    case End():
                        self.followed = True
                        return Ending(event.duration, event.speech, event.reasons)
                    case Failed():
                        return None
        return None

    def stand_as(self, other: "Transcript") -> None:
        """From here on its work is another's, and stands where that does."""
        self._standing = lambda _: other.standing

    def resume(self) -> None:
        """From here on the work says again, from the beginning, what is in the log already."""
        self._again = len(self._segments)

    def stop(self) -> None:
        """Ends the work, whoever still follows it."""
        if self._shared is not None:
            self._shared.task.cancel()

    # the readers

    @property
    def stopped(self) -> bool:
        """Whether it ended because it was stopped, or everybody had left."""
        return self._shared is not None and self._shared.task.cancelled()

    async def done(self) -> None:
        """Waits for the end of the work without keeping it running."""
        assert self._shared is not None, "started"
        await asyncio.wait([self._shared.task])

    @property
    def ending(self) -> bool:
        """Whether it is too late to join the work."""
        return self._shared is None or self._shared.task.done() or bool(self._shared.task.cancelling())

    @property
    def running(self) -> bool:
        """Whether there is work under way that more may come of."""
        return self._shared is not None and not self.over

    @property
    def cancelled(self) -> bool:
        """Whether it was ended by `cancel`."""
        return self._cancelled

    @property
    def whole(self) -> bool:
        """Whether it has come to its end."""
        return bool(self._log) and isinstance(self._log[-1], End)

    @property
    def over(self) -> bool:
        """Whether nothing will be added any more."""
        return bool(self._log) and isinstance(self._log[-1], End | Failed)

    def __len__(self) -> int:
        """Events so far."""
        return len(self._log)

    @property
    def reached_s(self) -> float:
        """How far the text goes, in seconds of the sound."""
        return self._segments[-1].end if self._segments else 0.0

    @property
    def text(self) -> str:
        """What was said so far."""
        return text_of(self._segments)

    @property
    def heard_s(self) -> float:
        """How much of the sound was recognised."""
        last = self._log[-1] if self._log else None
        return last.duration if isinstance(last, End) else self.reached_s

    @property
    def ran_ms(self) -> int:
        """How long ago it began, in milliseconds."""
        return round((time.monotonic() - self._started) * 1000)

    @property
    def events(self) -> tuple[Logged, ...]:
        """The log so far."""
        return tuple(self._log)

    @property
    def bytes(self) -> int:
        """About what it takes to keep."""
        return sum(len(line(event)) for event in self._log)

    @property
    def standing(self) -> Progress:
        """Where the work stands just now."""
        return self._standing(self)

    async def follow(self, after: int = -1) -> AsyncGenerator[tuple[int, Logged], None]:
        """The events from `after` + 1 on, each with its number; ends after End or Failed."""
        async with self.held():
            number = after + 1
            while True:
                grown = self._grown
                while number < len(self._log):
                    yield number, self._log[number]
                    number += 1
                if self.over:
                    return
                self._check()
                await grown.wait()

    @property
    def _runs(self) -> bool:
        """Whether there is work to be kept running; a log that was told again is whole."""
        return self._shared is not None

    def _check(self) -> None:
        """Raises what keeps more from coming, short of an end."""
        assert self._runs, "started, or told again"

    async def grown(self, count: int, wait_s: float) -> None:
        """Waits for more than so many events, no longer than that, and without keeping the work running."""
        if len(self._log) <= count and not self.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._grown.wait()

    def since(self, count: int, at_once: int) -> list[Logged]:
        """The events after the first so many, no more than `at_once`."""
        return self._log[count : count + at_once]

    async def end(self) -> End:
        """Follows it to its end. Raises what it failed with."""
        async with aclosing(self.follow()) as log:
            async for _, event in log:
                match event:
                    case End():
                        return event
                    case Failed():
                        raise by_code(event.code, event.message)
        raise Internal

    async def hand_out(self) -> None:
        """Words are about to be handed to somebody by its id."""
        if not self.read:
            self.read = True
            if self.handing is not None:
                await self.handing()

    def held(self) -> AbstractAsyncContextManager[None]:
        """Keeps the work running, as a reader does; of one that was told again there is none."""
        return nullcontext() if self._shared is None else self._shared.joined()

    def agrees(self, other: "Transcript") -> bool:
        """Whether what both have said so far is the same."""
        said = zip(self._segments, other._segments, strict=False)
        return all((a.start, a.end, a.text) == (b.start, b.end, b.text) for a, b in said)

    async def cancel(self) -> bool:
        """Ends the work, for all who follow it, and waits until it is over. False: it came to its end."""
        assert self._shared is not None
        task = self._shared.task
        if not (self._settling or task.done()):
            self._cancelled = True
            task.cancel()
        await asyncio.wait({task})
        return self._cancelled and task.cancelled()

    # the work

    async def _run(self, work: "Work") -> None:
        try:
            ending = await work(self)
            end = End(
                segments=len(self._segments),
                duration=round(ending.duration, 3),
                text_sha256=hashlib.sha256(text_of(self._segments).encode()).hexdigest(),
                elapsed_ms=self.ran_ms,
                speech=ending.speech,
                reasons=ending.reasons,
            )
            if self._settle is not None:
                self._settling = True  # from here on the end may be known to others
                await self._settle((*self._log, end))
        except* GatewayError as failures:
            self._fail(_first(failures))
        except* Exception as failures:
            log.error("transcript failed", transcript=self.id, exc_info=_first(failures))
            self._fail(Internal())
        else:
            self._append(end)

    def _append(self, event: Logged) -> None:
        assert not self.over
        if isinstance(event, End | Failed):
            self.ended_at = datetime.now(UTC)
        self._log.append(event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _ended(self) -> None:
        """The task is over; readers never wait for nothing, and nothing of the media is held any more."""
        self._standing, self._settle, self.handing = _nowhere, None, None
        if not self.over:
            stopped = Busy("This transcript was stopped before its end. Ask again.")
            self._fail(Cancelled() if self._cancelled else stopped)

    def _fail(self, failure: GatewayError) -> None:
        self._append(Failed(failure.code, failure.message))


def _nowhere(_: Transcript) -> Progress:
    return Progress(0, 0.0, 0, None)


Work = Callable[[Transcript], Coroutine[Any, Any, Ending]]  # writes Info and Segments into the log
# what must be done with the whole log before anybody is told of its end; where that fails, so does all
Settle = Callable[[tuple[Logged, ...]], Coroutine[Any, Any, None]]
Handing = Callable[[], Coroutine[Any, Any, None]]


def _first(failures: BaseExceptionGroup[E]) -> E:
    """One failure of a group, however deep."""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
