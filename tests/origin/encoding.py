"""Pictures and sounds to files: the only file of the origin that knows PyAV."""

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import msgspec
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame

from tests.origin.drawing import Picture


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """How a film is made; its length is that of its sound."""

    width: int
    height: int
    fps: int = 25
    crf: int = 27
    codec: str = "libx264"  # or libx265
    preset: str = "veryfast"
    sample_rate: int = 44_100
    sound_bits: int = 64_000


def film(to: Path, make: Film, sound: Path, picture: Callable[[float], Picture]) -> None:
    """An H.264 (or HEVC) and AAC MP4; `picture` draws the second it is asked for.

    Its index comes first, for which the file is written twice: hence a path.
    """
    with av.open(str(to), "w", format="mp4", options={"movflags": "faststart"}) as container:
        video = container.add_stream(make.codec, rate=make.fps)  # type: ignore[call-overload]
        video.width, video.height, video.pix_fmt = make.width, make.height, "yuv420p"
        video.options = {"crf": str(make.crf), "preset": make.preset, "threads": "1"}
        if make.codec == "libx265":
            video.options |= {"x265-params": "log-level=none"}
        audio = container.add_stream("aac", rate=make.sample_rate, layout="mono")
        audio.bit_rate = make.sound_bits
        count = 0
        for frame in sound_frames(sound, make.sample_rate):
            # a picture as soon as the sound has come to it, so that the file is interleaved
            while count / make.fps <= (frame.pts or 0) / make.sample_rate:
                drawn = VideoFrame.from_ndarray(picture(count / make.fps), format="rgb24")
                drawn.pts, drawn.time_base = count, Fraction(1, make.fps)
                container.mux(video.encode(drawn))
                count += 1
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))


def mp3(to: Path, sound: Path, *, sample_rate: int = 22_050, bits: int = 32_000) -> None:
    with av.open(str(to), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate, layout="mono")
        stream.bit_rate = bits
        for frame in sound_frames(sound, sample_rate, "s16p"):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remuxed(mp4: bytes, movflags: str = "", *, only: str = "") -> bytes:
    """The same film with its boxes in another order; no flags: the index comes last.

    `only` one type of its streams, "video" or "audio".
    """
    # a second to a fragment, as players that stream get them
    made, options = BytesIO(), {"movflags": movflags, "frag_duration": "1000000"} if movflags else {}
    with (
        av.open(BytesIO(mp4)) as source,
        av.open(made, "w", format="mp4", options=options) as target,
    ):
        streams = {
            s.index: target.add_stream_from_template(s) for s in source.streams if only in ("", s.type)
        }
        for packet in source.demux():
            if packet.dts is not None and packet.stream.index in streams:  # not the empty one at the end
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return made.getvalue()


def image(picture: Picture, codec: str = "mjpeg", *, quality: int = 6) -> bytes:
    """One picture as a JPEG (`mjpeg`, quality 2 best to 31) or a WebP (`libwebp`)."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = pixels, Fraction(1, 25)
    if codec == "mjpeg":
        encoder.qmin = encoder.qmax = quality
    frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(frame) + encoder.encode(None))


def duration_s(media: bytes) -> float:
    with av.open(BytesIO(media)) as container:
        return float((container.duration or 0) / av.time_base)


def sound_frames(sound: Path, sample_rate: int, sample_format: str = "fltp") -> Iterator[AudioFrame]:
    """The sound as mono frames that count their samples from 0."""
    raw = sound.suffix == ".raw"  # no header: 16 kHz, mono, 16 bits, as speech models take it
    opened = (
        av.open(str(sound), format="s16le", options={"sample_rate": "16000", "ch_layout": "mono"})
        if raw
        else av.open(str(sound))
    )
    resampler = AudioResampler(format=sample_format, layout="mono", rate=sample_rate)
    samples = 0
    with opened as container:
        for decoded in itertools.chain(_each(container), (None,)):
            for frame in resampler.resample(decoded):
                frame.pts, frame.time_base = samples, Fraction(1, sample_rate)
                samples += frame.samples
                yield frame


def _each(container: av.container.InputContainer) -> Iterator[AudioFrame]:
    for frame in container.decode(audio=0):
        frame.pts = None  # a broken clock in the source is none of our business
        yield frame
