"""What a gateway tells of transcripts, codes and posts; fields that are not known are passed over."""

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """Why a transcript has failed."""

    code: str
    message: str


class Standing(msgspec.Struct, frozen=True):
    """Where a waiting transcript stands."""

    position: int
    wait_s: float | None
    bytes: int
    bytes_total: int | None


class Transcript(msgspec.Struct, frozen=True):
    """A transcript: `state` is running, complete, failed or cancelled; times are UTC.

    `events`, `segments` and `standing` are not told in lists.
    """

    id: str
    state: str
    title: str | None
    url: str | None
    language: str | None
    duration: float | None
    source: str | None
    speech: str | None
    text_sha256: str | None
    created_at: str
    ended_at: str | None
    error: Problem | None
    events: int | None = None
    segments: int | None = None
    standing: Standing | None = None


class TranscriptPage(msgspec.Struct, frozen=True):
    """Transcripts, newest first; `next` is the `after` of the page that follows."""

    transcripts: tuple[Transcript, ...]
    next: str | None


class Hit(msgspec.Struct, frozen=True):
    """A segment that has what was searched for."""

    id: str
    title: str | None
    segment: int
    start: float
    end: float
    text: str


class HitPage(msgspec.Struct, frozen=True):
    """Hits; `next` is the `after` of the page that follows."""

    hits: tuple[Hit, ...]
    next: str | None


class Submitted(msgspec.Struct, frozen=True):
    """The transcript of an upload, for a code; running ones have no more than `id`."""

    id: str
    status: str
    duration_s: float | None
    charged_s: float | None
    text: str | None


class Credit(msgspec.Struct, frozen=True):
    """What a code is worth now: `state` is active, held, used, revoked or expired."""

    credit_s: float
    held_s: float
    used_s: float
    state: str


class Code(msgspec.Struct, frozen=True):
    """A code without its letters."""

    id: str
    seconds: float
    created_at: str
    expires_at: str | None
    credit_s: float
    held_s: float
    used_s: float
    state: str


class CodePage(msgspec.Struct, frozen=True):
    """Codes, newest first; `next` is the `after` of the page that follows."""

    codes: tuple[Code, ...]
    next: str | None


class NewCode(msgspec.Struct, frozen=True):
    """A code with its letters, which are told once."""

    id: str
    code: str


class NewCodes(msgspec.Struct, frozen=True):
    """Codes that were issued."""

    codes: tuple[NewCode, ...]
    seconds: float
    expires_at: str | None


class PlannedPart(msgspec.Struct, frozen=True):
    """A part that a download would send; what is not known before is None."""

    name: str | None
    kind: str
    media_type: str | None
    bytes: int | None
    duration: float | None
    width: int | None
    height: int | None
    codec: str | None
    watermark: bool
    cached: bool


class PlannedPost(msgspec.Struct, frozen=True):
    """A post that a download would send."""

    id: str
    url: str
    kind: str
    author: str
    title: str
    duration: float | None
    links_expire_at: float | None
    parts: tuple[PlannedPart, ...]


class Plan(msgspec.Struct, frozen=True):
    """What a download would send."""

    posts: tuple[PlannedPost, ...]
