"""A video's soundtrack, taken out as it is: AAC to M4A and MP3 to MP3, in a child process.

Nothing is decoded, so what is heard are the video's own samples. The child is told the path of a
whole video and answers a JSON line, then the file.
Always: a child is at work on one video, within limits of time, memory and size, or dead.
"""

import asyncio
import os
import sys
from threading import Thread
from typing import Any

import msgspec
import structlog

from gateway import errors, spawn
from gateway.errors import Busy, MediaUndecodable, UpstreamFailed, UpstreamTimeout
from gateway.media.confinement import confine, mute
from gateway.media.sniff import DEMUXERS
from gateway.media.spool import Spool
from gateway.media.turns import Turns

AT_ONCE_MAX = 2  # each costs a sixth of a second of CPU, nearly all of it to start, 90 MB, and its sound
WAITING_MAX = 256
WAITING_S = 30
REMUX_S = 60  # once started, 9 s of video take 6 ms
SOUND_BYTES_MAX = 128 << 20  # held in memory until its index is known; an hour at 128 kbit/s is 58 MB
MEMORY_BYTES_MAX = 1 << 30
FILES_MAX = 12  # the video, the sound twice, and what Python has open
READ_BYTES = 256 << 10

# a codec's container and what is then sent; `ipod` is ffmpeg's word for M4A
CONTAINERS = {"aac": ("ipod", "audio/mp4"), "mp3": ("mp3", "audio/mpeg")}

# whatever a video names, nothing but files is opened, and of them but a few
INPUT = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
DIED = "Taking the sound out of the video failed here. Ask again."

log = structlog.get_logger()


class Job(msgspec.Struct, frozen=True):
    """What the child is told."""

    path: str


class Answer(msgspec.Struct, frozen=True):
    """What the child says before the bytes, or the code and text of an error."""

    media_type: str = ""
    bytes: int = 0
    error: str | None = None
    detail: str | None = None
    reason: str | None = None  # of an error that was not foreseen; for the log


class Remuxes:
    """Child processes, a few at a time."""

    def __init__(self) -> None:
        self._turns = Turns(AT_ONCE_MAX, waiting_max=WAITING_MAX, wait_s=WAITING_S)

    async def fill(self, spool: Spool, video: Spool) -> None:
        """Pours the soundtrack of a video into the spool, once the video is whole.

        Raises MediaUndecodable, NotVideoContent, UpstreamFailed, UpstreamTimeout, Busy, what broke the
        video and what the spool raises.
        """
        while await video.grown(video.size) == "growing":
            pass
        video.check()
        async with self._turns.one():
            try:
                async with asyncio.timeout(REMUX_S):
                    await _remux(spool, video)
            except TimeoutError:
                raise UpstreamTimeout("Taking the sound out of the video took too long.") from None


async def _remux(spool: Spool, video: Spool) -> None:
    try:
        child = await spawn.piped(sys.executable, "-m", "gateway.media.remux", limit_bytes=READ_BYTES)
    except OSError as error:
        raise Busy from error
    try:
        answer = await _asked(child, Job(str(video.path)))
        if answer.reason is not None:
            log.warning("no sound taken out", reason=answer.reason)
        if answer.error is not None:
            raise errors.by_code(answer.error, answer.detail)
        spool.expect(answer.bytes)
        spool.begin(answer.media_type)
        while spool.size < answer.bytes:
            data = await child.stdout.read(min(READ_BYTES, answer.bytes - spool.size))
            if not data:
                raise UpstreamFailed(DIED)
            spool.append(data)
    finally:
        child.kill()
        await child.wait()


async def _asked(child: spawn.Piped, job: Job) -> Answer:
    """The child's answer, before its bytes. Raises UpstreamFailed when it dies instead."""
    try:
        child.stdin.write(msgspec.json.encode(job) + b"\n")
        return msgspec.json.decode(await child.stdout.readline(), type=Answer)
    # uvloop tells a pipe whose process has died by a RuntimeError
    except (OSError, ValueError, RuntimeError) as failure:
        raise UpstreamFailed(DIED) from failure


# The child


def main() -> None:
    """Takes the sound out of the one video it is told of, then ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent is gone
    Thread(target=_listen, daemon=True).start()
    import av  # noqa: F401 - before the limits: it is much of what a process has

    mute()
    confine(memory_bytes=MEMORY_BYTES_MAX, cpu_s=REMUX_S, files=FILES_MAX, written_bytes=2 * SOUND_BYTES_MAX)
    try:
        # a file in memory, by a path: the muxer opens it once more to put the index first
        memory = os.memfd_create("sound")
        media_type = _taken(msgspec.json.decode(line, type=Job).path, memory)
        size = os.fstat(memory).st_size
        out.write(msgspec.json.encode(Answer(media_type, size)) + b"\n")
        for at in range(0, size, READ_BYTES):
            out.write(os.pread(memory, READ_BYTES, at))
    except errors.GatewayError as error:
        out.write(msgspec.json.encode(Answer(error=error.code, detail=error.message)) + b"\n")
    except Exception as error:
        out.write(msgspec.json.encode(Answer(error=MediaUndecodable.code, reason=repr(error))) + b"\n")
    out.flush()


def _listen() -> None:
    """The parent's end is ours."""
    sys.stdin.buffer.read()
    os._exit(0)


def _taken(path: str, memory: int) -> str:
    """Writes the sound of a video to a file in memory; its media type."""
    import av

    av.logging.set_level(av.logging.PANIC)
    with av.open(path, metadata_errors="ignore", options=INPUT) as source:
        stream: Any = next(iter(source.streams.audio), None)
        if stream is None:
            raise errors.NotVideoContent("The post's video has no sound.")
        codec = stream.codec_context.name.removesuffix("float")  # MP3's decoder is mp3float
        if codec not in CONTAINERS:
            raise errors.NotVideoContent("The post's sound has a codec that is not delivered on its own.")
        container, media_type = CONTAINERS[codec]
        for other in source.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        options = {"movflags": "faststart"} if container == "ipod" else {}
        with av.open(f"/proc/self/fd/{memory}", "w", format=container, options=options) as target:
            copy = target.add_stream_from_template(stream)
            taken = 0
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue  # the empty one at the end
                taken += packet.size
                if taken > SOUND_BYTES_MAX:
                    raise MediaUndecodable("The post's sound is larger than this server accepts.")
                packet.stream = copy
                target.mux(packet)
        if not taken:
            raise MediaUndecodable
    return media_type


if __name__ == "__main__":
    main()
