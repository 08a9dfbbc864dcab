"""The events of a transcript; one event, one line. `Info` first, then `Segment`s, then `End` or `Failed`."""

from typing import Literal

import msgspec

from gateway.wire.foreign import decoded

Source = Literal["speech", "captions"]
Captions = Literal["recognised", "translated", "creator"]  # who wrote a post's own captions
Verdict = Literal["none", "low", "ok"]
# why there is little or no text: nothing but silence, sound without a voice, a tenth or less of voice,
# a voice in which no words were made out
Reason = Literal["silence", "no_voice", "little_voice", "no_words"]


class Word(msgspec.Struct, frozen=True):
    """A spoken word; times in seconds from the start of the sound."""

    start: float
    end: float
    word: str
    probability: float


class Info(msgspec.Struct, frozen=True, tag_field="type", tag="info", omit_defaults=True):
    """What is being recognised. `duration` in seconds, None while it is not known."""

    id: str
    language: str | None
    language_probability: float | None
    duration: float | None
    model: str | None  # None for captions
    source: Source
    captions: Captions | None = None  # None for speech


class Segment(msgspec.Struct, frozen=True, tag_field="type", tag="segment", omit_defaults=True):
    """A stretch of speech; times in seconds from the start of the sound; ids count from 0.

    What the model thought of it is None for captions.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    words: tuple[Word, ...] | None = None  # None unless asked for


class End(msgspec.Struct, frozen=True, tag_field="type", tag="end", omit_defaults=True):
    """The transcript is whole. `speech` is the verdict on how much of the sound was speech."""

    segments: int
    duration: float
    text_sha256: str
    elapsed_ms: int
    speech: Verdict
    reasons: tuple[Reason, ...] = ()  # of a verdict that is not ok


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
    return decoded(_decoder, data)


def sse(event: Event, number: int | None) -> bytes:
    """An event as a server-sent one; `number` is its place in the log, None for progress."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind(event)}\ndata: ".encode() + _encoder.encode(event) + b"\n\n"


def kind(event: Event) -> str:
    """The event's `type` on the wire."""
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def fields(event: Event, *but: str) -> dict[str, object]:
    """What an event tells, without its `type`, and `but` some of it."""
    told: dict[str, object] = msgspec.to_builtins(event)
    return {name: value for name, value in told.items() if name not in ("type", *but)}


def text_of(segments: list[Segment]) -> str:
    """The transcript's text: the segments' texts, stripped, joined by one space."""
    return " ".join(text for segment in segments if (text := segment.text.strip()))
