"""Answers and failures that handlers write by hand, as models: for the document, and held against what is
really answered by the tests. Pure.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, RootModel

from gateway.store.codes import State as CodeState
from gateway.web.dialects.analyzer import models as analyzer_models
from gateway.wire.events import Source, Verdict

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


# Downloads


class PlannedPart(BaseModel):
    """A part that a download would send; null is what nobody knows before."""

    name: str | None
    kind: Literal["video", "image", "sound"]
    media_type: str | None
    bytes: Count | None
    duration: Seconds | None
    width: Count | None
    height: Count | None
    codec: str | None
    watermark: bool
    cached: bool


class PlannedPost(BaseModel):
    """A post and its parts."""

    id: str
    url: str
    kind: Literal["video", "photo"]
    author: str
    title: str
    duration: Seconds | None
    links_expire_at: float | None
    parts: list[PlannedPart]


class Plan(BaseModel):
    """What a download would send."""

    posts: list[PlannedPost]


class Meta(BaseModel):
    """`Content-Meta`, once it is decoded."""

    title: str
    desc: str


# Transcripts


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


# Codes


class IssuedCode(BaseModel):
    """A new code, this once with its letters."""

    id: str
    code: str


class Issued(BaseModel):
    """New codes."""

    codes: list[IssuedCode]
    seconds: Seconds
    expires_at: AwareDatetime | None


class Credit(BaseModel):
    """What a code is worth now."""

    credit_s: Seconds
    held_s: Seconds
    used_s: Seconds
    state: CodeState


class Code(Credit):
    """A code."""

    id: str
    seconds: Seconds
    created_at: AwareDatetime
    expires_at: AwareDatetime | None


class Codes(BaseModel):
    """A page of codes; `next` is the `after` of the one that follows."""

    codes: list[Code]
    next: str | None


# Status


class Live(BaseModel):
    """That the process answers."""

    status: Literal["ok"]


class Exit(BaseModel):
    """A way to the site."""

    exit: Count
    state: Literal["ok", "resting"]
    code: str | None
    failures: Count
    rests_s: Count


class Site(BaseModel):
    """What came of reading the canary's post."""

    state: Literal["ok", "changed", "blocked", "unreachable", "unknown"]
    code: str | None
    at: AwareDatetime | None
    exits: list[Exit]


class Ready(BaseModel):
    """Whether a transcript would be accepted now."""

    status: Literal["ok", "not ready"]
    speech: Literal["ok", "full", "stopping", "fetching or loading the model"]
    database: Literal["ok", "away"]
    site: Site


class Root(BaseModel):
    """That it runs, and where to read on."""

    message: str
    version: str
    docs: str


# OpenAI


class Usage(BaseModel):
    """What would be counted."""

    type: Literal["duration"]
    seconds: Seconds


class Spoken(BaseModel):
    """`json`."""

    text: str
    usage: Usage


class VerboseSegment(BaseModel):
    """A segment of `verbose_json`."""

    id: Count
    seek: Count
    start: Seconds
    end: Seconds
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None


class VerboseWord(BaseModel):
    """A word of `verbose_json`."""

    word: str
    start: Seconds
    end: Seconds


class Verbose(Spoken):
    """`verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: Seconds
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None


class Delta(BaseModel):
    """A segment's text, as soon as it is known."""

    type: Literal["transcript.text.delta"]
    delta: str


class Done(BaseModel):
    """The last event of a stream: all of the text."""

    type: Literal["transcript.text.done"]
    text: str
    usage: Usage


class OpenaiFault(BaseModel):
    """What is wrong, and with which field."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class Broken(BaseModel):
    """The last event of a stream that broke."""

    type: Literal["error"]
    error: OpenaiFault


class Streamed(RootModel[Delta | Done | Broken]):
    """An event of a stream."""


class Model(BaseModel):
    """A name of the speech model."""

    id: str
    object: Literal["model"]
    created: Count
    owned_by: str


class Models(BaseModel):
    """Its names."""

    object: Literal["list"]
    data: list[Model]


# TTTranscribe


class From(BaseModel):
    """The post that was heard."""

    canonical_url: str | None
    video_id: str | None


class Called(BaseModel):
    """The words of a post."""

    request_id: str
    status: Literal["ok"]
    lang: str | None
    duration_sec: Seconds
    transcript: str
    transcript_sha256: str
    source: From
    billed_tokens: Literal[0, 1]
    elapsed_ms: Count
    ts: AwareDatetime
    job_id: str


class Job(BaseModel):
    """A job; one that was cancelled is told as failed."""

    job_id: str
    status: Literal["PENDING", "RUNNING", "COMPLETE", "FAILED"]
    created_at: float
    updated_at: float
    url: str | None
    cache_hit: bool
    elapsed_ms: Count | None
    error: str | None


class Jobs(BaseModel):
    """How many jobs there are, and the newest."""

    total: Count
    pending: Count
    running: Count
    complete: Count
    failed: Count
    recent: list[Job]


class FailedJobs(BaseModel):
    """The newest jobs that failed."""

    jobs: list[Job]


class Repaired(BaseModel):
    """How many jobs were taken up."""

    status: Literal["ok"]
    repaired: Count


class Load(BaseModel):
    """How much is at work and how much waits."""

    queue_size: Count
    active_jobs: Count
    estimated_wait_time: Seconds
    status: Literal["idle", "busy"]


class Queue(BaseModel):
    """The queue."""

    status: Literal["ok"]
    timestamp: AwareDatetime
    msg: Literal["estimation"]
    event_id: None
    rank: Count
    queue_size: Count
    rank_eta: Seconds
    queue: Load


class Build(BaseModel):
    """What the server was built of."""

    git_sha: str | None
    time: str | None


class Alive(BaseModel):
    """That the server lives."""

    status: Literal["ok"]
    timestamp: AwareDatetime
    build: Build


class Version(BaseModel):
    """What runs, and since when."""

    git_sha: str | None
    started_at: AwareDatetime
    build_time: str | None
    version: str


# The analyzer


class ProcessedLine(analyzer_models.Processed):
    """One url of a streamed batch that went well, with its place."""

    index: Count


class FailedLine(analyzer_models.Failed):
    """One that did not."""

    index: Count


# Failures


class NativeFault(BaseModel):
    """A code that stays, and words that may change."""

    code: str
    message: str
    request_id: str


class NativeError(BaseModel):
    """A failure on a native path, and of what is no HTTP on any."""

    error: NativeFault


class Place(BaseModel):
    """Where a body or a query is wrong, and how."""

    loc: list[str | int]
    msg: str
    type: str


class TtsaveError(BaseModel):
    """A failure in the words of TTSave, with ours beside them."""

    detail: str
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class TtsaveInvalid(BaseModel):
    """A body of another shape."""

    message: Literal["Validation Error"]
    detail: list[Place]


class TttranscribeError(BaseModel):
    """A failure in the words of TTTranscribe."""

    detail: str
    error: str | None = None
    code: str | None = None
    request_id: str | None = None


class OpenaiError(BaseModel):
    """A failure as OpenAI tells it."""

    error: OpenaiFault
