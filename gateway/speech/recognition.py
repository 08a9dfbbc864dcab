"""A sound to its transcript: windows side by side through the pool, segments in order into the log."""

import asyncio
from contextlib import aclosing

import msgspec

from gateway.errors import GatewayError
from gateway.speech.lane import Ahead, Lane
from gateway.speech.listening import Listening
from gateway.speech.messages import Options
from gateway.speech.pool import Pool
from gateway.speech.transcript import Ending, Transcript
from gateway.speech.windows import RATE, Window
from gateway.wire.events import Info, Segment


class Recognition:
    """The work of one transcript. `duration` in seconds, as others say it; None where nobody does."""

    def __init__(
        self, options: Options, listening: Listening, pool: Pool, *, duration: float | None, ahead: Ahead
    ) -> None:
        self._options = options
        self._listening = listening
        self._pool = pool
        self._duration = duration
        self._ahead = ahead
        self._segments = 0

    async def __call__(self, log: Transcript) -> Ending:
        """Hears the sound to its end, several windows at a time."""
        language: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            lane: Lane[_Answer] = Lane(group, self._ahead)
            group.create_task(self._write(lane, log))
            try:
                async with aclosing(self._listening.windows()) as windows:
                    async for window in windows:
                        await lane.room()
                        lane.add(self._recognise(window, language, log))
            except GatewayError as failure:
                lane.end(failure)
            else:
                lane.end(None)
        if not language.done():
            self._inform(log, None, None)
        return Ending(self._listening.duration, *self._listening.verdict(self._segments))

    async def _recognise(self, window: Window, language: "asyncio.Future[str]", log: Transcript) -> "_Answer":
        """A window's segments; the windows after the first wait for the language that was heard in it.

        A failure is a value, so that the windows before it are still written.
        """

        def heard(code: str, probability: float | None) -> None:
            if not language.done():
                language.set_result(code)
                self._inform(log, code, probability)

        try:
            before = None if window.first else await asyncio.shield(language)
            if self._options.language is not None:
                before = None  # the caller knows
            answer = await self._pool.recognise(
                log.id, window, self._options, before=before, heard=heard, cost=log.cost
            )
        except GatewayError as failure:
            return failure
        return [_moved(segment, window.start / RATE) for segment in answer.segments]

    async def _write(self, lane: Lane["_Answer"], log: Transcript) -> None:
        """Appends the answers in the order of their windows."""
        async for answer in lane.answers():
            if isinstance(answer, GatewayError):
                raise answer
            for segment in answer:
                log.add(segment)
            self._segments += len(answer)

    def _inform(self, log: Transcript, language: str | None, probability: float | None) -> None:
        log.inform(
            Info(
                id=log.id,
                language=language,
                language_probability=probability,
                duration=self._duration,
                model=self._pool.model,
                source="speech",
            )
        )


_Answer = list[Segment] | GatewayError


def _moved(segment: Segment, by_s: float) -> Segment:
    """A segment of a window as one of the whole sound."""

    def at(time_s: float) -> float:
        return round(time_s + by_s, 3)

    words = segment.words and tuple(
        msgspec.structs.replace(word, start=at(word.start), end=at(word.end)) for word in segment.words
    )
    return msgspec.structs.replace(segment, start=at(segment.start), end=at(segment.end), words=words)
