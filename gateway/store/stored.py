"""What is kept of a transcript, as values; and how rows and events become each other. Pure."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from gateway.store.folding import fold
from gateway.store.tables import ANYONE
from gateway.wire.events import Captions, End, Failed, Info, Reason, Segment, Source, Verdict, Word, line

State = Literal["RUNNING", "COMPLETE", "FAILED"]


class Provenance(msgspec.Struct, frozen=True):
    """Where the sound comes from, as far as that is known."""

    url: str | None = None
    post_id: str | None = None
    sound_id: str | None = None
    media_sha256: str | None = None
    file_name: str | None = None


class Draft(msgspec.Struct, frozen=True):
    """What is known of a transcript before its first event."""

    id: str
    owner: str = ANYONE  # who asked first
    others: tuple[str, ...] = ()  # who asked for the same
    title: str | None = None
    provenance: Provenance = Provenance()
    options: dict[str, Any] | None = None
    created_at: datetime | None = None  # None: now


class Stored(msgspec.Struct, frozen=True):
    """A transcript without its segments. What is not known yet, or not at all, is None."""

    id: str
    owner: str
    state: State
    title: str | None
    provenance: Provenance
    source: Source | None
    captions: Captions | None
    language: str | None
    language_probability: float | None
    model: str | None
    options: dict[str, Any] | None
    duration_ms: int | None
    announced_ms: int | None  # the duration as its first event told it
    text: str | None  # in lists None
    text_sha256: str | None
    speech: Verdict | None
    reasons: tuple[Reason, ...]
    elapsed_ms: int | None
    error_code: str | None
    error_text: str | None
    created_at: datetime
    ended_at: datetime | None
    owners: frozenset[str] = frozenset()  # whoever has it; in lists not told


def new_id() -> str:
    """An id that nobody guesses."""
    return secrets.token_urlsafe(16)


def bytes_of(text: str, said: Sequence[Segment]) -> int:
    """About what a transcript takes: its text, and its segments as lines."""
    return len(text.encode("utf-8", "ignore")) + sum(len(line(segment)) for segment in said)


def stored_of(row: sa.Row[Any], owners: frozenset[str] = frozenset()) -> Stored:
    """A row of transcripts."""
    named = dict(row._mapping)
    del named["bytes"]
    provenance = Provenance(**{name: named.pop(name) for name in Provenance.__struct_fields__})
    return Stored(
        **named | {"provenance": provenance, "reasons": tuple(named["reasons"] or ()), "owners": owners}
    )


def head_of(stored: Stored) -> list[Info]:
    """Its first event, where one was written."""
    if stored.source is None:
        return []
    return [
        Info(
            id=stored.id,
            language=stored.language,
            language_probability=stored.language_probability,
            duration=_s(stored.announced_ms),
            model=stored.model,
            source=stored.source,
            captions=stored.captions,
        )
    ]


def end_of(stored: Stored, count: int) -> list[End | Failed]:
    """Its last event, if it has ended, behind so many segments."""
    match stored.state:
        case "COMPLETE":
            assert stored.duration_ms is not None
            assert stored.text_sha256 is not None
            assert stored.elapsed_ms is not None
            assert stored.speech is not None
            end = End(count, stored.duration_ms / 1000, stored.text_sha256, stored.elapsed_ms, stored.speech)
            return [msgspec.structs.replace(end, reasons=stored.reasons)]
        case "FAILED":
            return [Failed(stored.error_code or "", stored.error_text or "")]
        case "RUNNING":
            return []


def row_of(transcript_id: str, segment: Segment) -> dict[str, Any]:
    """A segment as its row."""
    return {
        "transcript_id": transcript_id,
        "number": segment.id,
        "start_ms": ms(segment.start),
        "end_ms": ms(segment.end),
        "text": segment.text,
        "folded": fold(segment.text),
        "avg_logprob": segment.avg_logprob,
        "no_speech_prob": segment.no_speech_prob,
        "compression_ratio": segment.compression_ratio,
        "words": None if segment.words is None else [msgspec.structs.asdict(word) for word in segment.words],
    }


def segment_of(row: sa.Row[Any]) -> Segment:
    """A row of segments."""
    return Segment(
        id=row.number,
        start=row.start_ms / 1000,
        end=row.end_ms / 1000,
        text=row.text,
        avg_logprob=row.avg_logprob,
        no_speech_prob=row.no_speech_prob,
        compression_ratio=row.compression_ratio,
        words=None if row.words is None else msgspec.convert(row.words, tuple[Word, ...]),
    )


def ms(seconds: float | None) -> int | None:
    """As rows have times."""
    return None if seconds is None else round(seconds * 1000)


def _s(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
