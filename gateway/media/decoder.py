"""The decoder process: what is heard in a file, even a growing one, to 16 kHz samples.

It is told of one file over its standard input, sends samples to its standard output, and ends. It is
forked by a nursery that has loaded this module.
Always: a file that broke is an error, never an end; what malformed media crash, hang or fill is this
process, within limits of time and memory, and while it decodes it can open nothing and write nothing.
"""

import io
import os
import sys
import wave
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
import msgspec

from gateway.media import cradle, index
from gateway.media.confinement import confine, mute
from gateway.media.frames import frames
from gateway.media.growing import Growing
from gateway.media.resampler import Resampler
from gateway.media.samples import END, FAILED, FRAME, RATE, SAMPLE_BYTES, SAMPLES, Failure
from gateway.media.sniff import DEMUXERS

SEND_BYTES = RATE // 4 * SAMPLE_BYTES  # first words wait for the first piece; smaller ones cost wake-ups
LEAD_S_MAX = 60  # a sound that starts later than this has a broken clock
BROADCAST = ("mpeg", "mpegts")  # their clocks have been running
# ffmpeg looks this far, in microseconds, for what a stream is; its 5 s make the first words wait
PROBE = {"analyzeduration": "200000", "format_whitelist": DEMUXERS}
# beyond what it has when it starts: an hour's index takes some megabytes, but a few bytes can claim one
# that fills any machine
MEMORY_BYTES_MAX = 1 << 30


class _Unheard(Exception):
    """There is nothing to hear; the text is for the caller."""


def main() -> None:
    """Decodes the one file it is told of."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        growing = Growing(sys.stdin.buffer)
        _confine(growing.cpu_s)
        for data in _decoded(growing):
            out.write(FRAME.pack(SAMPLES, len(data)) + data)
            out.flush()
        end, said = END, b""
    except _Unheard as error:
        end, said = FAILED, msgspec.json.encode(Failure(str(error), str(error)))
    except Exception as error:
        end, said = FAILED, msgspec.json.encode(Failure(None, repr(error)))
    with suppress(OSError):  # nobody listens any more
        out.write(FRAME.pack(end, len(said)) + said)
        out.flush()


def _confine(cpu_s: int) -> None:
    """From here on, media may cost this process some memory and time, and that is all."""
    mute()
    # whatever the media name, a file or an address, it is not opened
    confine(memory_bytes=MEMORY_BYTES_MAX, cpu_s=cpu_s, files=0, written_bytes=0)


def _decoded(file: Growing | io.BytesIO) -> Iterator[bytes]:
    """The samples, in pieces of some length. Those before an error come before it."""
    media = file.whole() if isinstance(file, Growing) and index.last(file.peek) else file
    pending = bytearray()
    with av.open(media, metadata_errors="ignore", options=PROBE) as container:
        stream: Any = next(iter(container.streams.audio), None)
        if stream is None:
            raise _Unheard("The media has no sound.")
        stream.codec_context.thread_count = 1  # the other cores have their own work
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        resampler: Resampler | None = None
        try:
            for frame in frames(container, stream):
                if resampler is None:
                    pending += bytes(SAMPLE_BYTES * int(RATE * _lead_s(container, frame)))
                if resampler is None or not resampler.takes(frame):
                    pending += resampler.end() if resampler is not None else b""
                    resampler = Resampler(frame, "mono", RATE)
                pending += resampler.resampled(frame)
                if len(pending) >= SEND_BYTES:
                    yield bytes(pending)
                    pending.clear()
            if resampler is None:
                raise _Unheard("The media has no sound that can be decoded.")
            pending += resampler.end()
        except Exception:
            if pending:
                yield bytes(pending)
            raise
        if pending:
            yield bytes(pending)


def _lead_s(container: Any, frame: Any) -> float:
    """Seconds of silence before the first frame, where the container says that sound starts late."""
    if not frame.pts or not frame.time_base:
        return 0.0
    clock = (container.start_time or 0) / av.time_base if container.format.name in BROADCAST else 0.0
    lead = float(frame.pts * frame.time_base) - clock
    return lead if 0 < lead <= LEAD_S_MAX else 0.0


def _load() -> None:
    """Decodes a little, so that what is loaded late is loaded before the forks, and no decoder opens it."""
    av.logging.set_level(av.logging.PANIC)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(bytes(4 * 4410))
    sound.seek(0)
    assert b"".join(_decoded(sound))


if __name__ == "__main__":
    _load()
    cradle.serve(main)
