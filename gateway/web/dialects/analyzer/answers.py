"""What surrounds the analyzer's answers: the envelope, and errors as documented."""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from gateway.errors import (
    BodyTooSlow,
    Busy,
    GatewayError,
    InvalidUrl,
    OriginRefused,
    PostRefused,
    UpstreamFailed,
    UpstreamTimeout,
)
from gateway.web.admission import VERDICT
from gateway.web.dialects.analyzer.models import Details, Envelope, Error, Failure, Metadata, RateLimit
from gateway.web.middleware import BEGAN, ID, Dialect

PLATFORM = "tiktok"
ABOUT = web.RequestKey("about", str)  # the one address that a request is about

_OF_A_POST = (InvalidUrl, PostRefused, OriginRefused, UpstreamFailed, UpstreamTimeout)


def enveloped(request: web.Request, data: BaseModel) -> web.Response:
    """The answer around its data."""
    answer = Envelope(data=data, metadata=metadata(request))
    return web.Response(body=answer.model_dump_json().encode(), content_type="application/json")


def metadata(request: web.Request) -> Metadata:
    """About a request, as it is now. Its id begins that of the log."""
    return Metadata(
        request_id=f"req_{request[ID][:8]}",
        timestamp=datetime.now(UTC),
        rate_limit=rate_limit_of(request),
        processing_time_ms=elapsed_ms(request[BEGAN]),
    )


def rate_limit_of(request: web.Request) -> RateLimit | None:
    """What is left to the caller; None for one who is not counted."""
    verdict = request.get(VERDICT)
    if verdict is None:
        return None
    reset_at = datetime.now(UTC) + timedelta(seconds=math.ceil(verdict.reset_s))
    return RateLimit(remaining=verdict.remaining, reset_at=reset_at)


def elapsed_ms(began: float) -> int:
    """Whole milliseconds since then."""
    return round((time.monotonic() - began) * 1000)


def code_of(failure: GatewayError) -> str:
    """The documented code of a failure."""
    match failure:
        case UpstreamTimeout() | BodyTooSlow():
            return "TIMEOUT"
        case Busy():
            return "SERVICE_UNAVAILABLE"
        case _:
            return failure.code


def error(failure: GatewayError, url: str | None) -> Error:
    """A failure, of a post if a url is told."""
    details = None
    if url is not None and isinstance(failure, _OF_A_POST):
        platform = None if isinstance(failure, InvalidUrl) else PLATFORM
        details = Details(url=url, platform=platform, reason=failure.message)
    return Error(code=code_of(failure), message=failure.message, details=details)


def shape(failure: GatewayError, request_id: str) -> tuple[int, Any]:
    """An error's status as documented; `around` says the rest."""
    return 408 if isinstance(failure, UpstreamTimeout) else failure.status, None


def _around(request: web.Request, failure: GatewayError, _: Any) -> Any:
    told = Failure(error=error(failure, request.get(ABOUT)), metadata=metadata(request))
    return told.model_dump(mode="json")


ANALYZER = Dialect("analyzer", shape, _around)
