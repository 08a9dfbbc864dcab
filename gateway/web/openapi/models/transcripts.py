"""Transcripts, as models. Pure."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from gateway.web.openapi.models.numbers import Count, Seconds
from gateway.wire.events import Source, Verdict


class Promised(BaseModel):
    """A transcript that will be."""

    id: str
    status: Literal["pending"]


class Trouble(BaseModel):
    """Why a transcript has no end."""

    code: str
    message: str


class Waiting(BaseModel):
    """Where a transcript stands that is at work, or waits for it."""

    position: Count
    wait_s: Seconds | None
    bytes: Count
    bytes_total: Count | None


State = Literal["pending", "running", "complete", "failed", "cancelled"]


class Listed(BaseModel):
    """A transcript in a list."""

    id: str
    state: State
    title: str | None
    url: str | None
    language: str | None
    duration: Seconds | None
    source: Source | None
    speech: Verdict | None
    text_sha256: str | None
    created_at: AwareDatetime
    ended_at: AwareDatetime | None
    error: Trouble | None


class Standing(Listed):
    """Where a transcript stands."""

    events: Count
    segments: Count
    standing: Waiting | None


class Transcripts(BaseModel):
    """A page of a caller's transcripts; `next` is the `after` of the one that follows."""

    transcripts: list[Listed]
    next: str | None


class Hit(BaseModel):
    """A segment in which something was said."""

    id: str
    title: str | None
    segment: Count
    start: Seconds
    end: Seconds
    text: str


class Hits(BaseModel):
    """A page of what was found."""

    hits: list[Hit]
    next: str | None


class DocumentSegment(BaseModel):
    """A segment of a document; captions have no scores, and words come where they were asked for."""

    id: Count
    start: Seconds
    end: Seconds
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    words: list["DocumentWord"] | None = None


class DocumentWord(BaseModel):
    """A word and its time."""

    start: Seconds
    end: Seconds
    word: str
    probability: float


class Document(BaseModel):
    """A transcript as one document: with `text` and what follows it, or with `error` in their place."""

    id: str | None = None
    language: str | None = None
    language_probability: float | None = None
    model: str | None = None
    source: Source | None = None
    captions: Literal["recognised", "translated", "creator"] | None = None
    segments: list[DocumentSegment]
    text: str | None = None
    duration: Seconds | None = None
    text_sha256: str | None = None
    elapsed_ms: Count | None = None
    speech: Verdict | None = None
    reasons: list[str] | None = None
    error: Trouble | None = None


class Bought(BaseModel):
    """The transcript of an upload that a code paid for."""

    id: str
    status: Literal["complete", "running"]
    duration_s: Seconds | None
    charged_s: Seconds | None
    text: str | None


class Told(BaseModel):
    """What a webhook is told."""

    id: str
    status: Literal["complete", "failed", "cancelled"]
    error: Trouble | None
