"""A photo's bytes to a picture: upright, on a canvas, in the film's colours. For the renderer only.

Always: what is refused is refused by its header, before a pixel has memory; a photo that cannot be
read raises Unreadable and nothing else.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import Any, Literal

import av
import av.filter
import msgspec
from av.stream import Disposition

from gateway.media.film import Size, fitted
from gateway.media.sniff import media_type

PIXELS_MAX = 50_000_000  # a 48-megapixel phone's; 200 MB as RGBA
BYTES_MAX = 64 << 20  # the site's are under a megabyte
SIDE_MAX = 32_000  # longer ones are no photos, and swscale refuses them

# ISO 23091-2's numbers for how YCbCr was made, as the colorspace filter names them. JPEG (JFIF) and
# WebP are always BT.601; so are HEICs that do not say.
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020ncl"}
_JFIF = "bt470bg"
_FULL = 2  # AVCOL_RANGE_JPEG
# formats that the colorspace filter takes: it converts matrix and range at once, 8 times as fast as
# swscale, and rounds rather than cuts off
_FAST = {f"yuv{j}{sampling}p" for j in ("", "j") for sampling in ("420", "422", "444")}
# EXIF orientation, tag 0x0112: what makes the picture upright
_TURNS: dict[int, list[tuple[str, str]]] = {
    1: [], 2: [("hflip", "")], 3: [("hflip", ""), ("vflip", "")], 4: [("vflip", "")],
    5: [("transpose", "cclock_flip")], 6: [("transpose", "clock")],
    7: [("transpose", "clock_flip")], 8: [("transpose", "cclock")],
}  # fmt: skip

Kind = Literal["mjpeg", "png", "webp", "heic"]
_KINDS: dict[str, Kind] = {
    "image/jpeg": "mjpeg", "image/png": "png", "image/webp": "webp", "image/heic": "heic",
    "image/avif": "heic",  # the same container
}  # fmt: skip


class Unreadable(Exception):
    """The bytes are no photo that can be shown; the text says why, for a log."""


class Header(msgspec.Struct, frozen=True):
    """What a photo's first bytes say: `size` as it is stored, `orientation` as EXIF numbers it."""

    kind: Kind
    size: Size
    orientation: int = 1

    @property
    def upright(self) -> Size:
        """The size as it is looked at."""
        width, height = self.size
        return (height, width) if self.orientation >= 5 else (width, height)


def header(data: bytes) -> Header:
    """Size and orientation, read without decoding. Raises Unreadable, also when it is too large."""
    if len(data) > BYTES_MAX:
        raise Unreadable("the file is too large")
    kind = _KINDS.get(media_type(data[:16]) or "")
    if kind is None:
        raise Unreadable("not a photo")
    with _translated():
        size, orientation = _READERS[kind](data)
        width, height = size
        if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX and width * height <= PIXELS_MAX):
            raise Unreadable(f"{width}x{height} pixels")
        return Header(kind, size, orientation if orientation in _TURNS else 1)


def picture(data: bytes, head: Header, canvas: Size) -> Any:
    """The photo on its canvas, black around it: a yuv420p frame, BT.709, limited range."""
    with _translated():
        return _placed(_decoded(data, head), head, canvas)


@contextmanager
def _translated() -> Iterator[None]:
    """Everything that malformed bytes can do to a reader, as Unreadable."""
    try:
        yield
    except (av.error.FFmpegError, MemoryError, ValueError, IndexError, StopIteration, struct.error) as error:
        raise Unreadable(repr(error)) from error


# to a frame


def _decoded(data: bytes, head: Header) -> Any:
    """The first frame. The decoder is asked directly: a demuxer would decode once more, to probe."""
    if head.kind == "heic":
        with _heic(data) as (container, stream):
            return next(container.decode(stream))
    decoder = av.CodecContext.create(head.kind, "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(PIXELS_MAX)}  # should its idea of the header differ from ours
    if head.kind == "webp":
        data = _first_of_animation(data)
    frames = decoder.decode(av.Packet(data)) or decoder.decode(None)
    return frames[0]


@contextmanager
def _heic(data: bytes) -> Iterator[tuple[Any, Any]]:
    with av.open(BytesIO(data), format="mov") as container:
        # a picture cut in tiles is put together by ffmpeg's command, not by its libraries
        if any(stream.disposition & Disposition.dependent for stream in container.streams.video):
            raise Unreadable("a HEIC of tiles")
        stream = next(one for one in container.streams.video if one.disposition & Disposition.default)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(PIXELS_MAX)}
        yield container, stream


def _placed(frame: Any, head: Header, canvas: Size) -> Any:
    """Scaled (before it is turned: fewer pixels), upright, converted, padded."""
    if (frame.width, frame.height) != head.size:
        raise Unreadable(f"{frame.width}x{frame.height} pixels where the header said otherwise")
    shown = width, height = fitted(head.upright, canvas)
    if head.orientation >= 5:
        width, height = height, width
    name = frame.format.name
    full = frame.color_range == _FULL or name.startswith(("gray", "yuvj"))
    scale = f"w={width}:h={height}:flags=bicubic"
    to_film = "out_color_matrix=bt709:out_range=tv"
    if name in _FAST:
        matrix = _MATRICES.get(frame.colorspace, _JFIF)
        convert = [
            ("scale", scale),
            # sRGB's primaries are BT.709's, and its curve is what players take BT.709's for
            ("colorspace", f"ispace={matrix}:irange={'pc' if full else 'tv'}:iprimaries=bt709:itrc=bt709:"
                           "all=bt709:range=tv:format=yuv420p"),
        ]  # fmt: skip
    elif name == "pal8" or any(component.is_alpha for component in frame.format.components):
        convert = [
            ("scale", scale), ("format", "gbrap"), ("premultiply", "inplace=1"),  # onto black
            ("scale", to_film), ("format", "yuv420p"),
        ]  # fmt: skip
    else:
        convert = [("scale", f"{scale}:{to_film}"), ("format", "yuv420p")]
    left, top = ((have - need) // 4 * 2 for have, need in zip(canvas, shown, strict=True))
    pad = [("pad", f"{canvas[0]}:{canvas[1]}:{left}:{top}:black")] if shown != canvas else []
    return _filtered(frame, full, [*convert, *_TURNS[head.orientation], *pad])


def _filtered(frame: Any, full: bool, chain: list[tuple[str, str]]) -> Any:
    graph = av.filter.Graph()
    graph.threads = 1
    last = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1:"
        f"colorspace={frame.colorspace if frame.format.name.startswith('yuv') else 0}:"
        f"range={_FULL if full else frame.color_range}",
    )
    for name, arguments in [*chain, ("buffersink", "")]:
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1)
    graph.push(frame)
    return graph.pull()


# headers: the size, and how EXIF says that the picture is turned


def _jpeg(data: bytes) -> tuple[Size, int]:
    at, orientation = 2, 1
    while True:
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        mark, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if data[at] != 0xFF or length < 2:
            raise Unreadable("no JPEG header")
        if mark == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _exif(data[at + 10 : at + 2 + length])
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):  # start of frame, not a table
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (width, height), orientation
        at += 2 + length


def _png(data: bytes) -> tuple[Size, int]:
    orientation = 1
    for kind, body in _chunks(data, 8, ">I4s", after=4, named_first=False):
        if kind == b"eXIf":
            orientation = _exif(body)
        if kind == b"IDAT":
            break
    return struct.unpack_from(">II", data, 16), orientation


def _webp(data: bytes) -> tuple[Size, int]:
    orientation = 1
    for kind, body in _riff(data):
        if kind == b"EXIF":
            orientation = _exif(body.removeprefix(b"Exif\0\0"))
    still = _first_of_animation(data)
    for kind, body in _riff(still):
        if kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 6)
            return (width & 0x3FFF, height & 0x3FFF), orientation
        if kind == b"VP8L":
            bits = struct.unpack_from("<I", body, 1)[0]
            return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), orientation
    raise Unreadable("a WebP without a picture")


def _heif(data: bytes) -> tuple[Size, int]:
    with _heic(data) as (container, stream):
        # ffmpeg tells HEIF's own turn (irot) as the frame's, counter-clockwise; HEIF's EXIF is only a copy
        size = stream.codec_context.width, stream.codec_context.height
        if size[0] * size[1] > PIXELS_MAX:
            raise Unreadable(f"{size[0]}x{size[1]} pixels")
        turn = next(container.decode(stream)).rotation % 360
        return size, {0: 1, 90: 8, 180: 3, 270: 6}.get(turn, 1)


_READERS = {"mjpeg": _jpeg, "png": _png, "webp": _webp, "heic": _heif}


def _exif(tiff: bytes) -> int:
    """The orientation of an EXIF block; 1, upright, where it is damaged: the picture itself may not be."""
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[tiff[:4]]
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * min(count, 1000), 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if (tag, kind) == (0x0112, 3):
                return int(value)
    except (KeyError, struct.error):
        pass
    return 1


def _riff(data: bytes, at: int = 12) -> Iterator[tuple[bytes, bytes]]:
    return _chunks(data, at, "<4sI", after=0, named_first=True)


def _chunks(
    data: bytes, at: int, head: str, *, after: int, named_first: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each chunk of a PNG, or of a RIFF file, whose chunks are padded to even lengths."""
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        kind, length = (first, second) if named_first else (second, first)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + after + (length & 1 if named_first else 0)


def _first_of_animation(data: bytes) -> bytes:
    """An animated WebP's first frame as a WebP of its own: the decoder takes no other. Stills as they are."""
    for kind, body in _riff(data):
        if kind == b"ANMF":
            size, chunks = body[6:12], body[16:]
            # its alpha, if any, is a chunk that only an extended header announces: flag 0x10
            extended = b"VP8X" + struct.pack("<I4s6s", 10, b"\x10\0\0\0", size)
            chunks = extended + chunks if chunks.startswith(b"ALPH") else chunks
            return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    return data
