"""The analyzer's requests and answers: the documented examples are read, and written as they were."""

import inspect
import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.web.dialects.analyzer import models
from tests.vision.stand_in import ANALYSIS

URL = "https://www.tiktok.com/@user/video/1234567890"
AT = "2024-03-15T10:30:00Z"
METADATA = {
    "request_id": "req_00abc123", "api_version": "1.0.0", "timestamp": AT,
    "rate_limit": {"remaining": 59, "reset_at": AT}, "processing_time_ms": 3420,
}  # fmt: skip
VIDEO = {
    "url": URL, "platform": "tiktok", "title": "5 minute morning", "description": "Start your day",
    "duration": 23, "view_count": 2500000, "like_count": 45000, "comment_count": 1200, "share_count": 8500,
    "upload_date": "2024-03-10", "uploader": "username", "thumbnail_url": "https://p16-sign.tiktokcdn.com/x",
    "thumbnail_analysis": ANALYSIS, "extracted_at": AT, "processing_time_ms": 3420, "cache_hit": False,
    "warnings": [],
}  # fmt: skip
ERROR = {
    "code": "VIDEO_PRIVATE", "message": "The post is private.",
    "details": {"url": URL, "platform": "tiktok", "reason": "private"},
}  # fmt: skip
DOCUMENTED: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (models.Envelope[models.Video], {"success": True, "data": VIDEO, "metadata": METADATA}),
    (
        models.Envelope[models.Batch],
        {
            "success": True,
            "data": {
                "processed": [{"url": URL, "status": "success", "data": VIDEO, "error": None}],
                "failed": [{"url": URL, "status": "failed", "data": None, "error": ERROR}],
                "summary": {"total_requested": 2, "successful": 1, "failed": 1, "processing_time_ms": 8750},
            },
            "metadata": METADATA,
        },
    ),
    (models.Failure, {"success": False, "error": ERROR, "metadata": METADATA}),
    (models.Failure, {"success": False, "error": ERROR | {"details": None}, "metadata": METADATA}),
    (
        models.Health,
        {
            "status": "degraded", "timestamp": AT, "version": "1.0.0",
            "dependencies": {
                "yt_dlp": "healthy", "openai": "unhealthy", "redis": "not_configured", "database": "healthy",
                "whisper": "healthy",
            },
            "metrics": {"uptime_seconds": 86400, "requests_processed": 15420, "cache_hit_rate": 0.73},
        },
    ),
    (
        models.Platforms,
        {
            "platforms": [
                {"name": "TikTok", "domain": "tiktok.com", "supported_features": ["metadata"],
                 "url_patterns": ["tiktok.com/@{user}/video/{id}"]},
            ],
            "limitations": {
                "max_urls_per_batch": 3, "rate_limit_per_minute": 60, "max_video_duration": 3600.0,
            },
        },
    ),
    (
        models.Stats,
        {
            "service_stats": {
                "total_extractions": 10, "successful_extractions": 9, "failed_extractions": 1,
                "success_rate": 0.9, "avg_processing_time_ms": 812.5,
            },
            "platform_breakdown": {"tiktok": 10},
            "error_breakdown": {"VIDEO_PRIVATE": 1},
            "cache_stats": {
                "hit_rate": 0.5, "total_entries": 3, "memory_usage_mb": 0.1, "hit_count": 5, "miss_count": 5,
            },
        },
    ),
    (
        models.Envelope[models.Captions],
        {
            "success": True,
            "data": {
                "url": URL, "source": "creator", "language": "en", "text": "Hello world!",
                "segments": [{"start": 0.0, "end": 3.0, "text": "Hello world!"}],
                "available": [{"language": "en", "source": "creator"}],
            },
            "metadata": METADATA,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "document"), DOCUMENTED, ids=lambda one: getattr(one, "__name__", ""))
def test_a_documented_answer_is_read_and_written_alike(
    model: type[BaseModel], document: dict[str, Any]
) -> None:
    assert json.loads(model.model_validate_json(json.dumps(document)).model_dump_json()) == document


def every() -> list[type[BaseModel]]:
    return [
        one
        for _, one in inspect.getmembers(models, inspect.isclass)
        if issubclass(one, BaseModel) and one.__module__ == models.__name__
    ]


@pytest.mark.parametrize("model", every(), ids=lambda one: one.__name__)
def test_the_examples_of_each_model_are_right(model: type[BaseModel]) -> None:
    extra = model.model_config.get("json_schema_extra")
    for example in extra["examples"] if isinstance(extra, dict) else []:  # type: ignore[union-attr]
        read = model.model_validate_json(json.dumps(example))
        assert json.loads(read.model_dump_json(include=set(example))) == example  # type: ignore[arg-type]
    assert model.model_json_schema()  # for the OpenAPI document


def test_a_request_is_its_documented_defaults() -> None:
    for told in ({"url": URL}, {"url": URL, "include_thumbnail_analysis": None, "cache_ttl": None, "x": 1}):
        request = models.ExtractRequest.model_validate_json(json.dumps(told))
        assert (request.include_thumbnail_analysis, request.cache_ttl, request.language) == (True, 3600, None)
    batch = models.BatchRequest.model_validate_json(json.dumps({"urls": [URL] * 3}))
    assert (batch.include_thumbnail_analysis, batch.parallel_processing) == (True, True)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (models.ExtractRequest, {}),
        (models.ExtractRequest, {"url": None}),
        (models.ExtractRequest, {"url": ""}),
        (models.ExtractRequest, {"url": 5}),
        (models.ExtractRequest, {"url": "x" * 5000}),
        (models.ExtractRequest, {"url": URL, "cache_ttl": -1}),
        (models.ExtractRequest, {"url": URL, "cache_ttl": "3600"}),
        (models.ExtractRequest, {"url": URL, "include_thumbnail_analysis": "yes"}),
        (models.BatchRequest, {"urls": []}),
        (models.BatchRequest, {"urls": [URL] * 4}),
        (models.BatchRequest, {"urls": [None]}),
        (models.BatchRequest, {"urls": URL}),
        (models.TranscriptRequest, {"preferred_language": "id"}),
    ],
)
def test_what_no_request_is(model: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate_json(json.dumps(body))


def test_an_analysis_with_made_up_values_is_no_answer() -> None:
    with pytest.raises(ValidationError):
        models.Video.model_validate_json(json.dumps(VIDEO | {"thumbnail_analysis": {"setting": "kitchen"}}))
