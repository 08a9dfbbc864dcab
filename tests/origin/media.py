"""Every clip by its name: committed files, and what is made from them when first asked for."""

import asyncio
import hashlib
import random
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from tests.origin import encoding, subtitles
from tests.origin.drawing import Picture, scene

FOLDER = Path(__file__).parent / "clips"
FILES = {
    "video": "video.mp4", "speech": "speech.mp4", "watermarked": "watermarked.mp4",
    "sound": "sound.mp3", "music": "music.mp3",
    "slide-1": "slide-1.jpg", "slide-2": "slide-2.jpg", "slide-3": "slide-3.jpg",
}  # fmt: skip
CAPTIONS = {"mt": "narration.es.txt"}  # others are in the language that is spoken
TYPES = {
    b"RIFF": "image/webp", b"\xff\xd8\xff": "image/jpeg", b"ID3": "audio/mpeg",
}  # fmt: skip
HUGE_LINES = 200_000  # 1.6 MB of a caption file


class Clip(msgspec.Struct, frozen=True):
    """The bytes of one file and what the CDN says about them."""

    data: bytes
    mime: str
    etag: str
    duration_s: float  # 0 for pictures and words


class Clips:
    """The clips of one origin. The extra spoken ones are made once and kept in its folder, small ones that
    are the same for all origins in memory."""

    _shared: ClassVar[dict[str, Clip]] = {}
    _lock = threading.Lock()  # two readers of one clip must see the same bytes, so make it once

    def __init__(self, folder: Path, speech: Mapping[str, Path]) -> None:
        self._folder, self._speech = folder, dict(speech)
        self._own: dict[str, Clip] = {}

    async def load(self, name: str) -> Clip:
        """The clip, made in a thread if need be: encoding must not hold the other connections up."""
        made = self._made(name)
        return made[name] if name in made else await asyncio.to_thread(self.get, name)

    def get(self, name: str) -> Clip:
        """The clip, at once; raises KeyError if there is no such clip."""
        made = self._made(name)
        with self._lock:
            if name not in made:
                made[name] = _clip(name, self._make(name))
            return made[name]

    def _made(self, name: str) -> dict[str, Clip]:
        return self._own if name.startswith(("speech:", "big")) else self._shared

    def _make(self, name: str) -> bytes:
        if name in FILES:
            return (FOLDER / FILES[name]).read_bytes()
        kind, _, which = name.replace(":", "-").partition("-")
        match kind:
            case "video_moov_last":
                return encoding.remuxed(_committed("video"))
            case "video_fragmented":
                return encoding.remuxed(_committed("video"), "frag_keyframe+empty_moov+default_base_moof")
            case "h264" | "bytevc1":
                lines, _, mute = which.partition("-")
                return self._encoded("libx264" if kind == "h264" else "libx265", int(lines), bool(mute))
            case "big":
                return _noise(8 << 20)
            case "big64":
                return _noise(64 << 20)
            case "slide35":
                return encoding.image(_slide(int(which), of=35, width=360, height=640))
            case "webp":
                return encoding.image(_slide(int(which), of=3, width=576, height=1024), "libwebp")
            case "captions":
                return self._captions(which)
            case "speech":
                return self._spoken(which)
        raise KeyError(name)

    def _encoded(self, codec: str, lines: int, mute: bool) -> bytes:
        """One encoding of a post that has several; 540 is 576 wide, as at the site."""
        width = 576 if lines == 540 else lines
        height = width * 16 // 9
        still = scene(width, height, hue=0.3, turn=0.2, word=str(lines), line=codec.upper())
        make = encoding.Film(width=width, height=height, fps=1, codec=codec, preset="ultrafast", crf=35)
        made = self._folder / f"{codec}-{lines}.mp4"
        encoding.film(made, make, FOLDER / FILES["video"], lambda _: still)
        data = made.read_bytes()
        made.unlink()
        return encoding.remuxed(data, only="video") if mute else data

    def _captions(self, which: str) -> bytes:
        if which == "json":
            return b'{"utterances": []}'
        if which == "empty":
            return b"WEBVTT\n"
        spoken_s = encoding.duration_s(_committed("speech"))
        plain = subtitles.vtt((FOLDER / CAPTIONS.get(which, "narration.txt")).read_text("utf-8"), spoken_s)
        if which == "huge":
            plain += "\nNOTE\n" + "nothing\n" * HUGE_LINES
        return (subtitles.by_hand(plain) if which == "creator" else plain).encode()

    def _spoken(self, suffix: str) -> bytes:
        source = self._speech[suffix]
        state = f"{source.resolve()} {source.stat().st_size} {source.stat().st_mtime_ns}"
        kept = self._folder / f"speech-{suffix}-{hashlib.sha256(state.encode()).hexdigest()[:12]}.mp4"
        if not kept.exists():
            still = scene(180, 320, hue=0.6, turn=0.1, word=suffix[-4:])
            # one small still each second: an hour of speech is made in seconds
            make = encoding.Film(
                width=180, height=320, fps=1, preset="ultrafast", sample_rate=24_000, sound_bits=48_000
            )
            partial = kept.with_suffix(".part")
            encoding.film(partial, make, source, lambda _: still)
            partial.replace(kept)
        return kept.read_bytes()


def _clip(name: str, data: bytes) -> Clip:
    mime = next((mime for magic, mime in TYPES.items() if data.startswith(magic)), "video/mp4")
    mime = "text/vtt" if name.startswith("captions-") else mime
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    timed = mime in ("video/mp4", "audio/mpeg") and not name.startswith("big")
    return Clip(data, mime, etag, encoding.duration_s(data) if timed else 0)


def _committed(name: str) -> bytes:
    return (FOLDER / FILES[name]).read_bytes()


def _slide(number: int, *, of: int, width: int, height: int) -> Picture:
    return scene(width, height, hue=number / of, turn=number / of, word=str(number), line="CLIPWIRE")


def _noise(size: int) -> bytes:
    """An MP4 as far as its first box tells, then bytes that nothing can guess, repeat or compress."""
    kind = b"ftyp" + b"isom" + struct.pack(">I", 0x200) + b"isomiso2avc1mp41"
    head = struct.pack(">I", len(kind) + 4) + kind
    rest = size - len(head)
    return head + struct.pack(">I", rest) + b"mdat" + random.Random(size).randbytes(rest - 8)
