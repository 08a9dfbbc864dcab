"""From a sound to windows while it arrives: the voice detector in a thread, then the cutter."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from gateway.speech.loudness import Loudness
from gateway.speech.sound import Sound
from gateway.speech.vad import Detector, Hearing
from gateway.speech.verdict import verdict
from gateway.speech.windows import RATE, Cutter, Window
from gateway.wire.events import Reason, Verdict

_BLOCK = 2 * RATE  # bytes heard at a time: a second, so that a thread's turn is worth its cost
_BLOCK_MAX = 8 * _BLOCK  # and not so much that the first window waits for the rest


class Listening:
    """One sound. Nothing is read ahead of the window that is asked for."""

    def __init__(self, sound: Sound, detector: Detector, thread: ThreadPoolExecutor) -> None:
        self._sound = sound
        self._hearing = Hearing(detector)
        self._cutter = Cutter()
        self._loudness = Loudness()
        self._thread = thread

    @property
    def duration(self) -> float:
        """Seconds heard so far."""
        return self._cutter.received / RATE

    def verdict(self, segments: int) -> tuple[Verdict, tuple[Reason, ...]]:
        """How much of it was speech, of which so many segments were made; and why that is little."""
        return verdict(
            received=self._cutter.received,
            speech=self._cutter.speech,
            silence=self._loudness.silence,
            segments=segments,
        )

    async def windows(self) -> AsyncGenerator[Window, None]:
        """The windows in order. When the sound breaks, first the windows of what came before."""
        broken: Exception | None = None
        block = bytearray()
        async with aclosing(self._sound.samples()) as chunks:
            try:
                async for chunk in chunks:
                    block += chunk
                    while len(block) >= _BLOCK:
                        taken = bytes(block[:_BLOCK_MAX])
                        del block[:_BLOCK_MAX]
                        for window in await self._heard(taken):
                            yield window
            except Exception as failure:  # raised again below
                broken = failure
        for window in await self._heard(bytes(block[: len(block) // 2 * 2])):
            yield window
        last = await self._in_thread(self._hearing.finish)
        for window in self._cutter.feed(b"", last) + self._cutter.finish():
            yield window
        if broken is not None:
            raise broken

    async def _heard(self, samples: bytes) -> list[Window]:
        probabilities = await self._in_thread(lambda: self._hear(samples))
        return self._cutter.feed(samples, probabilities)

    def _hear(self, samples: bytes) -> list[float]:
        self._loudness.hear(samples)
        return self._hearing.hear(samples)

    async def _in_thread(self, work: Callable[[], list[float]]) -> list[float]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
