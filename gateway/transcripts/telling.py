"""Transcripts that run here, told to other gateways by Redis while they run; and what those ask.

Always: recognition never waits for Redis, which is written behind it, from the transcript's own log; where
Redis has lost that, it is told once more from the beginning; a log that ends without its end says so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog

from gateway.errors import GatewayError, Internal, NotFound
from gateway.speech.mirror import About
from gateway.speech.transcripts import Transcript, Transcripts
from gateway.store.feed import CUT, INBOX_S, Feed, new_run
from gateway.store.redis import Away
from gateway.tasks import Background
from gateway.transcripts.asking import ASKED_S, FOLLOWED_S, Answer, Ask, parsed
from gateway.wire.events import line

BEAT_S = 1.0  # so often it is told that it still runs, and where it stands
KEEP_S = 4.0  # what a process told that died
AWAY_S = 0.5  # between two tries while Redis is away
POLL_S = 0.1  # so often it is looked what is asked, while something runs
TOLD_S = 2.0
ENDED_S = 60.0  # what has ended is there until it surely has its row
AT_ONCE = 200  # events
BYTES_MAX = 8 << 20  # of one log: ten hours with the times of words
FOLLOWED_S_MAX = 10.0  # a follower that was not heard of for so long has gone

Act = Callable[[Transcript, Ask], Awaitable[bool]]

log = structlog.get_logger()


class Telling:
    """The transcripts that are told, and the tasks that do so."""

    def __init__(
        self, feed: Feed, process: str, background: Background, *, act: Act, inbox_s: float = INBOX_S
    ) -> None:
        self._feed = feed
        self._process = process
        self._background = background
        self._act = act  # what is asked of a transcript of this process, but to be followed
        self._told: dict[str, asyncio.Task[None]] = {}
        self._followed: dict[str, float] = {}  # until when somebody elsewhere does
        self._some = asyncio.Event()
        self._inbox = "0"
        self._inbox_s = inbox_s
        self._heard_at = 0.0  # when something was asked last, or might have been
        self._asked_until = 0.0  # of those that have ended

    def __len__(self) -> int:
        return len(self._told)

    def begin(self, transcript: Transcript) -> None:
        """Has a transcript told that begins now."""
        task = self._told[transcript.id] = self._background.start(
            self._tell(transcript), f"told {transcript.id}"
        )
        self._some.set()

        def ended(_: "asyncio.Task[None]") -> None:
            if self._told.get(transcript.id) is task:
                del self._told[transcript.id]
            self._asked_until = asyncio.get_running_loop().time() + ASKED_S

        task.add_done_callback(ended)

    async def run(self, transcripts: Transcripts) -> None:
        """Does what is asked for, as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._told and loop.time() > self._asked_until:
                self._some.clear()
                await self._some.wait()
                self._heard_at = loop.time()
            try:
                await self._look(transcripts)
            except Away:
                self._heard_at = loop.time()
            await asyncio.sleep(POLL_S)

    async def _look(self, transcripts: Transcripts) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._heard_at > self._inbox_s:
            # what was heard is not there any more, so what is there is new: of a Redis whose clock is behind
            self._inbox, self._heard_at = "0", now
        for at, asked in await self._feed.asked(self._process, self._inbox):
            self._inbox, self._heard_at = at, now
            if (ask := parsed(asked)) is None:
                continue
            try:
                self._asked(ask, transcripts.by_id(ask.id))
            except Exception as failure:  # others ask too
                log.error("what another gateway asked was not done", what=ask.what, exc_info=failure)

    async def left(self) -> None:
        """Waits until nobody elsewhere follows what runs here."""
        while self._followed:  # noqa: ASYNC110  # until the last of them was not heard of for a while
            await asyncio.sleep(POLL_S)

    async def forget(self, id_: str) -> None:
        """Has a transcript that has ended told no more."""
        await self._all_told(id_)
        with suppress(Away):  # it ends by itself
            await self._feed.forget(id_)

    # told

    async def _all_told(self, id_: str) -> None:
        if (telling := self._told.get(id_)) is not None:
            await asyncio.wait([telling], timeout=TOLD_S)

    async def _tell(self, transcript: Transcript) -> None:
        run = new_run()
        try:
            await self._tell_all(transcript, run)
        except asyncio.CancelledError:
            await self._cut(transcript, run)
            raise

    async def _tell_all(self, transcript: Transcript, run: str) -> None:
        told, newest, size = 0, True, 0
        while told >= 0:
            events = transcript.since(told, AT_ONCE)
            over = transcript.over
            if over and transcript.stopped and not transcript.cancelled:
                await self._cut(transcript, run)  # of no meaning to others: it may be begun once more
                return
            lines = [line(event) for event in events]
            try:
                there = await self._feed.append(
                    transcript.id, run, self._about(transcript, run), lines,
                    start=told, keep_s=ENDED_S if over else KEEP_S, newest=newest,
                )  # fmt: skip
            except Away:
                if over:
                    return  # it has its row soon
                await asyncio.sleep(AWAY_S)
                continue
            size = size + sum(map(len, lines)) if there > told else size
            told, newest = there, False
            if told > len(transcript):  # which would never be caught up with
                log.warning("somebody else writes what is told of a transcript", transcript=transcript.id)
                await self._cut(transcript, run)
                return
            if size > BYTES_MAX:
                log.warning("a transcript is too long to be told to other gateways", transcript=transcript.id)
                await self._cut(transcript, run)
                return
            if over and told == len(transcript):
                return
            await transcript.grown(told, BEAT_S)

    async def _cut(self, transcript: Transcript, run: str) -> None:
        """Says that no more comes; where Redis is away, its silence does."""
        about, told = self._about(transcript, run), -1
        with suppress(Away):
            for _ in range(2):  # the first tells how many there are
                lines = [CUT] if told >= 0 else []
                told = await self._feed.append(transcript.id, run, about, lines, start=told, keep_s=KEEP_S)

    def _about(self, transcript: Transcript, run: str) -> bytes:
        return msgspec.json.encode(
            About(
                self._process,
                run,
                transcript.origin,
                transcript.title,
                transcript.options,
                transcript.owners,
                transcript.created_at,
                transcript.standing,
                transcript.handing is not None,
            )
        )

    # asked

    def _asked(self, ask: Ask, transcript: Transcript | None) -> None:
        if transcript is None or ask.what != "follow":
            self._background.start(self._answered(ask, transcript), f"asked {ask.what} {ask.id}")
            return
        first = ask.id not in self._followed
        if first and transcript.ending:
            return
        self._followed[ask.id] = asyncio.get_running_loop().time() + FOLLOWED_S_MAX
        if first:
            self._background.start(self._hold(transcript), f"followed {ask.id}")

    async def _hold(self, transcript: Transcript) -> None:
        """Keeps a transcript running as long as somebody follows it elsewhere."""
        loop = asyncio.get_running_loop()
        try:
            async with transcript.held():
                while not transcript.over and loop.time() < self._followed[transcript.id]:
                    await transcript.grown(len(transcript), FOLLOWED_S)
            if transcript.over:
                await self._all_told(transcript.id)  # its end too
        finally:
            self._followed.pop(transcript.id, None)

    async def _answered(self, ask: Ask, transcript: Transcript | None) -> None:
        try:
            if transcript is None:
                raise NotFound
            answer = Answer(await self._act(transcript, ask))
            if ask.what == "cancel":
                await self._all_told(ask.id)  # who asked will look
        except GatewayError as failure:
            answer = Answer(code=failure.code, text=failure.message)
        except Exception as failure:
            log.error("what another gateway asked was not done", what=ask.what, exc_info=failure)
            answer = Answer(code=Internal.code, text=Internal.text)
        if ask.name is not None:
            with suppress(Away):  # who asked does not wait for ever
                await self._feed.answer(ask.name, msgspec.json.encode(answer))
