"""What a gateway tells of transcripts, codes, jobs and posts; fields that are not known are passed over."""

from typing import Any

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
    """A transcript: `state` is pending, running, complete, failed or cancelled; times are UTC.

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
    """A transcript for a code, or one that was promised; what is not complete has no more than `id`."""

    id: str
    status: str
    duration_s: float | None = None
    charged_s: float | None = None
    text: str | None = None


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


class MediaHead(msgspec.Struct, frozen=True):
    """What a link holds; None where that is not told."""

    media_type: str | None
    length: int | None
    etag: str | None


class Live(msgspec.Struct, frozen=True):
    """Whether the process answers: `status` is ok."""

    status: str


class Ready(msgspec.Struct, frozen=True):
    """Whether a transcript would be taken up now: `status` is ok, or not ready; and why."""

    status: str
    speech: str
    database: str
    site: dict[str, Any]


class Heard(msgspec.Struct, frozen=True):
    """The words of a post, by a signed call."""

    request_id: str
    lang: str | None
    duration_sec: float
    transcript: str
    transcript_sha256: str
    source: dict[str, str | None]
    billed_tokens: int
    elapsed_ms: int
    job_id: str


class Job(msgspec.Struct, frozen=True):
    """A job: `status` is PENDING, RUNNING, COMPLETE or FAILED; times are unix seconds."""

    job_id: str
    status: str
    created_at: float
    updated_at: float
    url: str | None
    cache_hit: bool
    elapsed_ms: int | None
    error: str | None


class Jobs(msgspec.Struct, frozen=True):
    """How many jobs there are, and the newest."""

    total: int
    pending: int
    running: int
    complete: int
    failed: int
    recent: tuple[Job, ...]


class Post(msgspec.Struct, frozen=True):
    """What a post says of itself, None where it does not; a thumbnail's analysis is as the gateway has it."""

    url: str
    platform: str
    title: str | None
    description: str | None
    duration: int | None
    view_count: int | None
    like_count: int | None
    comment_count: int | None
    share_count: int | None
    upload_date: str | None
    uploader: str | None
    thumbnail_url: str | None
    thumbnail_analysis: dict[str, Any] | None
    extracted_at: str
    cache_hit: bool
    warnings: tuple[str, ...] = ()
    slide_analyses: tuple[dict[str, Any] | None, ...] | None = None


class Extracted(msgspec.Struct, frozen=True):
    """One url of a batch: `data` or `error`."""

    url: str
    status: str
    data: Post | None = None
    error: Problem | None = None


class Batch(msgspec.Struct, frozen=True):
    """Several urls, those that went well and those that did not, each list in the order of the urls."""

    processed: tuple[Extracted, ...]
    failed: tuple[Extracted, ...]
    summary: dict[str, int]


class Caption(msgspec.Struct, frozen=True):
    """A stretch of a post's own captions; times in seconds."""

    start: float
    end: float
    text: str


class Captions(msgspec.Struct, frozen=True):
    """A post's own captions; `source` is who wrote them, `available` which there are."""

    url: str
    source: str
    language: str | None
    text: str
    segments: tuple[Caption, ...]
    available: tuple[dict[str, str], ...]
