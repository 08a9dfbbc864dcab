"""A sound file to a film's samples: looped, silent or faded, as the film needs. For the renderer only.

Always: no more is held than the film can last; nothing but the one file is read.
"""

from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from gateway.media.frames import frames
from gateway.media.resampler import Resampler
from gateway.media.sniff import DEMUXERS

RATES = (44_100, 48_000)  # others become the latter
FADE_OUT_S = 1
_BYTES = 4  # of a sample: two channels of 16 bits


class Unheard(Exception):
    """The file has no sound that can be decoded; the text says why, for a log."""


class Soundtrack:
    """The film's sound: as long as is asked for, looped or silent after its end, faded where it is cut."""

    def __init__(self, path: str | None, *, seconds_max: float) -> None:
        self.rate = RATES[0]
        self.looped = False
        self.end_s: Fraction | None = None  # set when the film's end is known
        self.seconds: float | None = None
        self._samples = b""  # s16, two channels
        self._done = 0
        if path is not None:
            try:
                self._samples = self._decoded(path, seconds_max)
            except (av.error.FFmpegError, MemoryError, ValueError, IndexError) as error:
                raise Unheard(repr(error)) from error
            if not self._samples:
                raise Unheard("no samples")
            self.seconds = len(self._samples) / _BYTES / self.rate

    def until(self, seconds: Fraction) -> Any:
        """The samples from where the last ones ended up to a time; None where there are none between."""
        count = round(seconds * self.rate) - self._done
        if count <= 0:
            return None
        data = self._cut(self._done * _BYTES, count * _BYTES)
        if self.end_s is not None and self._ends_early:
            data = self._faded(data)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=count, align=1)
        frame.planes[0].update(data)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._done, Fraction(1, self.rate)
        self._done += count
        return frame

    @property
    def _ends_early(self) -> bool:
        """Whether the film ends while the sound would go on."""
        assert self.end_s is not None
        return self.looped or round(self.end_s * self.rate) * _BYTES < len(self._samples)

    def _cut(self, start: int, length: int) -> bytes:
        samples = self._samples
        if self.looped:
            start %= len(samples)
            samples *= (start + length) // len(samples) + 1
        return samples[start : start + length].ljust(length, b"\0")

    def _faded(self, data: bytes) -> bytes:
        assert self.end_s is not None
        over = FADE_OUT_S * self.rate
        samples, left = array("h", data), round(self.end_s * self.rate) - self._done
        for n in range(max(0, left - over), min(left, len(samples) // 2)):
            share = (left - n) / over
            samples[2 * n], samples[2 * n + 1] = int(samples[2 * n] * share), int(samples[2 * n + 1] * share)
        return samples.tobytes()

    def _decoded(self, path: str, seconds_max: float) -> bytes:
        data = bytearray()
        with (
            Path(path).open("rb") as file,
            av.open(file, metadata_errors="ignore", options={"format_whitelist": DEMUXERS}) as container,
        ):
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            for other in container.streams:
                if other is not stream:
                    other.discard = av.stream.Discard.all
            self.rate = stream.rate if stream.rate in RATES else RATES[-1]
            # one channel is doubled here: ffmpeg would make it 3 dB quieter
            channels = min(2, stream.channels)
            frame_bytes = _BYTES // 2 * channels
            layout = "mono" if channels == 1 else "stereo"
            resampler: Resampler | None = None
            for frame in frames(container, stream, ends=True):
                frame.pts = None  # a broken clock in the source is not heard
                if resampler is None or not resampler.takes(frame):
                    data += resampler.end() if resampler is not None else b""
                    resampler = Resampler(frame, layout, self.rate)
                data += resampler.resampled(frame)
                if len(data) >= seconds_max * self.rate * frame_bytes:
                    break
            else:
                data += resampler.end() if resampler is not None else b""
        return bytes(data) if channels == 2 else _doubled(data)


def _doubled(samples: bytearray) -> bytes:
    one, both = array("h", samples), array("h", bytes(2 * len(samples)))
    both[0::2] = both[1::2] = one
    return both.tobytes()
