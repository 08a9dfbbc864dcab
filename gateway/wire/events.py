"""The events of a transcript; one event, one line. `Info` first, then `Segment`s, then `End` or `Failed`."""

from typing import Literal

import msgspec

Source = Literal["speech", "captions"]


class Word(msgspec.Struct, frozen=True):
    """A spoken word; times in seconds from the start of the sound."""

    start: float
    end: float
    word: str
    probability: float


class Info(msgspec.Struct, frozen=True, tag_field="type", tag="info"):
    """What is being recognised. `duration` in seconds, None while it is not known."""

    id: str
    language: str | None
    language_probability: float | None
    duration: float | None
    model: str
    source: Source


class Segment(msgspec.Struct, frozen=True, tag_field="type", tag="segment", omit_defaults=True):
    """A stretch of speech; times in seconds from the start of the sound; ids count from 0."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    words: tuple[Word, ...] | None = None  # None unless asked for


class End(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The transcript is whole. `speech` is the verdict on how much of the sound was speech."""

    segments: int
    duration: float
    text_sha256: str
    elapsed_ms: int
    speech: Literal["none", "low", "ok"]


class Failed(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The transcript stops here; what came before is right."""

    code: str
    message: str


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="progress"):
    """Where a waiting transcript stands; may come anywhere before the end and is not logged."""

    position: int
    wait_s: float | None
    bytes: int
    bytes_total: int | None


Logged = Info | Segment | End | Failed
Event = Logged | Progress

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def line(event: Event) -> bytes:
    """An event as one NDJSON line, newline included."""
    return _encoder.encode(event) + b"\n"


def parse(data: bytes | str) -> Event:
    """The event of one line. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def sse(event: Event, number: int | None) -> bytes:
    """An event as a server-sent one; `number` is its place in the log, None for progress."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind(event)}\ndata: ".encode() + _encoder.encode(event) + b"\n\n"


def kind(event: Event) -> str:
    """The event's `type` on the wire."""
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def text_of(segments: list[Segment]) -> str:
    """The transcript's text: the segments' texts, stripped, joined by one space."""
    return " ".join(text for segment in segments if (text := segment.text.strip()))
