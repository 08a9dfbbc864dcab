import asyncio
import io
import itertools
import math
import os
import resource
import signal
import struct
import subprocess
import sys
import wave
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from gateway.errors import Busy, GatewayError, MediaUndecodable, UpstreamFailed
from gateway.media.film import SLIDE_S_MAX, Film, Job, Photo, canvas, fitted, times
from gateway.media.photo import PIXELS_MAX, Unreadable, header, picture
from gateway.media.slideshow import WAITING_MAX, Slideshows
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.tasks import Background
from tests.origin import encoding
from tests.origin.origin import Origin

Pixels = npt.NDArray[np.uint8]

RED, GREEN, BLUE, GREY, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255)
SMALL = 288, 512  # width and height: 9:16
QUICK = Film(slide_s=1.0)


# what goes in


def solid(colour: tuple[int, ...], size: tuple[int, int] = SMALL) -> Pixels:
    return np.full((size[1], size[0], len(colour)), colour, np.uint8)


def quarters(size: tuple[int, int] = (320, 240)) -> Pixels:
    """Red, green, blue and grey: top left, top right, bottom left, bottom right."""
    colours = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)
    return np.kron(colours, np.ones((size[1] // 2, size[0] // 2, 1), np.uint8))


def jpeg(pixels: Pixels, orientation: int | None = None) -> bytes:
    data = encoding.image(pixels, quality=2)
    if orientation is None:
        return data
    block = b"Exif\0\0" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def exif(orientation: int, order: str = ">") -> bytes:
    mark = b"MM\0*" if order == ">" else b"II*\0"
    entries = [(0x010F, 2, 4, 0x41424300), (0x0112, 3, 1, orientation << (16 if order == ">" else 0))]
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + packed + bytes(4)


def png(pixels: Pixels, form: str = "rgb24") -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = form, Fraction(1)
    frame = av.VideoFrame.from_ndarray(pixels, format=form)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(frame) + encoder.encode(None))


def webp(pixels: Pixels) -> bytes:
    return encoding.image(pixels, "libwebp")


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WEBP" + b"".join(chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def animated(*stills: bytes) -> bytes:
    """Stills of one size as an animated WebP."""
    with av.open(io.BytesIO(stills[0])) as container:
        stream = container.streams.video[0]
        size = struct.pack("<I", stream.width - 1)[:3] + struct.pack("<I", stream.height - 1)[:3]
    frames = [chunk(b"ANMF", bytes(6) + size + b"\x64\0\0\0" + still[12:]) for still in stills]
    extended = chunk(b"VP8X", b"\x02\0\0\0" + size)
    return riff(extended, chunk(b"ANIM", bytes(6)), *frames)


def heic(pixels: Pixels, turn: int = 0) -> bytes:
    """A HEIC of one picture, to be turned counter-clockwise by quarters when it is shown (`irot`)."""
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as container:
        alone = "log-level=none:bframes=0:frame-threads=1:pools=none"  # so that it comes out as it went in
        stream = container.add_stream("libx265", rate=1, options={"x265-params": alone, "crf": "10"})
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU601"
        )
        frame.pts, frame.time_base = 0, Fraction(1)
        for packet in stream.encode(frame) + stream.encode(None):
            packet.pts = packet.dts = 0
            container.mux(packet)
    mp4 = made.getvalue()
    start = mp4.index(b"hvcC") - 4
    config = mp4[start : start + struct.unpack(">I", mp4[start : start + 4])[0]]
    start = mp4.index(b"mdat") - 4
    coded = mp4[start + 8 : start + struct.unpack(">I", mp4[start : start + 4])[0]]

    def box(name: bytes, *bodies: bytes) -> bytes:
        body = b"".join(bodies)
        return struct.pack(">I", 8 + len(body)) + name + body

    def full(name: bytes, *bodies: bytes, version: int = 0) -> bytes:
        return box(name, bytes([version, 0, 0, 0]), *bodies)

    def meta(at: int) -> bytes:
        properties = box(
            b"ipco",
            config,
            full(b"ispe", struct.pack(">II", pixels.shape[1], pixels.shape[0])),
            box(b"irot", bytes([turn])),
        )
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", 1)),
            full(b"iloc", b"\x44\0", struct.pack(">HHHHII", 1, 1, 0, 1, at, len(coded))),
            full(
                b"iinf", struct.pack(">H", 1), full(b"infe", struct.pack(">HH", 1, 0), b"hvc1\0", version=2)
            ),
            box(b"iprp", properties, full(b"ipma", struct.pack(">IHB", 1, 1, 3), b"\x81\x02\x83")),
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", coded)


def tone(seconds: float, rate: int = 44_100) -> bytes:
    """A WAV file of a tone."""
    data = io.BytesIO()
    wave_ = 9000 * np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate)
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(wave_.astype("<i2").tobytes())
    return data.getvalue()


def photo_like(number: int, noise: Pixels) -> Pixels:
    """Detail at every scale, and an edge; another one for every number."""
    made = np.roll(noise, (37 * number, 61 * number), (0, 1)).astype(np.int16)
    made = np.clip(
        made + np.array([10 * (number % 7) - 30, 5 * (number % 5) - 10, 20 - 3 * number % 40]), 0, 255
    )
    made[200 + 20 * number :, 100 : 120 + 10 * number] //= 2
    return made.astype(np.uint8)


def noise(width: int, height: int) -> Pixels:
    random = np.random.default_rng(7)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = random.normal(size=(2, *frequency.shape)) / frequency**1.25  # as in photographs
    field = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], s=(height, width))
    grain = random.normal(size=(height, width)) * 2
    made: Pixels = (
        np.clip(128 + 45 * field / field.std() + grain, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    )
    return made


# what comes out


class Seen:
    """A film opened again."""

    def __init__(self, data: bytes) -> None:
        with av.open(io.BytesIO(data)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            self.video, self.audio = video.codec_context, audio.codec_context
            self.aspect = video.sample_aspect_ratio
            self.size = self.video.width, self.video.height
            self.sound_type = audio.codec_context.name, audio.rate, audio.layout.name
            packets = [packet for packet in container.demux() if packet.dts is not None]
            self.keys = [float(p.pts * p.time_base) for p in packets if p.stream is video and p.is_keyframe]
            self.ordered = all(
                (lambda stamps: stamps == sorted(set(stamps)))([p.dts for p in packets if p.stream is stream])
                for stream in (video, audio)
            )
        with av.open(io.BytesIO(data)) as container:
            self.frames, samples = [], []
            self.sound_s = 0.0
            for frame in container.decode():
                if isinstance(frame, av.VideoFrame):
                    self.frames.append((frame.time, frame))
                    self.seconds = frame.time + float(frame.duration * frame.time_base)
                else:
                    samples.append(frame.to_ndarray())
                    self.sound_s = max(self.sound_s, frame.time + frame.samples / frame.rate)
            self.samples = np.concatenate(samples, 1)

    def at(self, second: float) -> Pixels:
        """The picture that is seen at a time, as a player shows it."""
        frame = [frame for time, frame in self.frames if time <= second + 1e-6][-1]
        return rgb(frame)

    def loud(self, start: float, end: float) -> float:
        """How loud the sound is between two times: 1 is the tone at its full level."""
        rate = self.sound_type[1]
        cut = self.samples[0, int(start * rate) : int(end * rate)]
        return float(np.sqrt((cut**2).mean()) / (9000 / 32768 / math.sqrt(2)))


def rgb(frame: av.VideoFrame) -> Pixels:
    made: Pixels = frame.reformat(
        format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU709",
        src_color_range="MPEG", dst_color_range="JPEG",
    ).to_ndarray()  # fmt: skip
    return made


def middle(pixels: Pixels, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    height, width = pixels.shape[:2]
    return tuple(
        int(level) for level in pixels[min(height - 1, int(y * height)), min(width - 1, int(x * width))]
    )


def near(colour: Sequence[int], by: int = 4) -> object:
    return pytest.approx(tuple(colour), abs=by)


def corners(pixels: Pixels) -> list[tuple[int, ...]]:
    return [middle(pixels, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]


def boxes(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        found.append(name.decode())
        at += size
    assert at == len(data)
    return found


class Room:
    """Spools and slideshows, as wiring has them."""

    def __init__(self, folder: Path, *, renders_max: int = 2, render_s: float = 60) -> None:
        self.folder = folder
        self.background = Background()
        self.spools = Spools(folder, self.background, bytes_max=1 << 30, keep_s=0)
        self.slideshows = Slideshows(renders_max=renders_max, render_s=render_s)

    async def film(
        self,
        photos: Sequence[bytes | None],
        sound: bytes | None = None,
        film: Film = QUICK,
        *,
        watch: Callable[[Spool], None] | None = None,
    ) -> bytes:
        """The film of what these files show; None is a photo whose origin died."""
        async with AsyncExitStack() as stack:
            parts = [
                await stack.enter_async_context(self.spools.open(object(), _filled(one))) for one in photos
            ]
            heard = (
                await stack.enter_async_context(self.spools.open(object(), _filled(sound or None)))
                if sound is not None
                else None
            )
            made = await stack.enter_async_context(
                self.spools.open(object(), lambda spool: self.slideshows.fill(spool, parts, heard, film))
            )
            assert await made.begun() == "video/mp4"
            if watch is not None:
                watch(made)
            return b"".join([data async for data in made.chunks()])

    async def seen(
        self, photos: Sequence[bytes | None], sound: bytes | None = None, film: Film = QUICK
    ) -> Seen:
        return Seen(await self.film(photos, sound, film))

    async def started(self) -> int:
        """The process that renders, once there is one."""
        async with asyncio.timeout(20):
            while not self.slideshows.running:
                await asyncio.sleep(0.005)
        return next(iter(self.slideshows.running)).pid

    def left(self) -> list[str]:
        self.spools.sweep()
        return [
            file.name
            for file in self.folder.rglob("*")
            if file.is_file() and file.name not in ("lock", ".sweep")
        ]

    async def close(self) -> None:
        await self.background.close()
        self.spools.close()


def _filled(body: bytes | None):  # type: ignore[no-untyped-def]
    async def fill(spool: Spool) -> None:
        spool.begin("application/octet-stream")
        await asyncio.sleep(0)
        spool.append((body or b"half a photo")[:7])
        await asyncio.sleep(0.01)
        if body is None:
            raise UpstreamFailed("the origin died")
        spool.append(body[7:])

    return fill


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    yield room
    await room.close()
    assert not room.slideshows.running


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# the film


async def test_a_film_is_what_every_player_takes(room: Room) -> None:
    data = await room.film([jpeg(solid(c)) for c in (RED, GREY, BLUE)], tone(2.5), Film())
    assert [box for box in boxes(data) if box != "free"] == ["ftyp", "moov", "mdat"]  # the index comes first
    film = Seen(data)
    assert (film.video.name, film.video.profile, film.video.format.name) == ("h264", "High", "yuv420p")
    assert film.video.level <= 42
    assert film.aspect == 1
    assert (film.video.color_range, film.video.colorspace) == (1, 1)
    assert (film.video.color_primaries, film.video.color_trc) == (1, 1)
    assert film.size == SMALL
    assert film.sound_type == ("aac", 44_100, "stereo")
    assert film.ordered
    assert film.frames[0][0] == 0
    assert film.seconds == pytest.approx(7.5, abs=0.01)
    assert film.sound_s == pytest.approx(film.seconds, abs=0.1)


async def test_each_slide_begins_with_a_keyframe_and_has_five_frames_a_second(room: Room) -> None:
    film = await room.seen([jpeg(solid(c)) for c in (RED, GREY, BLUE)], None, Film())
    assert film.keys == [0, 2.5, 5]
    assert len(film.frames) == 3 * 13
    stamps = [time for time, _ in film.frames]
    assert max(b - a for a, b in itertools.pairwise(stamps)) <= 0.2


@pytest.mark.parametrize("encode", [jpeg, png, webp])
async def test_every_frame_of_a_slide_has_the_photos_colours(
    room: Room, encode: Callable[[Pixels], bytes]
) -> None:
    colours = [GREY, RED, GREEN, BLUE, WHITE, (0, 0, 0), (200, 120, 40)]
    film = await room.seen([encode(solid(colour)) for colour in colours])
    for number, colour in enumerate(colours):
        for second in (0, 0.5, 0.99):
            assert middle(film.at(number + second)) == near(colour)


async def test_a_photo_keeps_its_detail(room: Room) -> None:
    photo = photo_like(3, noise(540, 960))
    film = await room.seen([jpeg(photo), jpeg(photo_like(5, photo))])
    wanted = rgb(picture(jpeg(photo), header(jpeg(photo)), (540, 960))).astype(float)
    for second in (0, 0.9):
        error = film.at(second).astype(float) - wanted
        assert 10 * math.log10(255**2 / (error**2).mean()) > 38


@pytest.mark.parametrize("slides", [1, 2, 35])
async def test_there_may_be_one_to_35_slides(room: Room, slides: int) -> None:
    levels = [7 * n for n in range(slides)]
    film = await room.seen([jpeg(solid((level,) * 3)) for level in levels], tone(3))
    assert film.keys == pytest.approx(list(np.arange(slides) * film.keys[-1] / max(1, slides - 1)), abs=0.01)
    step = film.seconds / slides
    assert [middle(film.at((n + 0.5) * step))[0] for n in range(slides)] == pytest.approx(levels, abs=4)


async def test_a_cross_fade_goes_through_both_pictures_and_leaves_the_slides_whole(room: Room) -> None:
    film = await room.seen(
        [jpeg(solid((40,) * 3)), jpeg(solid((200,) * 3))], None, Film(slide_s=2, fade_s=0.5)
    )
    assert film.seconds == pytest.approx(4)
    assert {0.0, 2.0} <= set(film.keys)
    levels = [middle(film.at(second))[0] for second in (0.7, 1.49, 1.6, 1.76, 1.9, 2.0, 3.9)]
    assert levels[:2] == pytest.approx([40, 40], abs=4)
    assert levels[-2:] == pytest.approx([200, 200], abs=4)
    assert 45 < levels[2] < levels[3] < levels[4] < 195


# the photos


def test_the_size_is_the_photos_own_where_they_agree() -> None:
    assert canvas([(1080, 1920)]) == (1080, 1920)
    assert canvas([(576, 1024), (577, 1025), (288, 512)]) == (576, 1024) or canvas([(577, 1025)]) == (
        576,
        1024,
    )
    assert canvas([(1080, 1440), (810, 1080)]) == (1080, 1440)
    assert canvas([(4032, 3024)]) == (1440, 1080)
    assert canvas([(3000, 3000)]) == (1080, 1080)
    assert canvas([(1080, 1920), (1080, 1080)]) == (1080, 1920)  # they do not agree
    assert canvas([(1, 1)]) == (256, 256)
    assert canvas([(3, 5000)]) == canvas([(5000, 3)]) == (1080, 1920)
    for width in range(1, 3000, 7):
        size = canvas([(width, 1000)])
        assert size[0] % 2 == size[1] % 2 == 0
        assert min(size) >= 256
        assert max(size) <= 1920
        assert -(-size[0] // 16) * -(-size[1] // 16) <= 8192  # level 4


def test_a_photo_is_shown_whole() -> None:
    assert fitted((4032, 3024), (1080, 1920)) == (1080, 810)
    assert fitted((1079, 1919), (1080, 1920)) == (1080, 1920)
    assert fitted((3, 5000), (1080, 1920)) == (2, 1920)
    assert fitted((5000, 3), (1080, 1920)) == (1080, 2)


async def test_photos_that_do_not_agree_are_letterboxed(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED, (320, 240))), jpeg(solid(GREY, (240, 320)))])
    assert film.size == (1080, 1920)
    shown = film.at(0.5)
    assert middle(shown) == near(RED)
    assert middle(shown, 0.02, 0.31) == near(RED)  # 810 of the 1920 lines
    assert middle(shown, 0.5, 0.27) == middle(shown, 0.5, 0.73) == near((0, 0, 0), 2)
    assert middle(film.at(1.5), 0.5, 0.15) == near(GREY)


@pytest.mark.parametrize(
    ("orientation", "order"),
    [  # as EXIF has it: which of red, green, blue and grey comes where
        (1, (RED, GREEN, BLUE, GREY)), (2, (GREEN, RED, GREY, BLUE)), (3, (GREY, BLUE, GREEN, RED)),
        (4, (BLUE, GREY, RED, GREEN)), (5, (RED, BLUE, GREEN, GREY)), (6, (BLUE, RED, GREY, GREEN)),
        (7, (GREY, GREEN, BLUE, RED)), (8, (GREEN, GREY, RED, BLUE)),
    ],
)  # fmt: skip
def test_every_orientation_is_shown_upright(orientation: int, order: tuple[tuple[int, ...], ...]) -> None:
    pixels = quarters()
    block, still = exif(orientation, "<"), webp(pixels)
    with_exif = png(pixels)
    inserted = (
        struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    )
    for data in (
        jpeg(pixels, orientation),
        riff(*[still[12:]], chunk(b"EXIF", block)),
        with_exif[:33] + inserted + with_exif[33:],
    ):
        head = header(data)
        assert head.upright == ((240, 320) if orientation >= 5 else (320, 240))
        shown = rgb(picture(data, head, canvas([head.upright])))
        assert [near(colour, 8) == seen for colour, seen in zip(order, corners(shown), strict=True)] == [
            True
        ] * 4


async def test_a_turned_photo_gives_a_film_of_its_upright_size(room: Room) -> None:
    film = await room.seen([jpeg(quarters((512, 288)), 6)])
    assert film.size == (288, 512)
    assert corners(film.at(0.5))[0] == near(BLUE, 8)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_heic_is_shown_as_it_says(turn: int) -> None:
    data = heic(quarters(), turn)
    head = header(data)
    assert head.upright == ((240, 320) if turn % 2 else (320, 240))
    shown = rgb(picture(data, head, head.upright))
    assert shown.shape == np.rot90(quarters(), turn).shape
    assert [near(c, 8) == s for c, s in zip(corners(np.rot90(quarters(), turn)), corners(shown), strict=True)]


def test_alpha_is_on_black_and_grey_is_grey() -> None:
    for data, wanted in [
        (png(solid((200, 100, 50, 128)), "rgba"), (100, 50, 25)),
        (png(solid((200, 100, 50, 0)), "rgba"), (0, 0, 0)),
        (png(solid((90,))[..., 0], "gray"), (90, 90, 90)),
        (encoding.image(solid((90, 90, 90)), quality=2), (90, 90, 90)),
    ]:
        assert middle(rgb(picture(data, header(data), SMALL))) == near(wanted)


def test_an_animation_shows_its_first_frame() -> None:
    data = animated(webp(solid(RED, (64, 48))), webp(solid(BLUE, (64, 48))))
    assert header(data).size == (64, 48)
    assert middle(rgb(picture(data, header(data), (64, 48)))) == near(RED, 6)


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3), (17, 31), (1, 2)])
async def test_odd_sizes_are_shown(room: Room, size: tuple[int, int]) -> None:
    film = await room.seen([png(solid(RED, size))], None, Film(slide_s=0.5))
    shown = film.at(0.2).astype(int)
    assert (shown[..., 0] - shown[..., 1]).max() > 150  # a line of 2 pixels is not quite red


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>" * 99,
        b"\xff\xd8\xff",
        jpeg(quarters())[:300],
        png(quarters())[:60],
        b"RIFF\x10\0\0\0WEBPVP8 ",
        None,
    ],
)
async def test_one_broken_slide_is_left_out(room: Room, broken: bytes | None) -> None:
    film = await room.seen([jpeg(solid(RED)), broken, jpeg(solid(BLUE))], tone(2))
    assert film.keys == [0, 1]
    assert (middle(film.at(0.5)), middle(film.at(1.5))) == (near(RED), near(BLUE))
    assert film.sound_s == pytest.approx(film.seconds, abs=0.1)


def test_every_cut_of_a_photo_is_a_picture_or_unreadable() -> None:
    for data in (jpeg(quarters((32, 32)), 6), png(quarters((32, 32))), webp(quarters((32, 32)))):
        for end in range(0, len(data), 5):
            try:
                head = header(data[:end])
                picture(data[:end], head, (256, 256))
            except Unreadable:
                pass


async def test_no_photo_that_can_be_read_is_an_error(room: Room) -> None:
    with pytest.raises(MediaUndecodable, match="photos"):
        await room.film([b"<html>" * 99, jpeg(quarters())[:200]])
    with pytest.raises(MediaUndecodable, match="no photos"):
        await room.film([])


async def test_photos_that_all_broke_say_what_broke_them(room: Room) -> None:
    with pytest.raises(UpstreamFailed, match="the origin died"):
        await room.film([None, None])


def test_a_picture_bomb_is_refused_before_it_has_memory(tmp_path: Path) -> None:
    def dressed(width: int, height: int) -> bytes:
        head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
        body = b"IDAT" + zlib.compress(bytes(4_000_000))
        packed = [
            struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (head, body)
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed) + struct.pack(">I", 0) + b"IEND\xaeB`\x82"

    bomb = dressed(20_000, 20_000)
    assert len(bomb) < 10_000
    with pytest.raises(Unreadable, match="20000x20000"):
        header(bomb)
    with pytest.raises(Unreadable):
        header(dressed(1, PIXELS_MAX))
    # and where a decoder reads another header than we do: a start of frame within a start of frame
    lie = jpeg(solid(RED, (64, 64)))
    at = lie.index(b"\xff\xc0")
    with pytest.raises(Unreadable):
        picture(lie[: at + 5] + struct.pack(">HH", 20_000, 20_000) + lie[at + 9 :], header(lie), (64, 64))
    paths = [tmp_path / "bomb.png", tmp_path / "red.jpg"]
    paths[0].write_bytes(bomb)
    paths[1].write_bytes(jpeg(solid(RED)))
    job = Job(film=QUICK, photos=tuple(Photo(n, str(p)) for n, p in enumerate(paths)), sound=None, cpu_s=60)
    # by way of a small process: what a child has used counts from its parent's size on
    measured = (
        "import resource, subprocess, sys; "
        "renderer = [sys.executable, '-m', 'gateway.media.renderer']; "
        "subprocess.run(renderer, stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    line = msgspec.json.encode(job) + b"\n"
    done = subprocess.run([sys.executable, "-c", measured], input=line, capture_output=True, check=True)
    assert int(done.stdout) < 400_000  # KB; the bomb is 1.6 GB


# the sound


async def test_slides_are_shown_longer_so_that_the_sound_fits(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED)), jpeg(solid(BLUE))], tone(7), Film())
    assert film.seconds == pytest.approx(7, abs=0.01)
    assert film.keys == [0, 3.5]
    assert film.loud(6.5, 6.95) == pytest.approx(1, abs=0.1)  # it has its own end


async def test_a_sound_that_is_too_long_is_faded_out(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED)), jpeg(solid(BLUE))], tone(60), Film())
    assert film.seconds == pytest.approx(10, abs=0.01)
    assert film.sound_s == pytest.approx(10, abs=0.1)
    assert film.loud(5, 8.9) == pytest.approx(1, abs=0.1)
    assert film.loud(9.4, 9.6) == pytest.approx(0.5, abs=0.1)
    assert film.loud(9.95, 10) < 0.1


async def test_a_short_sound_is_looped_and_faded_out(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED)), jpeg(solid(BLUE))], tone(1.3), Film())
    assert film.seconds == pytest.approx(5)
    assert film.sound_s == pytest.approx(5, abs=0.1)
    assert film.loud(1.2, 3.9) == pytest.approx(1, abs=0.1)
    assert film.loud(4.95, 5) < 0.1


async def test_a_moment_of_silence_is_better_than_a_moment_of_the_beginning(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED))], tone(2), Film())
    assert film.loud(1.5, 1.9) == pytest.approx(1, abs=0.1)
    assert film.loud(2.1, 2.5) < 0.01


async def test_a_sound_of_one_sample_is_no_trap(room: Room) -> None:
    async with asyncio.timeout(20):
        film = await room.seen([jpeg(solid(RED))], tone(1 / 44_100), Film())
    assert film.sound_s == pytest.approx(film.seconds, abs=0.1)


async def test_without_a_sound_the_track_is_silent(room: Room) -> None:
    film = await room.seen([jpeg(solid(RED)), jpeg(solid(BLUE))])
    assert film.sound_type == ("aac", 44_100, "stereo")
    assert film.sound_s == pytest.approx(film.seconds, abs=0.1)
    assert not film.samples.any()


@pytest.mark.parametrize(("rate", "becomes"), [(44_100, 44_100), (48_000, 48_000), (22_050, 48_000)])
async def test_the_sounds_rate_is_one_that_every_player_has(room: Room, rate: int, becomes: int) -> None:
    film = await room.seen([jpeg(solid(RED))], tone(3, rate), Film())
    assert film.sound_type[1] == becomes
    assert film.seconds == pytest.approx(3, abs=0.01)
    crossings = np.diff(np.signbit(film.samples[0, becomes : 2 * becomes])).sum()
    assert crossings == pytest.approx(880, abs=4)  # 440 Hz: neither slower nor faster


async def test_corrupt_packets_of_a_sound_are_skipped(room: Room, tmp_path: Path) -> None:
    sound = Origin(tmp_path / "origin").parts("photo3")[-1]
    middle_ = len(sound) // 2
    film = await room.seen(
        [jpeg(solid(RED))], sound[:middle_] + bytes(2000) + sound[middle_ + 2000 :], Film()
    )
    assert film.loud(0, film.seconds) > 0.01


async def test_a_sound_that_is_none_is_an_error(room: Room) -> None:
    for sound in (b"<html>" * 999, jpeg(quarters()), b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n" * 9):
        with pytest.raises(MediaUndecodable, match="sound"):
            await room.film([jpeg(solid(RED))], sound)


async def test_a_sound_that_broke_is_an_error(room: Room) -> None:
    with pytest.raises(UpstreamFailed, match="the origin died"):
        await room.film([jpeg(solid(RED))], b"")


def test_times_are_bounded_whatever_is_asked_for() -> None:
    for film in (Film(slide_s=-1), Film(slide_s=1e9), Film(slide_s_max=0), Film(fade_s=99), Film(fade_s=-1)):
        for sound_s in (None, 0.1, 60.0, 1e6):
            plan = times(film, 3, sound_s)
            assert 0.5 <= plan.slide_s <= SLIDE_S_MAX
            assert 0 <= plan.fade_s <= plan.slide_s / 2


# streamed while it is rendered


async def test_a_live_film_begins_before_it_ends_and_is_whole(room: Room) -> None:
    colours = [(10 * n, 120, 250 - 10 * n) for n in range(12)]
    first: list[int] = []

    def watch(spool: Spool) -> None:
        first.append(spool.size)
        assert spool.state == "growing"

    data = await room.film([jpeg(solid(c)) for c in colours], tone(3), Film(live=True), watch=watch)
    assert first[0] < len(data) / 2
    found = [box for box in boxes(data) if box != "mfra"]
    assert found == ["ftyp", "moov", *["moof", "mdat"] * 12]  # each slide is a fragment
    film = Seen(data)
    assert film.frames[0][0] == 0
    assert film.ordered
    assert film.seconds == pytest.approx(30, abs=0.01)
    assert film.sound_s == pytest.approx(30, abs=0.1)
    assert film.keys == [2.5 * n for n in range(12)]
    for number, colour in enumerate(colours):
        assert middle(film.at(2.5 * number + 1.2)) == near(colour)


async def test_a_live_film_that_is_killed_breaks(room: Room) -> None:
    pixels = noise(1080, 1920)
    photos = [jpeg(photo_like(n, pixels)) for n in range(3)] * 8

    def watch(spool: Spool) -> None:
        os.kill(next(iter(room.slideshows.running)).pid, signal.SIGKILL)

    with pytest.raises(MediaUndecodable):
        await room.film(photos, None, Film(live=True), watch=watch)


# bad endings


async def test_a_renderer_that_is_killed_is_an_error_and_leaves_nothing(room: Room) -> None:
    making = asyncio.ensure_future(room.film([jpeg(solid(RED))] * 35, tone(30)))
    os.kill(await room.started(), signal.SIGKILL)
    with pytest.raises(MediaUndecodable):
        await making
    assert room.left() == []


async def test_who_leaves_ends_the_renderer(room: Room) -> None:
    making = asyncio.ensure_future(room.film([jpeg(solid(RED))] * 35, tone(30)))
    pid = await room.started()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    async with asyncio.timeout(5):
        while not is_gone(pid):
            await asyncio.sleep(0.01)
    assert not room.slideshows.running
    assert room.left() == []


async def test_a_render_has_a_deadline(tmp_path: Path) -> None:
    room = Room(tmp_path, render_s=0.05)
    with pytest.raises(Busy, match="in time"):
        await room.film([jpeg(solid(RED))])
    assert not room.slideshows.running
    await room.close()


async def test_renders_wait_for_their_turn_and_too_many_are_refused(tmp_path: Path) -> None:
    room = Room(tmp_path, renders_max=1)
    photo = jpeg(solid(RED))
    making = [asyncio.ensure_future(room.film([photo], None, Film(slide_s=0.5))) for _ in range(3)]
    most = 0
    while not all(one.done() for one in making):
        most = max(most, len(room.slideshows.running))
        await asyncio.sleep(0.005)
    assert most == 1
    assert all(len(one.result()) > 1000 for one in making)
    several = [asyncio.ensure_future(room.film([photo])) for _ in range(WAITING_MAX + 4)]
    refused: list[GatewayError] = []
    async with asyncio.timeout(20):
        while len(refused) < 3:  # one renders, WAITING_MAX wait
            refused = [
                failure
                for one in several
                if one.done() and isinstance(failure := one.exception(), GatewayError)
            ]
            await asyncio.sleep(0.01)
    assert all(isinstance(failure, Busy) for failure in refused)
    for one in several:
        one.cancel()
    await asyncio.gather(*several, return_exceptions=True)
    await room.close()


async def test_a_film_that_finds_no_room_is_refused(tmp_path: Path) -> None:
    room = Room(tmp_path)
    photo = jpeg(photo_like(1, noise(540, 960)))
    room.spools = Spools(tmp_path / "small", room.background, bytes_max=len(photo) + 1000, keep_s=0)
    with pytest.raises(Busy, match="room"):
        await room.film([photo])
    await room.close()


# how much it costs


async def test_35_full_slides_cost_little(room: Room) -> None:
    pixels = noise(1080, 1920)
    photos = [jpeg(photo_like(n, pixels)) for n in range(35)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    data = await room.film(photos, tone(60), Film())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    with av.open(io.BytesIO(data)) as container:
        assert container.duration == pytest.approx(87.5e6, abs=1e5)
        assert container.streams.video[0].frames == 35 * 13
    # 2 s when it was written; tests/bench/slideshow.py has the figure, this only sees it explode
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 6
