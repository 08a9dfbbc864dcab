"""TTTranscribe in the OpenAPI document. Pure."""

from gateway import errors
from gateway.web.dialects.tttranscribe import Call, Malformed, Unfit, Unsigned
from gateway.web.openapi.doc import Answer, Doc, json
from gateway.web.openapi.failures import BODY, MEDIA, PAGE, SPEECH, STORED
from gateway.web.openapi.models import tttranscribe as models
from gateway.web.params import Invalid

_VERSION = Doc((Answer(200, "What runs", json(models.Version, "version")),))

DOCS = {
    "POST /api/transcribe": Doc(
        (Answer(200, "The words, once all of it was heard", json(models.Called, "called")),),
        errors=(
            Unsigned, Unfit, Malformed, errors.RateLimited, errors.QuotaExceeded, *PAGE, *MEDIA, *SPEECH,
            *STORED, *(one for one in BODY if one is not Invalid), Invalid,
        ),
        headers=("X-Timestamp", "X-Signature"),
        bodies=json(Call, "call"),
        security=("ApiKey",),
    ),
    "GET /api/health": Doc((Answer(200, "It lives", json(models.Alive, "health")),)),
    "GET /api/version": _VERSION,
    "GET /version": _VERSION,
    "GET /queue/status": Doc((Answer(200, "What runs and waits", json(models.Queue, "queue")),)),
    "GET /jobs": Doc((Answer(200, "The caller's jobs", json(models.Jobs, "jobs")),), errors=STORED),
    "GET /jobs/failed": Doc((Answer(200, "Those that failed", json(models.FailedJobs)),), errors=STORED),
    "POST /jobs/repair": Doc(
        (
            Answer(
                200,
                "How many were taken up",
                json(models.Repaired, shown=({"status": "ok", "repaired": 1},)),
            ),
        ),
        errors=STORED,
    ),
}  # fmt: skip
