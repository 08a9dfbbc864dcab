"""The documented requests and answers of the analyzer's API, as values with examples. Pure.

Always: a request passes over fields that it does not know and takes null for what was left out; an
answer has each documented field, null where the site does not say, and no number that was not counted.
"""

from datetime import date
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from gateway.vision.analysis import Analysis

API_VERSION = "1.0.0"
URLS_MAX = 3  # of a batch
URL_CHARS_MAX = 4096
CACHE_TTL_S = 3600
CACHE_TTL_S_MAX = 30 * 24 * 3600

Data = TypeVar("Data")
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_URL = "https://www.tiktok.com/@user/video/7400000000000000001"
_AT = "2024-03-15T10:30:00Z"


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(strict=True, extra="ignore", json_schema_extra={"examples": list(examples)})


# Requests


class _Request(BaseModel):
    @field_validator("*", mode="wrap")
    @classmethod
    def _null_is_left_out(cls, value: Any, read: Any, info: Any) -> Any:
        field = cls.model_fields[info.field_name]
        return field.default if value is None and not field.is_required() else read(value)


class ExtractRequest(_Request):
    """POST /extract. `language` and `analyse_slides` are ours: what pictures are described in, and which."""

    model_config = _examples({"url": _URL, "include_thumbnail_analysis": True, "cache_ttl": CACHE_TTL_S})

    url: Url
    include_thumbnail_analysis: bool = True
    cache_ttl: int = Field(CACHE_TTL_S, ge=0, le=CACHE_TTL_S_MAX)
    language: str | None = None
    analyse_slides: bool = False


class BatchRequest(_Request):
    """POST /extract/batch."""

    model_config = _examples(
        {"urls": [_URL], "include_thumbnail_analysis": True, "parallel_processing": True}
    )

    urls: Annotated[list[Url], Field(min_length=1, max_length=URLS_MAX)]
    include_thumbnail_analysis: bool = True
    parallel_processing: bool = True
    language: str | None = None
    analyse_slides: bool = False


class StreamedBatchRequest(BatchRequest):
    """The same where results are streamed; how many there may be is a setting."""

    urls: Annotated[list[Url], Field(min_length=1)]


class TranscriptRequest(_Request):
    """POST /extract-transcript."""

    model_config = _examples({"url": _URL, "preferred_language": "id", "cache_ttl": CACHE_TTL_S})

    url: Url
    preferred_language: str | None = None
    cache_ttl: int = Field(CACHE_TTL_S, ge=0, le=CACHE_TTL_S_MAX)


# What surrounds an answer


class RateLimit(BaseModel):
    """What is left of the caller's minute."""

    model_config = _examples({"remaining": 59, "reset_at": _AT})

    remaining: Count
    reset_at: AwareDatetime


class Metadata(BaseModel):
    """About the request itself; `rate_limit` is null for callers without a limit."""

    model_config = _examples(
        {
            "request_id": "req_0123abcd", "api_version": API_VERSION, "timestamp": _AT,
            "rate_limit": {"remaining": 59, "reset_at": _AT}, "processing_time_ms": 3420,
        }
    )  # fmt: skip

    request_id: Annotated[str, Field(pattern=r"^req_[0-9a-f]{8}$")]
    api_version: str = API_VERSION
    timestamp: AwareDatetime
    rate_limit: RateLimit | None = None
    processing_time_ms: Count


class Envelope(BaseModel, Generic[Data]):
    """An answer that went well."""

    model_config = ConfigDict(strict=True)

    success: Literal[True] = True
    data: Data
    metadata: Metadata


class Details(BaseModel):
    """What a failure was about."""

    model_config = _examples({"url": _URL, "platform": "tiktok", "reason": "The post is private."})

    url: str | None = None
    platform: str | None = None
    reason: str | None = None


class Error(BaseModel):
    """A failure: one of the documented codes."""

    model_config = _examples(
        {"code": "VIDEO_PRIVATE", "message": "The post or its account is private.", "details": None}
    )

    code: str
    message: str
    details: Details | None = None


class Failure(BaseModel):
    """An answer that did not go well."""

    model_config = ConfigDict(strict=True)

    success: Literal[False] = False
    error: Error
    metadata: Metadata


# Answers

_VIDEO: dict[str, Any] = {
    "url": _URL, "platform": "tiktok", "title": "A morning in five minutes",
    "description": "Start the day with these #morning #routine", "duration": 23, "view_count": 2_500_000,
    "like_count": 45_000, "comment_count": 1_200, "share_count": 8_500, "upload_date": "2024-03-10",
    "uploader": "user", "thumbnail_url": "https://p16-sign.tiktokcdn.com/cover.jpeg",
    "thumbnail_analysis": None, "extracted_at": _AT, "processing_time_ms": 3420, "cache_hit": False,
    "warnings": [],
}  # fmt: skip


class Video(BaseModel):
    """A post. `warnings` is ours: codes of what failed without failing the rest."""

    model_config = _examples(_VIDEO)

    url: str
    platform: Literal["tiktok"] = "tiktok"
    title: str | None
    description: str | None
    duration: Count | None  # whole seconds
    view_count: Count | None
    like_count: Count | None
    comment_count: Count | None
    share_count: Count | None
    upload_date: date | None
    uploader: str | None
    thumbnail_url: str | None
    thumbnail_analysis: Analysis | None
    extracted_at: AwareDatetime
    processing_time_ms: Count
    cache_hit: bool
    warnings: tuple[str, ...] = ()


class Pictured(Video):
    """A post whose slides were to be looked at: null in the place of each that was not analysed."""

    model_config = _examples(_VIDEO | {"slide_analyses": [None]})

    slide_analyses: tuple[Analysis | None, ...] | None


class Processed(BaseModel):
    """One url of a batch that went well."""

    model_config = _examples({"url": _URL, "status": "success", "data": _VIDEO, "error": None})

    url: str
    status: Literal["success"] = "success"
    data: Pictured | Video
    error: None = None


class Failed(BaseModel):
    """One that did not."""

    model_config = _examples(
        {
            "url": _URL, "status": "failed", "data": None,
            "error": {"code": "VIDEO_PRIVATE", "message": "The post is private.", "details": None},
        }
    )  # fmt: skip

    url: str
    status: Literal["failed"] = "failed"
    data: None = None
    error: Error


class Summary(BaseModel):
    """A batch in numbers."""

    model_config = _examples({"total_requested": 3, "successful": 2, "failed": 1, "processing_time_ms": 8750})

    total_requested: Count
    successful: Count
    failed: Count
    processing_time_ms: Count


class Last(BaseModel):
    """The last line of a batch whose results are streamed."""

    model_config = ConfigDict(strict=True)

    summary: Summary
    metadata: Metadata


class Batch(BaseModel):
    """POST /extract/batch: both lists in the order of the urls."""

    model_config = ConfigDict(strict=True)

    processed: tuple[Processed, ...]
    failed: tuple[Failed, ...]
    summary: Summary


# Captions

Writer = Literal["creator", "recognised", "translated"]


class Segment(BaseModel):
    """A stretch of text; times in seconds."""

    model_config = _examples({"start": 0.0, "end": 3.2, "text": "Halo dunia!"})

    start: float
    end: float
    text: str


class Available(BaseModel):
    """Captions that there are."""

    model_config = _examples({"language": "id", "source": "creator"})

    language: str
    source: Writer


class Captions(BaseModel):
    """POST /extract-transcript: a post's own captions, and which others it has."""

    model_config = _examples(
        {
            "url": _URL, "source": "creator", "language": "id", "text": "Halo dunia!",
            "segments": [{"start": 0.0, "end": 3.2, "text": "Halo dunia!"}],
            "available": [{"language": "id", "source": "creator"}],
        }
    )  # fmt: skip

    url: str
    source: Writer
    language: str | None
    text: str
    segments: tuple[Segment, ...]
    available: tuple[Available, ...]


# The service itself

Dependency = Literal["healthy", "unhealthy", "not_configured"]


class Dependencies(BaseModel):
    """What the gateway needs, and how it is."""

    model_config = _examples(
        {"yt_dlp": "healthy", "openai": "not_configured", "redis": "not_configured", "database": "healthy",
         "whisper": "healthy"}
    )  # fmt: skip

    yt_dlp: Dependency
    openai: Dependency
    redis: Dependency
    database: Dependency
    whisper: Dependency


class HealthMetrics(BaseModel):
    """Since the start."""

    model_config = _examples({"uptime_seconds": 86_400, "requests_processed": 15_420, "cache_hit_rate": 0.73})

    uptime_seconds: Count
    requests_processed: Count
    cache_hit_rate: Share


class Health(BaseModel):
    """GET /health; it has no envelope."""

    model_config = ConfigDict(strict=True)

    status: Literal["healthy", "degraded"]
    timestamp: AwareDatetime
    version: str
    dependencies: Dependencies
    metrics: HealthMetrics


class Platform(BaseModel):
    """A site whose posts are understood."""

    model_config = _examples(
        {
            "name": "TikTok", "domain": "tiktok.com",
            "supported_features": ["metadata", "thumbnail_analysis"],
            "url_patterns": ["https://www.tiktok.com/@{user}/video/{id}", "https://vm.tiktok.com/{code}/"],
        }
    )  # fmt: skip

    name: str
    domain: str
    supported_features: tuple[str, ...]
    url_patterns: tuple[str, ...]


class Limitations(BaseModel):
    """What is bounded; `rate_limit_per_minute` is null for callers without a limit."""

    model_config = _examples(
        {"max_urls_per_batch": 3, "rate_limit_per_minute": 60, "max_video_duration": 3600}
    )

    max_urls_per_batch: Count = URLS_MAX
    rate_limit_per_minute: Count | None
    max_video_duration: float


class Platforms(BaseModel):
    """GET /supported-platforms."""

    model_config = ConfigDict(strict=True)

    platforms: tuple[Platform, ...]
    limitations: Limitations


class ServiceStats(BaseModel):
    """Extractions in numbers."""

    model_config = _examples(
        {"total_extractions": 100, "successful_extractions": 96, "failed_extractions": 4,
         "success_rate": 0.96, "avg_processing_time_ms": 812.5}
    )  # fmt: skip

    total_extractions: Count
    successful_extractions: Count
    failed_extractions: Count
    success_rate: Share
    avg_processing_time_ms: float


class CacheStats(BaseModel):
    """The cache in numbers."""

    model_config = _examples(
        {"hit_rate": 0.73, "total_entries": 12, "memory_usage_mb": 0.4, "hit_count": 73, "miss_count": 27}
    )

    hit_rate: Share
    total_entries: Count
    memory_usage_mb: float
    hit_count: Count
    miss_count: Count


class Stats(BaseModel):
    """GET /stats: of all gateways and for good, but for the cache; `error_breakdown` by code."""

    model_config = ConfigDict(strict=True)

    service_stats: ServiceStats
    platform_breakdown: dict[str, Count]
    error_breakdown: dict[str, Count]
    cache_stats: CacheStats
