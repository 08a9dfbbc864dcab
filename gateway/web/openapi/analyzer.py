"""The analyzer, and what tells of all routes, in the OpenAPI document. Pure."""

from gateway import errors
from gateway.web.dialects.analyzer.models import (
    Batch,
    BatchRequest,
    Captions,
    Envelope,
    ExtractRequest,
    Health,
    Last,
    Pictured,
    Platforms,
    Stats,
    TranscriptRequest,
    Video,
)
from gateway.web.openapi.doc import Answer, Content, Doc, json, lines, text
from gateway.web.openapi.failures import BODY, PAGE, STORED
from gateway.web.openapi.models.analyzer import FailedLine, ProcessedLine

DOCS = {
    "POST /extract": Doc(
        (Answer(200, "The post", json(Envelope[Pictured] | Envelope[Video], "extracted")),),
        errors=(*BODY, *PAGE),
        bodies=json(ExtractRequest, shown=({"url": "https://vm.tiktok.com/ZMabc123/", "cache_ttl": 600},)),
    ),
    "POST /extract/batch": Doc(
        (
            Answer(
                200,
                "What came of each url; as lines with `Accept: application/x-ndjson`",
                json(Envelope[Batch])
                | lines("application/x-ndjson", ProcessedLine | FailedLine | Last, "line"),
            ),
        ),
        errors=BODY,
        bodies=json(BatchRequest, "batch"),
    ),
    "POST /extract-transcript": Doc(
        (Answer(200, "The captions", json(Envelope[Captions], "captions")),),
        errors=(*BODY, *PAGE, errors.CaptionsUnavailable, errors.UpstreamFailed),
        bodies=json(TranscriptRequest),
    ),
    "GET /health": Doc((Answer(200, "How everything is", json(Health, "dependencies")),)),
    "GET /supported-platforms": Doc((Answer(200, "What is understood", json(Envelope[Platforms])),)),
    "GET /stats": Doc((Answer(200, "What was extracted", json(Envelope[Stats])),), errors=STORED),
    "GET /openapi.json": Doc(
        (
            Answer(
                200,
                "This document",
                {"application/json": Content(schema={"type": "object"})},
                ("ETag", "Cache-Control"),
            ),
            Answer(304, "The caller has it", headers=("ETag", "Cache-Control")),
        ),
        headers=("If-None-Match",),
    ),
    "GET /docs": Doc((Answer(200, "The page", text("text/html"), ("Cache-Control",)),)),
    "GET /docs/{asset}": Doc(
        (
            Answer(
                200,
                "The file",
                text("text/css") | text("text/javascript"),
                ("ETag", "Cache-Control"),
            ),
            Answer(304, "The caller has it", headers=("ETag", "Cache-Control")),
        ),
        errors=(errors.NotFound,),
        headers=("If-None-Match",),
    ),
}
