"""Photos and a sound to a video, in a child process.

Always: at most `renders_max` children render at once, each within a deadline; a child whose asker
has left is killed; what malformed photos crash, hang or fill is a child of ours, never the gateway.
"""

import asyncio
import math
import sys
from collections.abc import Sequence

import msgspec
import structlog

from gateway import spawn
from gateway.errors import Busy, GatewayError, MediaUndecodable
from gateway.media.film import (
    BROKEN,
    DATA,
    END,
    FAILED,
    FRAME,
    LENGTH,
    SKIPPED,
    USUAL,
    Film,
    Job,
    Photo,
    Skipped,
)
from gateway.media.spool import Spool
from gateway.media.turns import Turns

__all__ = ["Film", "Slideshows"]

WAITING_MAX = 16  # for each that renders; at 3 s each, the last waits under a minute
PIPE_BYTES = 256 << 10
BROKE = "The renderer broke on these photos."
PIECE_BYTES_MAX = 16 << 20  # a live fragment is a slide; more is not ours

log = structlog.get_logger()


class Slideshows:
    """Renders of slideshows, `renders_max` at once, each done in `render_s` seconds or not at all."""

    def __init__(self, *, renders_max: int, render_s: float) -> None:
        self._turns = Turns(renders_max, waiting_max=WAITING_MAX * renders_max, wait_s=render_s)
        self._render_s = render_s
        self.running: set[spawn.Piped] = set()

    async def fill(
        self, spool: Spool, photos: Sequence[Spool], sound: Spool | None, film: Film = USUAL
    ) -> None:
        """Renders the photos and the sound, once they are whole, into the spool as one MP4.

        The caller keeps all of them open meanwhile. A photo that broke or cannot be decoded is left
        out. Raises MediaUndecodable when no photo, or not the sound, can be decoded; what broke the
        sound, or all of the photos; and Busy when there is no turn or not enough time.
        """
        job = Job(
            film=film,
            photos=await _whole(photos[: film.slides_max], spool),
            sound=await _path(sound) if sound is not None else None,
            cpu_s=math.ceil(self._render_s) + 1,
        )
        if len(photos) > film.slides_max:
            log.warning("slides left out", slides=len(photos), slides_max=film.slides_max)
        async with self._turns.one():
            try:
                async with asyncio.timeout(self._render_s):
                    await self._render(spool, job)
            except TimeoutError:
                log.error("slideshow not rendered in time", slides=len(job.photos), render_s=self._render_s)
                raise Busy("The slideshow was not rendered in time.") from None

    async def _render(self, spool: Spool, job: Job) -> None:
        try:
            child = await spawn.piped(sys.executable, "-m", "gateway.media.renderer", limit_bytes=PIPE_BYTES)
        except OSError as error:
            raise Busy from error
        self.running.add(child)
        try:
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            await child.stdin.drain()
            await _received(child, spool)
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):  # uvloop: a dead pipe
            raise MediaUndecodable(BROKE) from None
        finally:
            child.kill()
            self.running.discard(child)
            await child.wait()


async def _received(child: spawn.Piped, spool: Spool) -> None:
    """Takes what the child says until it has ended."""
    while True:
        kind, length = FRAME.unpack(await child.stdout.readexactly(FRAME.size))
        if length > PIECE_BYTES_MAX:
            raise MediaUndecodable(BROKE)
        data = await child.stdout.readexactly(length)
        if kind == LENGTH:
            spool.expect(int(data))
        elif kind == DATA:
            if spool.media_type is None:
                spool.begin("video/mp4")
            spool.append(data)
        elif kind == SKIPPED:
            skipped = msgspec.json.decode(data, type=Skipped)
            log.warning("slide skipped", slide=skipped.number, reason=skipped.reason)
        elif kind == FAILED:
            raise MediaUndecodable(data.decode())
        elif kind == BROKEN:
            log.error("slideshow not rendered", reason=data.decode("utf-8", "replace"))
            raise MediaUndecodable(BROKE)
        else:
            assert kind == END
            return


async def _whole(photos: Sequence[Spool], film: Spool) -> tuple[Photo, ...]:
    """The photos that have arrived. Raises what broke the first, when all of them broke.

    A film without one of them is shown once and not kept: the photo may be there the next time.
    """
    arrived: list[Photo] = []
    failure: GatewayError | None = None
    for number, spool in enumerate(photos, 1):
        try:
            arrived.append(Photo(number, await _path(spool)))
        except GatewayError as error:
            failure, film.passing = failure or error, True
            log.warning("slide skipped", slide=number, reason=error.message)
    if not arrived:
        raise failure or MediaUndecodable("The post has no photos.")
    return tuple(arrived)


async def _path(spool: Spool) -> str:
    """The file of a spool that is whole. Raises what broke it."""
    while await spool.grown(spool.size) == "growing":
        pass
    spool.check()
    return str(spool.path)
