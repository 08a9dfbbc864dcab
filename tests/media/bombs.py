"""Small files that claim, or decode to, far more than anybody has."""

import struct
import zlib
from collections.abc import Iterator

SIDE = 20_000


def photos() -> dict[str, bytes]:
    """Pictures of 400 million pixels in some kilobytes; WebP has no more than 16383 to a side."""
    return {
        "png": png(SIDE, SIDE),
        "png of a thin line": png(1 << 30, 1),
        "jpeg": jpeg(SIDE, SIDE),
        "webp": webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFE | 0x3FFE << 14) + bytes(64)),
        "webp, lossy": webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(64)),
        "webp in motion": webp(
            b"ANMF",
            bytes(6) + b"\xff" * 6 + bytes(4) + b"VP8L" + struct.pack("<I", 5) + b"\x2f" + b"\xff" * 4,
        ),
    }


def png(width: int, height: int) -> bytes:
    """An RGBA picture whose pixels are four megabytes of zeros, and then missing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = (head, b"IDAT" + zlib.compress(bytes(4_000_000), 9), b"IEND")
    packed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def jpeg(width: int, height: int) -> bytes:
    """A grey one, with the head of a scan and no data."""
    frame = struct.pack(">HBHHBBBB", 11, 8, height, width, 1, 1, 0x11, 0)
    scan = struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 63, 0)
    table = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\x01" * 64
    return b"\xff\xd8" + table + b"\xff\xc0" + frame + b"\xff\xda" + scan + bytes(200) + b"\xff\xd9"


def webp(kind: bytes, body: bytes) -> bytes:
    body += b"\0" * (len(body) & 1)
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def sounds(mp4: bytes) -> dict[str, bytes]:
    """Hours in a few kilobytes, and containers that claim or nest without end; `mp4` is a small real one."""
    return {
        "flac of hours": flac(8000, 700),
        "flac of one sample a second": flac(1, 100),
        "wav of one sample a second": wav(1, bytes(9000)),
        "wav that claims all": wav(8000, bytes(9000), told=0xFFFFFFFF),
        "ogg of pages without end": b"".join(ogg(n) for n in range(100)),
        "mp3 with a tag of 256 MB": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(9000),
        "mp4, samples": claimed(mp4, b"stsz", 12, 0x0FFFFFFF),
        "mp4, samples of one size": claimed(claimed(mp4, b"stsz", 8, 1), b"stsz", 12, 0x7FFFFFFF),
        "mp4, times": claimed(mp4, b"stts", 8, 0x7FFFFFFF),
        "mp4, one time for all": claimed(mp4, b"stts", 12, 0xFFFFFFFF),
        "mp4, chunks": claimed(mp4, b"stco", 8, 0x3FFFFFFF),
        "mp4, chunks of samples": claimed(mp4, b"stsc", 8, 0x0FFFFFFF),
        "mp4, duration": claimed(claimed(mp4, b"mdhd", 16, 1), b"mdhd", 20, 0xFFFFFFFF),
        "mp4, a list of edits": edited(mp4, 0x0FFFFFFF, 3),
        "mp4, ten thousand edits": edited(mp4, 10_000, 10_000),
        "mp4 in mp4": nested_boxes(b"moov", 5000),
        "matroska in matroska": matroska(6000),
        "matroska of empty clusters": matroska(0) + b"\x1f\x43\xb6\x75\x80" * 2000,
    }


def flac(rate: int, frames: int) -> bytes:
    """Silence: each frame of 15 bytes is 65535 samples."""
    info = struct.pack(">HH", 65_535, 65_535) + bytes(6)
    info += ((rate << 44) | (0 << 41) | (15 << 36)).to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + b"".join(_flac_frame(n) for n in range(frames))


def _flac_frame(number: int) -> bytes:
    head = b"\xff\xf8\x70\x08" + chr(number).encode() + struct.pack(">H", 65_534)
    head += bytes([_crc(head, 8, 0x07)])
    frame = head + b"\0\0\0"
    return frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
    return value


def wav(rate: int, samples: bytes, *, told: int | None = None) -> bytes:
    told = len(samples) if told is None else told
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    return (
        b"RIFF"
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVEfmt \x10\0\0\0"
        + form
        + b"data"
        + struct.pack("<I", told)
        + samples
    )


def ogg(number: int) -> bytes:
    """A page of 255 packets without a byte, at the end of time; its sum is wrong."""
    head = (
        b"OggS\0" + bytes([2 if not number else 0]) + struct.pack("<QIII", (1 << 62) + number, 7, number, 0)
    )
    return head + b"\xff" + bytes(255)


def claimed(media: bytes, box: bytes, at: int, value: int) -> bytes:
    """The media with another number at a place of a box, counted from its name."""
    place = media.index(box) + at
    return media[:place] + struct.pack(">I", value) + media[place + 4 :]


def edited(media: bytes, told: int, count: int) -> bytes:
    """With a list of so many edits, said to be more, in its first track."""
    entries = struct.pack(">IiI", 0x7FFFFFFF, 0, 0x10000) * count
    elst = struct.pack(">I", 16 + len(entries)) + b"elst" + struct.pack(">II", 0, told) + entries
    edts = struct.pack(">I", 8 + len(elst)) + b"edts" + elst
    moov, trak = media.index(b"moov") - 4, media.index(b"trak") - 4
    end = trak + struct.unpack_from(">I", media, trak)[0]
    grown = bytearray(media[:end].replace(b"edts", b"free") + edts + media[end:])
    for box in (moov, trak):
        grown[box : box + 4] = struct.pack(">I", struct.unpack_from(">I", media, box)[0] + len(edts))
    return bytes(grown)


def nested_boxes(kind: bytes, depth: int) -> bytes:
    head = b"\0\0\0\x14ftypisom\0\0\0\0isom"
    return head + b"".join(struct.pack(">I", 8 * n) + kind for n in range(depth, 0, -1))


def matroska(depth: int) -> bytes:
    """A segment with tags within tags, each of no told length."""
    head = bytes.fromhex("1a45dfa3 8b 4282 88 6d6174726f736b61")
    unknown = b"\x01" + b"\xff" * 7
    segment = bytes.fromhex("18538067") + unknown
    tags = bytes.fromhex("1254c367") + unknown + bytes.fromhex("7373") + unknown
    return head + segment + (tags + (bytes.fromhex("67c8") + unknown) * depth if depth else b"")


def all_small(found: dict[str, bytes], most: int) -> Iterator[str]:
    """The names of those that are larger than a bomb is."""
    yield from (name for name, body in found.items() if len(body) > most)
