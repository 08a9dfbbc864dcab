"""TTTranscribe's answers, as models. Pure."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from gateway.web.openapi.models.numbers import Count, Seconds


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
