"""What is heard in a spool, even a growing one, to 16 kHz samples, by a child process for each.

Always: a broken spool raises, it is never an end of file; what malformed media crash or hang is a
child of ours, never the gateway, and that sound only.
"""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import structlog

from gateway.errors import MediaUndecodable, SpeechFailed, VideoTooLong
from gateway.media.nursery import Child, Nursery
from gateway.media.samples import (
    END,
    FAILED,
    FRAME,
    FRAME_BYTES_MAX,
    RATE,
    SAMPLE_BYTES,
    Failure,
    Told,
)
from gateway.media.spool import Spool
from gateway.tasks import Background
from gateway.tracing import OFF, Tracing

__all__ = ["RATE", "Decoders"]

PADDING_S = 1.0  # codecs fill their last frame: an hour of MP3 is a little more than one
# an hour of AAC is decoded in 3 s; what takes a hundred times as long is made to
CPU_S = 60
CPU_SHARE = 0.1  # of the seconds of sound
LONG_S = 24 * 3600  # where the sound has no bound, its work still has one
DIED = "The decoder died on this media. Ask again."

log = structlog.get_logger()


class Decoders:
    """Decoder processes, forked by a nursery when a spool is to be heard."""

    def __init__(self, background: Background, *, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._nursery = Nursery("gateway.media.decoder", background)
        self.running: set[Child] = set()  # at work on a spool

    def load(self) -> None:
        """Starts the nursery ahead of need."""
        self._nursery.load()

    async def close(self) -> None:
        """Ends the nursery, and what it forked."""
        await self._nursery.close()

    async def samples(self, spool: Spool, *, seconds_max: float | None = None) -> AsyncGenerator[bytes, None]:
        """The spool's sound as chunks of s16le mono 16 kHz, as far as it has arrived, then to its end.

        Raises MediaUndecodable when it is not (or no longer) decodable, VideoTooLong as soon as there
        is more of it than `seconds_max`, what broke the spool, SpeechFailed when the decoder dies, and
        Busy when there is none to be had.
        """
        left = None if seconds_max is None else int((seconds_max + PADDING_S) * RATE) * SAMPLE_BYTES
        cpu_s = int(CPU_S + CPU_SHARE * (LONG_S if seconds_max is None else seconds_max))
        async with self._nursery.child() as child:
            self.running.add(child)
            span = self._tracing.begin("decode")
            telling = asyncio.get_running_loop().create_task(_tell(child, spool, cpu_s), name="decoder told")
            try:
                while (data := await _heard(child, spool)) is not None:
                    if left is not None:
                        left -= len(data)
                        if left < 0:
                            raise VideoTooLong(f"The sound is longer than {seconds_max:g} seconds.")
                    yield data
            finally:
                span.end()
                child.kill()
                self.running.discard(child)
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)


async def _heard(child: Child, spool: Spool) -> bytes | None:
    """The samples that come next, None at the end."""
    try:
        kind, length = FRAME.unpack(await child.stdout.readexactly(FRAME.size))
        if length > FRAME_BYTES_MAX:
            raise SpeechFailed(DIED)
        data = await child.stdout.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        spool.check()
        raise SpeechFailed(DIED) from None
    if kind == END:
        return None
    if kind == FAILED:
        spool.check()
        failure = msgspec.json.decode(data, type=Failure)
        log.info("not decoded", reason=failure.reason)
        raise MediaUndecodable(failure.text)
    return data


async def _tell(child: Child, spool: Spool, cpu_s: int) -> None:
    """Keeps the child informed until nothing more can change."""
    told = Told(spool.size, spool.state, str(spool.path), cpu_s)
    while True:
        child.stdin.write(msgspec.json.encode(told) + b"\n")
        await child.stdin.drain()
        if told.state != "growing":
            return
        await spool.grown(told.size)
        told = Told(spool.size, spool.state)
