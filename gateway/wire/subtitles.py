"""Segments to WebVTT and SubRip, and WebVTT to cues. Pure.

Always: what was written up to any segment is a file of its own; no text can end its cue.
"""

import html
import re
from collections.abc import Iterator

import msgspec

from gateway.wire.events import Segment

VTT_HEAD = "WEBVTT\n\n"
_LEAST_S = 0.001  # a cue that ends where it begins is none

_TIME = r"(?:(\d{1,4}):)?([0-5]\d):([0-5]\d)[.,](\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # int() refuses some thousand digits
_TAG = re.compile(r"<[^>]*>?")


class Cue(msgspec.Struct, frozen=True):
    """A stretch of text, perhaps of several lines; times in seconds."""

    start: float
    end: float
    text: str


def vtt(segment: Segment) -> str:
    """A segment as a cue, its words with their times where it has them; VTT_HEAD goes before the first."""
    start, end = _times(segment)
    text = "".join(_timed(segment)) if segment.words else _escaped(_flat(segment.text))
    return f"{_stamp(start, '.')} --> {_stamp(end, '.')}\n{text}\n\n"


def srt(segment: Segment) -> str:
    """A segment as a numbered subtitle."""
    start, end = _times(segment)
    text = _flat(segment.text).replace("-->", "-- >")
    return f"{segment.id + 1}\n{_stamp(start, ',')} --> {_stamp(end, ',')}\n{text}\n\n"


def cues(file: str) -> list[Cue]:
    """The cues of a WebVTT file, in its order, without markup. Raises ValueError when it is none."""
    lines = file.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not re.fullmatch(r"WEBVTT(?:[ \t].*)?", lines[0]):
        raise ValueError("the file does not begin with WEBVTT")
    found = []
    for block in _blocks(lines[1:]):
        at = next((i for i, line in enumerate(block[:2]) if "-->" in line), None)
        timing = None if at is None else _TIMING.fullmatch(block[at].strip())
        if at is None or timing is None:
            continue  # a note, a style, a region, or nothing that a player would show
        start, end = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
        marked = _TAG.sub("", "\n".join(block[at + 1 :]))
        lines = html.unescape(_NO_CHARACTER.sub("", marked)).split("\n")
        text = "\n".join(flat for line in lines if (flat := _flat(line)))
        if text and end >= start:
            found.append(Cue(start, end, text))
    return found


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*lines, ""]:
        if line:
            block.append(line)
        elif block:
            yield block
            block = []


def _timed(segment: Segment) -> Iterator[str]:
    """The words of a segment; each but the first after the time when it begins, as far as times go on."""
    start, end = _times(segment)
    last = start
    for number, word in enumerate(segment.words or ()):
        text = word.word.lstrip() if number == 0 else word.word
        if number and last < round(word.start, 3) < end:
            last = round(word.start, 3)
            space = text[: len(text) - len(text.lstrip())]
            yield f"{space}<{_stamp(last, '.')}>{_escaped(_flat(text))}"
        else:
            yield _escaped(re.sub(r"\s+", " ", text))


def _times(segment: Segment) -> tuple[float, float]:
    return segment.start, max(segment.end, segment.start + _LEAST_S)


def _stamp(seconds: float, point: str) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{ms:03}"


def _seconds(parts: "tuple[str | None, ...]") -> float:
    hours, minutes, seconds, ms = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60_000 + seconds * 1000 + ms) / 1000


def _flat(text: str) -> str:
    """One line: an empty one would end the cue."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
