"""What is heard in a spool, even a growing one, to 16 kHz samples, in a child process.

The parent tells the child `(size, growing | whole | broken)` over its standard input; the child
sends samples back. Always: a broken spool raises in the decoder, it is never an end of file; what
is malformed crashes or hangs a child of ours, never the gateway.
"""

import asyncio
import os
import struct
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import structlog

from gateway import log
from gateway.errors import Busy, MediaUndecodable, SpeechFailed
from gateway.media.sniff import DEMUXERS
from gateway.media.spool import Spool
from gateway.tasks import Background

RATE = 16_000  # samples per second; what the model hears
FRAME = struct.Struct("<cI")  # kind and length of what follows
SAMPLES, END, FAILED = b"S", b"E", b"F"
SEND_SAMPLES = RATE // 4  # first words wait for the first piece; smaller ones cost wake-ups
LEAD_S_MAX = 60  # a sound that starts later than this has a broken clock
BAD_PACKETS_MAX = 100  # in a row: it is no longer media
PIPE_BYTES = 256 << 10
# ffmpeg looks this far, in microseconds, for what a stream is; its 5 s make the first words wait
PROBE = {"analyzeduration": "200000", "format_whitelist": DEMUXERS}

lines = structlog.get_logger()


class Told(msgspec.Struct, frozen=True):
    """What the parent says of the spool; `path` comes with the first one only."""

    size: int
    state: Literal["growing", "whole", "broken"]
    path: str | None = None


class Decoders:
    """Decoder processes; one is kept started ahead, since starting takes as long as a short clip."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._ahead: asyncio.Task[asyncio.subprocess.Process] | None = None
        self.running: set[asyncio.subprocess.Process] = set()  # at work on a spool

    def start(self) -> None:
        """Starts the first process ahead of need."""
        self._ahead = self._background.start(_spawn(), "decoder ahead")

    async def close(self) -> None:
        """Ends the process that waits."""
        if self._ahead is not None:
            await asyncio.wait([self._ahead])
            if not self._ahead.cancelled() and self._ahead.exception() is None:
                child = self._ahead.result()
                _kill(child)
                await child.wait()

    async def samples(self, spool: Spool) -> AsyncGenerator[bytes, None]:
        """The spool's sound as chunks of s16le mono 16 kHz, as far as it has arrived, then to its end.

        Raises MediaUndecodable when it is not (or no longer) decodable, and what broke the spool.
        """
        child = await self._take()
        self.running.add(child)
        telling = asyncio.get_running_loop().create_task(_tell(child, spool), name="decoder told")
        try:
            assert child.stdout is not None
            while True:
                try:
                    kind, length = FRAME.unpack(await child.stdout.readexactly(FRAME.size))
                    data = await child.stdout.readexactly(length)
                except asyncio.IncompleteReadError:
                    spool.check()
                    raise SpeechFailed("The decoder died on this media. Ask again.") from None
                if kind == END:
                    return
                if kind == FAILED:
                    spool.check()
                    raise MediaUndecodable(data.decode() or None)
                yield data
        finally:
            _kill(child)
            self.running.discard(child)
            telling.cancel()
            await asyncio.gather(telling, child.wait(), return_exceptions=True)

    async def _take(self) -> asyncio.subprocess.Process:
        ahead, self._ahead = self._ahead, self._background.start(_spawn(), "decoder ahead")
        if ahead is not None:
            try:
                child = await asyncio.shield(ahead)
                if child.returncode is None:
                    return child
            except asyncio.CancelledError:
                _end(ahead)  # nobody else will
                raise
            except OSError:
                pass  # what was short then may be there now
        try:
            return await _spawn()
        except OSError as error:
            raise Busy from error


async def _spawn() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.audio",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=PIPE_BYTES,
        start_new_session=True,  # Ctrl-C is for the gateway, which lets streams finish
    )  # fmt: skip


async def _tell(child: asyncio.subprocess.Process, spool: Spool) -> None:
    """Keeps the child informed until nothing more can change."""
    assert child.stdin is not None
    path: str | None = str(spool.path)
    while True:
        size, state = spool.size, spool.state
        child.stdin.write(msgspec.json.encode(Told(size, state, path)) + b"\n")
        await child.stdin.drain()
        if state != "growing":
            return
        path = None
        await spool.grown(size)


def _end(starting: "asyncio.Task[asyncio.subprocess.Process]") -> None:
    """Ends a process that is perhaps still being started."""

    def started(task: "asyncio.Task[asyncio.subprocess.Process]") -> None:
        if not task.cancelled() and task.exception() is None:
            _kill(task.result())

    starting.add_done_callback(started)


def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()


# The child


class _Broken(OSError):
    """The spool broke: no end of file."""


class _Growing:
    """A file that is still being written, as PyAV reads one. Without `seek`, it is read forwards only."""

    def __init__(self, told: BinaryIO) -> None:
        self._told = told
        first = self._next()
        assert first.path is not None
        self.path = first.path
        self.state = first.state
        self.size = first.size
        self._file = Path(first.path).open("rb", buffering=0)  # noqa: SIM115 - open as long as the process
        self._at = 0

    def _next(self) -> Told:
        line = self._told.readline()
        if not line:
            os._exit(0)  # the parent is gone
        return msgspec.json.decode(line, type=Told)

    def wait(self, size: int) -> int:
        """Waits until there are `size` bytes or no more will come; the size reached. Raises when broken."""
        while self.size < size and self.state == "growing":
            told = self._next()
            self.size, self.state = told.size, told.state
        if self.state == "broken" and self.size < size:
            raise _Broken("the media broke")
        return self.size

    def read(self, length: int) -> bytes:
        """Up to `length` bytes, waiting for at least one; empty only at the true end."""
        there = self.wait(self._at + 1) - self._at
        data = self._file.read(max(0, min(length, there)))
        self._at += len(data)
        return data

    def peek(self, at: int, length: int) -> bytes:
        """Bytes at a place, without moving; fewer only at the true end."""
        self.wait(at + length)
        return os.pread(self._file.fileno(), length, at)


def main() -> None:
    """Decodes the one spool it is told of, then ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    log.configure("warning")
    import av  # before the first word from the parent: a process started ahead has loaded it

    av.logging.set_level(av.logging.PANIC)
    try:
        growing = _Growing(sys.stdin.buffer)
        for data in _decoded(av, growing):
            out.write(FRAME.pack(SAMPLES, len(data)) + data)
            out.flush()
        out.write(FRAME.pack(END, 0))
    except Exception as error:
        lines.info("not decoded", reason=repr(error))
        text = b"" if isinstance(error, _Broken | av.error.FFmpegError) else str(error).encode()
        out.write(FRAME.pack(FAILED, len(text)) + text)
    out.flush()


def _decoded(av: Any, growing: _Growing) -> Iterator[bytes]:
    if _moov_last(growing):
        growing.wait(1 << 62)  # the index comes at the end: nothing can be decoded before
        media: Any = growing.path
    else:
        media = growing
    with av.open(media, metadata_errors="ignore", options=PROBE) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise ValueError("The media has no sound.")
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        pending = bytearray()
        started = False
        for frame in _frames(av, container, stream):
            if not started:
                pending += bytes(2 * int(RATE * _lead_s(frame)))
                started = True
            for piece in resampler.resample(frame):
                pending += bytes(piece.planes[0])[: piece.samples * 2]
            if len(pending) >= SEND_SAMPLES * 2:
                yield bytes(pending)
                pending.clear()
        if not started:
            raise ValueError("The media has no sound that can be decoded.")
        for piece in resampler.resample(None):
            pending += bytes(piece.planes[0])[: piece.samples * 2]
        yield bytes(pending)


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """The stream's frames; a corrupt packet costs itself, not all that follows."""
    bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            if bad > BAD_PACKETS_MAX:
                raise
            continue
        if frames:
            bad = 0
        yield from frames


def _lead_s(frame: Any) -> float:
    """Seconds of silence before the first frame, where the container says that sound starts late."""
    lead = float(frame.pts * frame.time_base) if frame.pts and frame.time_base else 0.0
    return lead if 0 < lead <= LEAD_S_MAX else 0.0


def _moov_last(growing: _Growing) -> bool:
    """Whether an MP4 keeps its index behind its media: told by its top-level boxes."""
    at = 0
    while len(head := growing.peek(at, 16)) == 16:
        size, kind = struct.unpack(">I4s", head[:8])
        if at == 0 and kind != b"ftyp":
            return False
        if kind in (b"moov", b"moof"):
            return False
        if kind == b"mdat":
            return True
        if size == 1:
            size = struct.unpack(">Q", head[8:])[0]
        if size < 8:
            return False
        at += size
    return False


if __name__ == "__main__":
    main()
