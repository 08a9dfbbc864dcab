"""The transcripts: identical wishes share one, and so does the same sound in another place.

Always: at most one transcript per sound and options runs, and no more of them than the bound.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Protocol

import msgspec
import structlog

from gateway.errors import BadRequest, Busy, GatewayError, NotReady
from gateway.settings import Settings
from gateway.speech.kept import Kept
from gateway.speech.languages import CODES
from gateway.speech.listening import Listening
from gateway.speech.messages import Options
from gateway.speech.pool import Pool
from gateway.speech.recognition import Recognition
from gateway.speech.sound import Sound
from gateway.speech.transcript import Ending, Origin, Settle, Transcript, Work
from gateway.speech.vad import Detector
from gateway.tasks import Background
from gateway.wire.events import End, Failed, Info, Progress

log = structlog.get_logger()

__all__ = ["Options", "Origin", "Sound", "Transcript", "Transcripts"]

_RETRY_S = 5  # where nothing was measured yet: a clip of a minute takes two seconds alone
_RETRY_S_MAX = 600
_AHEAD_PER_WORKER = 4  # windows in flight over all transcripts: a batch in work, and the next
_AHEAD_LEAST = 2  # of one transcript: one in work while the next is cut


class Transcripts:
    """The transcripts that run, and those that ended not long ago."""

    def __init__(
        self,
        pool: Pool,
        background: Background,
        settings: Settings,
        *,
        flights: "Flights | None" = None,
        begun: Callable[[Transcript], None] = lambda transcript: None,
        ended: Callable[[Transcript], None] = lambda transcript: None,
        left: Callable[[Transcript], None] = lambda transcript: None,
    ) -> None:
        """Each that has `begun` is told of; and what is not settled, that it has `ended`, or was `left` by
        everybody."""
        self._pool = pool
        self._has_begun, self._flights = begun, flights
        self._came_to_end, self._left = ended, left
        self._background = background
        self._settings = settings
        self._detector = Detector()
        self._thread = ThreadPoolExecutor(1, "voice detector")  # 900 x real time: enough for all
        self._kept = Kept(bytes_max=settings.transcript_bytes_max, keep_s=settings.transcript_s)
        self._running: dict[str, tuple[Transcript, float | None]] = {}
        self.ends: Counter[str] = Counter()  # of those that ended: ok, an error's code, or left by all
        self._places: set[Place] = set()  # promised to uploads whose transcripts have not begun

    def __len__(self) -> int:
        """Transcripts running; one that everybody left is not."""
        return sum(not transcript.ending for transcript, _ in self._running.values())

    @property
    def room(self) -> bool:
        """Whether one more transcript would be accepted."""
        return len(self) + len(self._places) < self._settings.transcripts_max

    @property
    def wait_s(self) -> int:
        """Seconds until one more transcript would be accepted, as far as can be told now.

        Windows take turns, so that the transcript with the least left ends first, after as much of
        each other one was heard.
        """
        speed = self._pool.speed
        left = [
            max(0.0, duration - transcript.reached_s)
            for transcript, duration in self._running.values()
            if duration is not None and not transcript.ending
        ]
        if self.room or speed is None or not left:
            return _RETRY_S
        return min(_RETRY_S_MAX, max(1, math.ceil(min(left) * len(left) / speed)))

    @property
    def load(self) -> "Load":
        """How much there is to do, and for how long one more would wait."""
        running = [transcript for transcript, _ in self._running.values() if not transcript.ending]
        waiting = sum(not len(one) and one.standing.position > 0 for one in running)
        return Load(len(running) - waiting, waiting, self._pool.first_s if self.room else float(self.wait_s))

    def place(self) -> "Place":
        """Room for one transcript, until it begins or its wish is given up. Raises as `check`."""
        self.check()
        return Place(self._places)

    def check(self) -> None:
        """Raises NotReady or Busy where a new transcript would be refused now."""
        if not self._pool.ready:
            restarting = "The speech workers are starting. Try again in a moment."
            raise NotReady(restarting if self._pool.model else None, retry_after_s=_RETRY_S)
        self._check_room()

    def join(
        self,
        key: Hashable,
        options: Options,
        sound: Sound,
        *,
        duration: float | None,
        settle: Settle | None = None,
        origin: Origin = Origin(),  # noqa: B008  # frozen
        id_: str | None = None,
    ) -> Transcript:
        """The transcript of this sound and these options: a running one, one that is kept, or a new one.

        A new one is settled before its end is told; then it is no one else's while it runs.

        Follow it at once: until somebody does, nobody can leave it. Raises Busy and NotReady.
        """
        if options.language is not None and options.language not in CODES:
            raise BadRequest("The language is not known. Give its code, such as en or de.")
        there = self._kept.named((key, options))
        if there is not None:
            return there
        self.check()

        def work() -> Work:
            listening = Listening(sound, self._detector, self._thread)
            return Recognition(options, listening, self._pool, duration=duration, ahead=self._ahead)

        async def once(transcript: Transcript) -> Ending:
            return await self._once(transcript, work, options, sound, alone=settle is not None)

        async def among_all(transcript: Transcript) -> Ending:
            return await self._among_all(transcript, once, key, options)

        shared = self._flights is not None and settle is None and isinstance(key, str)
        return self._start(
            (key, options), among_all if shared else once, sound, duration, settle, origin, options, id_
        )

    def written(
        self,
        key: Hashable,
        work: Work,
        *,
        duration: float | None,
        origin: Origin = Origin(),  # noqa: B008  # frozen
    ) -> Transcript:
        """The transcript that `work` writes without the model, or the one that it wrote before."""
        there = self._kept.named(key)
        if there is not None:
            return there
        self._check_room()
        return self._start(key, work, None, duration, None, origin, None)

    def following(self, work: Work, *, settle: Settle, options: Options, id_: str) -> Transcript:
        """One that says what others do, which have the places."""
        return self._start(object(), work, None, None, settle, Origin(), options, id_, placed=False)

    def named(self, key: Hashable) -> Transcript | None:
        """The transcript that answers for `key`, if there is one that runs or is kept."""
        return self._kept.named(key)

    def claim(self, transcript: Transcript, key: Hashable) -> Transcript:
        """Who answers for `key` too: whoever does already, else `transcript` for as long as it is there."""
        return self._kept.claim(transcript, key)

    def by_id(self, id_: str) -> Transcript | None:
        """A transcript that runs or is kept."""
        return self._kept.by_id(id_)

    def remove(self, transcript: Transcript) -> None:
        """Forgets one that has ended."""
        self._kept.remove(transcript)

    def sweep(self) -> None:
        """Drops what was kept long enough."""
        self._kept.sweep()

    async def close(self) -> None:
        """Ends the detector's thread; the transcripts themselves end with the background."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _check_room(self) -> None:
        if not self.room:
            raise Busy(retry_after_s=self.wait_s)

    def _start(
        self,
        name: Hashable,
        work: Work,
        sound: Sound | None,
        duration: float | None,
        settle: Settle | None,
        origin: Origin,
        options: Options | None,
        id_: str | None = None,
        *,
        placed: bool = True,
    ) -> Transcript:
        def standing(transcript: Transcript) -> Progress:
            position, wait_s = self._pool.standing(transcript.id)
            arrived, whole = sound.arrived() if sound is not None else (0, None)
            return Progress(position, wait_s, arrived, whole)

        transcript = Transcript(standing, settle, id_=id_, origin=origin, options=options)
        self._kept.add(transcript, name)
        if placed:
            self._running[transcript.id] = (transcript, duration)

        def ended(task: "asyncio.Task[None]") -> None:
            if sound is not None:
                transcript.media_bytes, _ = sound.arrived()
            self._ended(transcript, task)

        # the log lines of both have the request id of who began it
        transcript.start(work, self._background).add_done_callback(ended)
        self._has_begun(transcript)
        return transcript

    def _ended(self, transcript: Transcript, task: "asyncio.Task[None]") -> None:
        self._running.pop(transcript.id, None)
        stopped = task.cancelled() and not transcript.cancelled
        self._log(transcript, "left" if stopped else end_of(transcript))
        self._kept.ended(transcript, stopped=stopped)
        if not transcript.settled:
            (self._left if stopped else self._came_to_end)(transcript)

    def _log(self, transcript: Transcript, end: str) -> None:
        """One line for each, with what it cost: no text, and no address but the post's number."""
        self.ends[end] += 1
        first, last, cost = transcript.events[0], transcript.events[-1], transcript.cost
        info = first if isinstance(first, Info) else None
        log.info(
            "transcript",
            id=transcript.id,
            post=transcript.origin.post_id,
            source=info.source if info else None,
            model=info.model if info else None,
            language=info.language if info else None,
            bytes=transcript.media_bytes,
            audio_s=last.duration if isinstance(last, End) else round(transcript.reached_s, 3),
            windows=cost.windows,
            queue_s=round(cost.waited_s, 3),
            worker_s=round(cost.worked_s, 3),
            ms=transcript.ran_ms,
            end=end,
        )

    async def _among_all(self, transcript: Transcript, work: Work, key: Hashable, options: Options) -> Ending:
        """Does the work, unless another gateway is at it: then it says what that does, as far as it goes."""
        assert self._flights is not None
        for last in (False, False, True):
            async with self._flights.joined(key, options, transcript) as other:
                if other is not None and not last and transcript.agrees(other):
                    with suppress(Busy):  # that gateway has died
                        ending = await transcript.follow_on(other)
                        if ending is not None:
                            return ending
                    continue
                if len(transcript):
                    transcript.resume()
                return await work(transcript)
        raise AssertionError

    async def _once(
        self,
        transcript: Transcript,
        work: Callable[[], Work],
        options: Options,
        sound: Sound,
        *,
        alone: bool,
    ) -> Ending:
        """Does the work, unless the media turn out to be those of another transcript.

        One that is `alone` may follow another and is not followed: it may fail for reasons of its own.
        Media are known by a hash, once they are whole: often before much was heard of them.
        """
        async with AsyncExitStack() as joined, asyncio.TaskGroup() as group:
            working = group.create_task(work()(transcript))
            claiming = group.create_task(self._claimed(transcript, options, sound, alone=alone))
            await asyncio.wait({working, claiming}, return_when=asyncio.FIRST_COMPLETED)
            first = transcript if working.done() else claiming.result()
            flights, digest = self._flights, transcript.media_sha256
            if first is transcript and flights is not None and digest is not None and not working.done():
                key = media_key(digest)
                looking = group.create_task(
                    flights.found(key, options)
                    if alone
                    else joined.enter_async_context(flights.joined(key, options, transcript))
                )
                await asyncio.wait({working, looking}, return_when=asyncio.FIRST_COMPLETED)
                if looking.done() and (other := looking.result()) is not None:
                    first = other
                looking.cancel()
            if first is not transcript and not working.done() and transcript.agrees(first):
                working.cancel()
                ending = None
                with suppress(Busy):  # the gateway in which that one ran has died
                    async with first.held():  # those who asked for it may leave it meanwhile
                        await asyncio.wait({working})
                        ending = await transcript.follow_on(first)
                if ending is None:  # what made that one fail may be its own: its media, its upload
                    ending = await self._again(transcript, work(), options, alone=alone)
                return ending
        return working.result()

    async def _again(self, transcript: Transcript, work: Work, options: Options, *, alone: bool) -> Ending:
        """Does the work after all, or has one of those do it who followed the same other."""
        digest = transcript.media_sha256
        if self._flights is not None and digest is not None and not alone:
            return await self._among_all(transcript, work, media_key(digest), options)
        transcript.resume()
        return await work(transcript)

    async def _claimed(
        self, transcript: Transcript, options: Options, sound: Sound, *, alone: bool
    ) -> Transcript:
        """Who answers for these media: the first of the transcripts of them."""
        try:
            digest = transcript.media_sha256 = await sound.digest()
        except GatewayError:
            digest = None  # whoever decodes them tells what is wrong
        if digest is None:
            return transcript
        name = ("media", digest, options)
        if not alone:
            return self._kept.claim(transcript, name)
        first = self._kept.named(name)
        return transcript if first is None else first

    def _ahead(self) -> int:
        """Windows that one transcript may have in flight: a share, so that memory stays flat."""
        share = _AHEAD_PER_WORKER * self._pool.workers // max(1, len(self))
        return max(_AHEAD_LEAST, share)


def end_of(transcript: Transcript) -> str:
    """How one that is over ended: ok, or an error's code. Pure."""
    last = transcript.events[-1]
    return last.code if isinstance(last, Failed) else "ok"


def media_key(digest: str) -> str:
    """What media answer to among all gateways. Pure."""
    return f"media {digest}"


class Flights(Protocol):
    """Work that gateways share; one transcript of it at a time has it, the others follow that."""

    def joined(
        self, key: Hashable, options: Options, transcript: Transcript
    ) -> AbstractAsyncContextManager[Transcript | None]: ...

    async def found(self, key: Hashable, options: Options) -> Transcript | None: ...


class Load(msgspec.Struct, frozen=True):
    """Transcripts at work, those that wait for their first turn, and how long one more would wait."""

    active: int
    waiting: int
    wait_s: float


class Place:
    """Room that was promised; leave it before the transcript begins, which then takes it."""

    def __init__(self, places: "set[Place]") -> None:
        self._places = places
        places.add(self)

    def leave(self) -> None:
        """Gives the room back; once more is no harm."""
        self._places.discard(self)
