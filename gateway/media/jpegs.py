"""The JPEG process: any image to a JPEG that is no larger than asked for.

A child is sent one image and answers with the JPEG, or with why there is none.
Always: a child is at work on one image, within limits of time, memory and size, or dead; what malformed
images crash, hang or fill is a child, never the gateway.
"""

import asyncio
import os
import sys
from threading import Thread

import structlog

from gateway import spawn
from gateway.errors import Busy, MediaUndecodable
from gateway.media.confinement import confine, mute
from gateway.media.film import DATA, FAILED, FRAME
from gateway.media.turns import Turns

SIDE_MAX = 2048  # more is not looked at by those who get them
AT_ONCE_MAX = 2  # each costs a sixth of a second of CPU to start
WAITING_MAX = 64
WAITING_S = 30
MADE_S = 15  # once started, a 48-megapixel HEIC takes 1 s
IMAGE_BYTES_MAX = 64 << 20  # as `photo.py` has it
JPEG_BYTES_MAX = 16 << 20
MEMORY_BYTES_MAX = 1 << 30  # beside what it has once PyAV is loaded
FILES_MAX = 16  # what Python has open
QUALITY = "3"  # of 2 to 31, the best first

BROKE = "The image cannot be read."

lines = structlog.get_logger()


class Jpegs:
    """Child processes, a few at a time."""

    def __init__(self) -> None:
        self._turns = Turns(AT_ONCE_MAX, waiting_max=WAITING_MAX, wait_s=WAITING_S)

    async def __call__(self, image: bytes) -> bytes:
        """The image as a JPEG, upright. Raises MediaUndecodable, Busy."""
        if len(image) > IMAGE_BYTES_MAX:
            raise MediaUndecodable("The image is larger than this server accepts.")
        async with self._turns.one():
            try:
                async with asyncio.timeout(MADE_S):
                    return await _made(image)
            except TimeoutError:
                raise MediaUndecodable("The image was not read in time.") from None


async def _made(image: bytes) -> bytes:
    try:
        child = await spawn.piped(sys.executable, "-m", "gateway.media.jpegs")
    except OSError as error:
        raise Busy from error
    try:
        child.stdin.write(FRAME.pack(DATA, len(image)) + image)
        await child.stdin.drain()
        kind, length = FRAME.unpack(await child.stdout.readexactly(FRAME.size))
        if length > JPEG_BYTES_MAX:
            raise MediaUndecodable(BROKE)
        said = await child.stdout.readexactly(length)
    # uvloop tells a pipe whose process has died by a RuntimeError
    except (asyncio.IncompleteReadError, OSError, RuntimeError):
        raise MediaUndecodable(BROKE) from None
    finally:
        child.kill()
        await child.wait()
    if kind != DATA:
        lines.info("image not read", reason=said.decode("utf-8", "replace"))
        raise MediaUndecodable(BROKE)
    return said


# The child


def main() -> None:
    """Makes the one JPEG it is asked for, then ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    head = sys.stdin.buffer.read(FRAME.size)
    if len(head) < FRAME.size:
        return  # the parent is gone
    image = sys.stdin.buffer.read(FRAME.unpack(head)[1])
    Thread(target=_listen, daemon=True).start()
    import av  # noqa: F401 - before the limits: it is much of what a process has

    mute()
    confine(memory_bytes=MEMORY_BYTES_MAX, cpu_s=MADE_S, files=FILES_MAX, written_bytes=0)
    kind, said = _answer(image)
    out.write(FRAME.pack(kind, len(said)) + said)
    out.flush()


def _listen() -> None:
    """The parent's end is ours."""
    sys.stdin.buffer.read()
    os._exit(0)


def _answer(image: bytes) -> tuple[bytes, bytes]:
    import av

    from gateway.media.photo import Unreadable

    av.logging.set_level(av.logging.PANIC)
    try:
        return DATA, _jpeg(image)
    except (Unreadable, av.error.FFmpegError, MemoryError, ValueError) as error:
        return FAILED, repr(error)[:200].encode()


def _jpeg(image: bytes) -> bytes:
    import av
    from av.video.reformatter import ColorRange, Colorspace

    from gateway.media.photo import header, picture

    head = header(image)
    width, height = head.upright
    scale = min(1.0, SIDE_MAX / max(width, height))
    # even lengths, as 4:2:0 wants them
    canvas = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = canvas
    encoder.pix_fmt, encoder.color_range = "yuvj420p", ColorRange.JPEG
    encoder.options = {"qmin": QUALITY, "qmax": QUALITY}
    encoder.thread_count = 1
    shown = picture(image, head, canvas).reformat(  # JPEG is BT.601, all of its range
        format="yuvj420p", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.MPEG, dst_color_range=ColorRange.JPEG,
    )  # fmt: skip
    packets = encoder.encode(shown) or encoder.encode(None)
    return bytes(packets[0])


if __name__ == "__main__":
    main()
