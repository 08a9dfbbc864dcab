"""The native routes in the OpenAPI document. Pure."""

from typing import Any

from pydantic import BaseModel, Field

from gateway import errors
from gateway.web import bought, params
from gateway.web.accept import NotAcceptable
from gateway.web.dialects import credits
from gateway.web.openapi.doc import Answer, Content, Doc, binary, events, fields, json, lines, text
from gateway.web.openapi.failures import BODY, MEDIA, PAGE, SPEECH, STORED
from gateway.web.openapi.models import codes, status, transcripts
from gateway.web.transcripts import Asked, Change

_FORMATS = ["ndjson", "sse", "vtt", "srt", "txt", "text", "json"]
_FILES = binary("video/mp4", "image/jpeg", "image/png", "image/webp", "image/heic", "audio/mpeg", "audio/mp4")
_RAW = binary("audio/*", "video/*", "application/ogg", "application/octet-stream")
_FILE = {"type": "string", "format": "binary"}

VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:03.220\nWelcome to the old lighthouse on the North Shore\n\n"
SRT = "1\n00:00:00,000 --> 00:00:03,220\nWelcome to the old lighthouse on the North Shore\n\n"
WORDS = "Welcome to the old lighthouse on the North Shore"
EVENTS = ("info", "captions_info", "segment", "end", "error", "progress")
FORMS = {
    "vtt": text("text/vtt", VTT),
    "srt": text("application/x-subrip", SRT),
    "txt": text("text/plain", WORDS),
    "json": json(transcripts.Document, "document"),
}
TRANSCRIPT = {
    **lines("application/x-ndjson", "Event", *EVENTS),
    **events("Event"),
    **FORMS["vtt"], **FORMS["srt"], **FORMS["txt"], **FORMS["json"],
}  # fmt: skip


def media(model: type[BaseModel], **more: Any) -> dict[str, Content]:
    """Bodies of media: as they are, or a form's `file` beside its fields."""
    return {"multipart/form-data": form(model, **more), **_RAW}


def form(model: type[BaseModel], *but: str, **more: Any) -> Content:
    """A form with a file, and with all fields of a model `but` some."""
    required = [*model.model_json_schema().get("required", ()), "file"]
    told = {name: schema for name, schema in fields(model).items() if name not in but}
    properties = told | more | {"file": _FILE}
    return Content(schema={"type": "object", "properties": properties, "required": required})


_PAGE = text("text/html")
_ASSETS = text("text/css") | text("text/javascript") | binary("image/svg+xml")


def _page(says: str, contents: dict[str, Content], *failures: type[errors.GatewayError]) -> Doc:
    """A file of the page, for a route that tells it."""
    kept = ("ETag", "Cache-Control")
    answers = (Answer(200, says, contents, kept), Answer(304, "The caller has it", headers=kept))
    return Doc(answers, errors=failures, headers=("If-None-Match",))


class _Of(params.SpeechWish):
    """The query of POST /transcribe."""

    format: str | None = Field(
        None, description="The form of the answer.", json_schema_extra={"enum": [*_FORMATS]}
    )


class _Events(BaseModel):
    """The query of a transcript's events."""

    format: str | None = Field(
        None, description="The form of the answer.", json_schema_extra={"enum": [*_FORMATS]}
    )
    after: int | None = Field(None, ge=-1, description="The last event that the caller has.")


DOCS = {
    "GET /media/{token}/{name}": Doc(
        (
            Answer(
                200,
                "The file, while it may still be arriving",
                _FILES,
                ("Content-Disposition", "Accept-Ranges", "ETag", "Cache-Control"),
            ),
            Answer(
                206,
                "A range of it",
                _FILES,
                ("Content-Range", "Content-Disposition", "Accept-Ranges", "ETag", "Cache-Control"),
            ),
        ),
        errors=(errors.LinkExpired, errors.OutOfRange, *PAGE, *MEDIA),
        headers=("Range", "If-Range"),
    ),
    "HEAD /media/{token}/{name}": Doc(
        (
            Answer(
                200,
                "The head of the file",
                headers=("Content-Disposition", "Accept-Ranges", "ETag", "Cache-Control"),
            ),
        ),
        errors=(errors.LinkExpired, *PAGE, *MEDIA),
    ),
    "POST /transcribe": Doc(
        (
            Answer(
                200,
                "The words, each segment as soon as it is recognised",
                TRANSCRIPT,
                ("Transcript-Id", "Cache-Control"),
            ),
            Answer(
                202,
                "With `wait` false: where they will be",
                json(transcripts.Promised, "promised"),
                ("Location", "Cache-Control"),
            ),
        ),
        errors=(*BODY, *PAGE, *MEDIA, *SPEECH, *STORED, NotAcceptable),
        about="A post by its `url`, or media in the body; the options of media go into the query or the form,"
        " those of a post into the JSON.",
        query=_Of,
        bodies={
            **json(
                params.TranscribeWish,
                "transcribe",
                shown=({"url": "https://vm.tiktok.com/ZMabc123/", "source": "captions", "language": "es"},),
            ),
            **media(params.SpeechWish),
        },
    ),
    "POST /transcripts": Doc(
        (
            Answer(
                201,
                "Once the transcript is kept and the code is spent on it",
                json(transcripts.Bought, "bought"),
                ("Location", "Cache-Control"),
            ),
            Answer(
                202,
                "With `wait` 0: it is at work",
                json(transcripts.Bought, "running"),
                ("Location", "Cache-Control"),
            ),
        ),
        errors=(
            *BODY,
            *SPEECH,
            *STORED,
            errors.ApiKeyInvalid,
            errors.CodeUnknown,
            errors.CodeUsed,
            errors.CodeHeld,
            errors.CodeRevoked,
            errors.CodeExpired,
            errors.HoldLost,
            errors.CreditTooSmall,
            errors.AudioTooLong,
            errors.NotAudio,
            errors.UpstreamFailed,
        ),
        query=bought.Wish,
        headers=("Idempotency-Key",),
        bodies=media(bought.Wish, code={"type": "string", "description": "The code."}),
        security=("AuthCode",),
    ),
    "GET /transcripts/{id}/events": Doc(
        (
            Answer(200, "What came after that event and what comes", TRANSCRIPT, ("Transcript-Id",)),
            Answer(204, "After the last event: there is no more to come"),
        ),
        errors=(errors.BadRequest, errors.NotFound, NotAcceptable, *SPEECH, *MEDIA, *PAGE, *STORED),
        query=_Events,
        headers=("Last-Event-ID",),
    ),
    "GET /transcripts/{id}.{form}": Doc(
        (
            Answer(
                200,
                "The transcript in that form",
                FORMS["vtt"] | FORMS["srt"] | FORMS["txt"] | FORMS["json"],
                ("Transcript-Id",),
            ),
        ),
        errors=(errors.NotFound, *SPEECH, *MEDIA, *PAGE, *STORED),
    ),
    "GET /transcripts/{id}": Doc(
        (Answer(200, "Where it stands", json(transcripts.Standing, "standing"), ("Cache-Control",)),),
        errors=(errors.NotFound, *STORED),
    ),
    "PATCH /transcripts/{id}": Doc(
        (Answer(200, "Where it stands now", json(transcripts.Standing, "standing"), ("Cache-Control",)),),
        errors=(*BODY, errors.ApiKeyInvalid, errors.NotFound, errors.Ended, *STORED),
        bodies=json(Change, "change"),
        security=("ApiKey", "Bearer"),
    ),
    "DELETE /transcripts/{id}": Doc(
        (Answer(204, "It is removed"),),
        errors=(errors.ApiKeyInvalid, errors.NotFound, *STORED),
        security=("ApiKey", "Bearer"),
    ),
    "GET /transcripts": Doc(
        (
            Answer(
                200,
                "A page of them; with `q` of what was said in them",
                json(transcripts.Transcripts | transcripts.Hits, "list", "hits"),
                ("Cache-Control",),
            ),
        ),
        errors=(params.Invalid, *STORED),
        query=Asked,
    ),
    "POST /codes": Doc(
        (Answer(201, "The codes, this once with their letters", json(codes.Issued, "issued")),),
        errors=(*BODY, *STORED),
        bodies=json(credits.Order, shown=({"count": 1, "seconds": 3600},)),
    ),
    "GET /codes": Doc(
        (Answer(200, "A page of codes", json(codes.Codes)),),
        errors=(params.Invalid, *STORED),
        query=credits.Place,
    ),
    "GET /codes/{id}/credit": Doc(
        (Answer(200, "What it is worth", json(codes.Credit, "credit")),), errors=(errors.NotFound, *STORED)
    ),
    "GET /codes/{id}": Doc(
        (Answer(200, "The code", json(codes.Code, "code")),), errors=(errors.NotFound, *STORED)
    ),
    "PATCH /codes/{id}": Doc(
        (Answer(200, "The code as it is now", json(codes.Code, "code")),),
        errors=(*BODY, errors.NotFound, errors.CodeUsed, *STORED),
        bodies=json(credits.Wish, shown=({"state": "revoked"},)),
    ),
    "DELETE /codes/{id}": Doc((Answer(204, "It is forgotten"),), errors=(errors.NotFound, *STORED)),
    "GET /live": Doc((Answer(200, "The process answers", json(status.Live, "live")),)),
    "GET /ready": Doc(
        (
            Answer(200, "A transcript would be accepted now", json(status.Ready)),
            Answer(503, "It would not, and why", json(status.Ready, "ready")),
        )
    ),
    "GET /metrics": Doc(
        (Answer(200, "Numbers for Prometheus", text("text/plain"), ("Cache-Control",)),),
        errors=(errors.ApiKeyInvalid, errors.NotFound, *STORED),
        security=("ApiKey", "Bearer"),
    ),
    "GET /": Doc(
        (
            Answer(200, "That it runs; to browsers, the page", json(status.Root, "root") | _PAGE, ("Vary",)),
            Answer(304, "The browser has the page", headers=("ETag", "Cache-Control", "Vary")),
        ),
        headers=("If-None-Match",),
    ),
    "GET /ui": _page("The page", _PAGE),
    "HEAD /ui": _page("The head of the page", {}),
    "GET /ui/": Doc((Answer(308, "It is at `/ui`", headers=("Location",)),)),
    "GET /ui/{file}": _page("The file", _ASSETS, errors.NotFound),
    "HEAD /ui/{file}": _page("The head of the file", {}, errors.NotFound),
}
