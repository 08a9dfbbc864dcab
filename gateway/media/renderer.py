"""The renderer process: photos and a sound to an MP4 that plays everywhere.

A still picture is encoded once, as a keyframe. The frames that hold it are made once for the whole
film: the encoder is first shown black for as long as a slide is held, and what it makes of that,
after its keyframe, are frames that say "as before" for every macroblock (some 70 bytes each). They
say so of any picture, so the same bytes follow the keyframe of every slide. That is what makes a
minute of film cost as little as its slides.

Always: one photo is decoded at a time; memory and time have limits that the kernel keeps.
"""

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import av
import msgspec
from av.video.frame import PictureType

from gateway.media.confinement import confine, mute
from gateway.media.film import (
    BROKEN,
    DATA,
    END,
    FADE_FPS,
    FAILED,
    FRAME,
    LENGTH,
    SKIPPED,
    Film,
    Job,
    Photo,
    Size,
    Skipped,
    Times,
    canvas,
    steps,
    times,
)
from gateway.media.photo import BYTES_MAX, Header, Unreadable, header, picture
from gateway.media.soundtrack import Soundtrack, Unheard

# address space; measured: 300 MB for 35 slides of the usual size, 530 MB for one of 49 megapixels of 64 bits
MEMORY_BYTES_MAX = 1 << 30
FILES_MAX = 16  # a photo, and what Python has open
FILM_BYTES_MAX = 128 << 20  # held in memory until its index is known; usual are 10 MB
SEND_BYTES = 256 << 10

TICKS = 90_000  # per second, the usual video clock: any frame rate falls on it within 11 us
SOUND_BITS = 128_000

# Chosen by measuring 35 photo-like slides of 1080x1920 here: keyframes in 1.1 s of CPU at 43 dB;
# superfast saves .1 s and costs 2 dB, faster costs .7 s for nothing. Without bframes and lookahead a
# frame comes out as soon as it goes in. qcomp=1 and ipratio=1 make a slide's quality its own affair,
# whatever came before it.
ENCODER = {
    "preset": "veryfast", "tune": "stillimage,zerolatency", "crf": "20", "profile": "high",
    "x264-params": "keyint=infinite:scenecut=0:mbtree=0:ref=1:weightp=0:qcomp=1:ipratio=1:aud=0",
}  # fmt: skip
# at this rate nearer to the original than the default coder (28 dB against 24), for half the CPU
SOUND_ENCODER = {"aac_coder": "fast"}


class Unrenderable(Exception):
    """There is nothing to show, or the sound is none; the text is for the caller."""


def _listen() -> None:
    """The parent's end is ours."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Renders the one job it is told of, then ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    av.logging.set_level(av.logging.PANIC)
    say = _Mouth(out)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent is gone
    job = msgspec.json.decode(line, type=Job)
    Thread(target=_listen, daemon=True).start()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for fades, and there may be no more threads
    mute()
    confine(memory_bytes=MEMORY_BYTES_MAX, cpu_s=job.cpu_s, files=FILES_MAX, written_bytes=0)
    try:
        if job.film.live:
            _render(job, _Live(say), say)
        else:
            whole = BytesIO()
            _render(job, _Kept(whole), say)
            say.whole(whole.getbuffer())
        say(END)
    except Unrenderable as error:
        say(FAILED, str(error).encode())
    except Exception as error:
        say(BROKEN, repr(error).encode("utf-8", "replace"))


class _Mouth:
    """What the process says: frames of a kind and a length."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def __call__(self, kind: bytes, data: "bytes | memoryview" = b"") -> None:
        self._out.write(FRAME.pack(kind, len(data)))
        self._out.write(data)
        self._out.flush()

    def whole(self, film: memoryview) -> None:
        self(LENGTH, str(len(film)).encode())
        for at in range(0, len(film), SEND_BYTES):
            self(DATA, film[at : at + SEND_BYTES])


class _Live:
    """A file that is sent as it is written; it cannot be sought in."""

    def __init__(self, say: _Mouth) -> None:
        self._say = say

    def write(self, data: bytes) -> int:
        self._say(DATA, bytes(data))
        return len(data)


class _Kept:
    """A file in memory, of a bounded size."""

    def __init__(self, film: BytesIO) -> None:
        self._film = film
        self.seek, self.tell = film.seek, film.tell

    def write(self, data: bytes) -> int:
        if self._film.tell() + len(data) > FILM_BYTES_MAX:
            raise Unrenderable("The slideshow is larger than this server accepts.")
        return self._film.write(data)


def _render(job: Job, to: "_Live | _Kept", say: _Mouth) -> None:
    photos = list(_headers(job.photos, say))
    if not photos:
        raise Unrenderable("None of the photos can be shown.")
    try:
        sound = Soundtrack(job.sound, seconds_max=len(photos) * job.film.most_s)
    except Unheard as error:
        raise Unrenderable("The post's sound cannot be decoded.") from error
    plan = times(job.film, len(photos), sound.seconds)
    sound.looped = plan.looped
    pictures = _pictures(photos, canvas([head.upright for _, head in photos]), say)
    shown = next(pictures, None)
    if shown is None:
        raise Unrenderable("None of the photos can be shown.")
    with _Strip(to, job.film, plan, sound, (shown.width, shown.height), len(photos)) as strip:
        # one ahead, since only a picture that was decoded can be faded to, and the last one ends the sound
        for following in pictures:
            strip.hold(shown, plan.hold_s)
            strip.fade(shown, following, plan.fade_s)
            shown = following
        strip.end(shown, plan.slide_s)


def _headers(photos: tuple[Photo, ...], say: _Mouth) -> Iterator[tuple[Photo, Header]]:
    for photo in photos:
        try:
            yield photo, header(_bytes(photo))
        except Unreadable as error:
            say(SKIPPED, msgspec.json.encode(Skipped(photo.number, str(error))))


def _pictures(photos: list[tuple[Photo, Header]], size: Size, say: _Mouth) -> Iterator[Any]:
    for photo, head in photos:
        try:
            yield picture(_bytes(photo), head, size)
        except Unreadable as error:
            say(SKIPPED, msgspec.json.encode(Skipped(photo.number, str(error))))


def _bytes(photo: Photo) -> bytes:
    with Path(photo.path).open("rb") as file:
        return file.read(BYTES_MAX + 1)


class _Strip:
    """The film as it is written: pictures in order, and the sound beside them."""

    def __init__(
        self, to: "_Live | _Kept", film: Film, plan: Times, sound: Soundtrack, size: Size, slides: int
    ) -> None:
        self._sound = sound
        frames = slides * (steps(plan.slide_s) + steps(plan.fade_s, FADE_FPS))
        packets = int(slides * plan.slide_s * sound.rate / 1024)  # AAC's frame
        options = (
            # the first index waits for the sound's first packet, whose priming it must tell of
            {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov", "flush_packets": "1"}
            if film.live
            # the index goes first, into room left for it: at most 48 bytes a frame and 24 a packet of sound
            else {"moov_size": str(4096 + 48 * frames + 24 * packets)}
        )
        self._container = av.open(to, "w", format="mp4", options=options)
        self._video = self._container.add_stream("libx264", rate=1 / (plan.slide_s / steps(plan.slide_s)))
        encoder = self._video.codec_context
        encoder.width, encoder.height = size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, TICKS)
        encoder.thread_count = 1
        encoder.options = ENCODER
        encoder.sample_aspect_ratio = Fraction(1)
        encoder.color_range, encoder.colorspace = 1, 1  # limited, BT.709
        encoder.color_primaries = encoder.color_trc = 1
        self._audio = self._container.add_stream("aac", rate=sound.rate, layout="stereo")
        self._audio.bit_rate = SOUND_BITS
        self._audio.codec_context.options = SOUND_ENCODER
        self._encoded = 0
        self._at = Fraction(0)
        self._pending: tuple[bytes, Fraction, bool] | None = None  # its length is not known before the next
        black = av.VideoFrame(*size, "yuv420p")
        for plane, level in zip(black.planes, (16, 128, 128), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        self._as_before = [self._encode(black, key=not n) for n in range(steps(plan.slide_s))][1:]

    def __enter__(self) -> "_Strip":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._container.close()

    def hold(self, shown: Any, seconds: Fraction) -> None:
        """A keyframe, and frames that hold it."""
        count = steps(seconds)
        self._write(self._encode(shown, key=True), seconds / count, key=True)
        for frame in self._as_before[: count - 1]:
            self._write(frame, seconds / count)

    def fade(self, shown: Any, following: Any, seconds: Fraction) -> None:
        """From one picture into the next, neither of them whole."""
        count = steps(seconds, FADE_FPS)
        for n in range(count):
            mixed = _mixed(shown, following, (n + 1) / (count + 1))
            self._write(self._encode(mixed, key=not n), seconds / count, key=not n)

    def end(self, shown: Any, seconds: Fraction) -> None:
        """The last picture: the sound ends with it."""
        self._sound.end_s = self._at + seconds
        self.hold(shown, seconds)
        self._container.mux(self._audio.encode(None))

    def _encode(self, frame: Any, *, key: bool) -> bytes:
        frame.pts, frame.time_base = self._encoded, Fraction(1, TICKS)
        self._encoded += 1
        frame.pict_type = PictureType.I if key else PictureType.NONE
        (packet,) = self._video.encode(frame)  # at once: nothing is looked ahead for
        return bytes(packet)

    def _write(self, data: bytes, seconds: Fraction, *, key: bool = False) -> None:
        start, self._at = round(self._at * TICKS), self._at + seconds
        packet = av.Packet(data)
        packet.stream, packet.time_base = self._video, Fraction(1, TICKS)
        packet.pts = packet.dts = start
        packet.duration = round(self._at * TICKS) - start
        packet.is_keyframe = key
        self._container.mux(packet)
        sound = self._sound.until(self._at)
        if sound is not None:
            self._container.mux(self._audio.encode(sound))


def _mixed(one: Any, other: Any, share: float) -> Any:
    import numpy as np  # a tenth of a second, for fades only

    weight = round(share * 256)
    first, second = one.to_ndarray().astype(np.uint16), other.to_ndarray()
    mixed = (first * (256 - weight) + second * np.uint16(weight) + 128) >> 8
    return av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="yuv420p")


if __name__ == "__main__":
    main()
