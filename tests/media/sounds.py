"""Sounds of every container that is taken, written by PyAV."""

import io
import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

# container, codec, rate; each of them is decoded while it grows
FORWARDS = [
    ("wav", "pcm_s16le", 16_000), ("w64", "pcm_s16le", 16_000), ("aiff", "pcm_s16be", 16_000),
    ("au", "pcm_s16be", 16_000), ("flac", "flac", 16_000), ("tta", "tta", 44_100),
    ("ogg", "libopus", 48_000), ("ogg", "flac", 16_000), ("webm", "libopus", 48_000),
    ("matroska", "aac", 44_100), ("avi", "pcm_s16le", 16_000), ("avi", "libmp3lame", 44_100),
    ("flv", "aac", 44_100), ("flv", "libmp3lame", 44_100), ("asf", "libmp3lame", 44_100),
    ("mpegts", "aac", 44_100), ("mpegts", "mp2", 44_100), ("mpeg", "mp2", 44_100),
    ("adts", "aac", 44_100), ("mp3", "libmp3lame", 44_100), ("mp2", "mp2", 44_100),
    ("ac3", "ac3", 44_100), ("eac3", "eac3", 44_100), ("amr", "libopencore_amrnb", 8000),
]  # fmt: skip
# these have an index, or their last block, behind the media
WHOLE = [
    ("caf", "alac", 44_100), ("wv", "wavpack", 16_000), ("mov", "alac", 44_100), ("mov", "pcm_s16le", 16_000),
    ("mp4", "aac", 44_100), ("3gp", "libopencore_amrnb", 8000),
]  # fmt: skip
BIT_RATES = {"libopencore_amrnb": 12_200, "ac3": 96_000, "eac3": 96_000}


def sound(container: str, codec: str, rate: int, seconds: float, layout: str = "mono") -> bytes:
    """A file with a tone in it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=rate, layout=layout)
        if codec in BIT_RATES:
            stream.bit_rate = BIT_RATES[codec]
        encoder = stream.codec_context
        encoder.open()
        resampler = av.AudioResampler(
            format=encoder.format, layout=layout, rate=rate, frame_size=encoder.frame_size or 1024
        )
        for frame in [*_tone(rate, seconds), None]:
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return file.getvalue()


def _tone(rate: int, seconds: float) -> Iterator[Any]:
    count = int(rate * seconds)
    samples = array("h", (int(9000 * math.sin(n / 20)) for n in range(count)))
    frame = av.AudioFrame("s16", "mono", count)
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    yield frame
