"""TTTranscribe: signed calls for the words of a post, their jobs, and how busy the server is.

Always: what is wrong with a call is told in the documented order; a signature is answered once.
"""

import asyncio
import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway import __version__
from gateway.errors import (
    ApiKeyInvalid,
    BadRequest,
    Forbidden,
    GatewayError,
    Internal,
    InvalidUrl,
    OriginRefused,
    PostRefused,
    RateLimited,
    UpstreamTimeout,
)
from gateway.media import links
from gateway.settings import Settings
from gateway.speech.transcripts import Options, Transcript
from gateway.store import register
from gateway.store.jobs import Job
from gateway.store.register import Entry
from gateway.web import admission, auth, params
from gateway.web.auth import CALLER, Caller
from gateway.web.keys import GATEWAY
from gateway.web.middleware import ID, Dialect
from gateway.wire.events import Failed, Info
from gateway.wiring import Gateway

SIGNED = b"POST\n/api/transcribe\n"  # constants, whatever prefix the server is mounted on
SKEW_MS = 300_000
REPLAY_S = 2 * SKEW_MS / 1000  # what is older is refused for its age
URL_CHARS_MAX = 4096
HEARD = Options()  # what a model hears, without a wish of the caller's


class Unsigned(ApiKeyInvalid):
    """A call whose headers do not tell who signed it."""


class Unfit(Forbidden):
    """A signature that is not, or not any more, good."""


class Malformed(BadRequest):
    """A call that cannot be read."""


class Call(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(strict=True, extra="ignore")

    url: str = Field(max_length=URL_CHARS_MAX)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Checks who signed the call, then what it asks for, then answers it once."""
    gateway = request.app[GATEWAY]
    sent_at, signature = await _headers(request)
    body = await params.raw(request, gateway.settings)
    _check_signature(gateway.settings, body, sent_at, signature)
    name = f"signature {signature}"
    once = gateway.settings.replay_refused
    if once and await gateway.seen.has(name):
        raise Unfit("Signature already used")
    url = _url(body)

    async def answer(request: web.Request) -> web.StreamResponse:
        told = await _told(request, url)
        if once and not await gateway.seen.add(name, REPLAY_S):
            raise Unfit("Signature already used")  # by one that was quicker
        return _json(told)

    caller = request[CALLER]
    await admission.rate(request, caller)
    with admission.places(request, caller):
        await admission.quota(request, caller, speech=True)
        return await admission.counted(request, answer, caller)


async def _headers(request: web.Request) -> tuple[str, str]:
    """When the call was signed, and the signature; the key tells whose it is.

    Raises Unsigned, Malformed, Unfit.
    """
    key = request.headers.get("X-API-Key", "")
    account = await auth.signer(request.app[GATEWAY], key) if key else None
    if account is None:
        raise Unsigned("Missing or unknown X-API-Key header")
    auth.known(request, account)
    sent_at, signature = request.headers.get("X-Timestamp"), request.headers.get("X-Signature")
    if not sent_at or not signature:
        raise Unsigned("Missing X-Timestamp or X-Signature header")
    if not re.fullmatch(r"-?[0-9]{1,18}", sent_at):
        raise Malformed("Invalid timestamp header")
    if abs(time.time() * 1000 - int(sent_at)) > SKEW_MS:
        raise Unfit("Timestamp skew too large")
    return sent_at, signature


def _check_signature(settings: Settings, body: bytes, sent_at: str, signature: str) -> None:
    assert settings.api_secret is not None  # or nobody would have a key to sign with
    secret = settings.api_secret.get_secret_value().encode()
    right = hmac.new(secret, SIGNED + body + b"\n" + sent_at.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogateescape")):
        raise Unfit("Invalid signature")


def _url(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("Malformed body encoding") from None
    try:
        return Call.model_validate(orjson.loads(text)).url
    except (orjson.JSONDecodeError, ValidationError):
        raise Malformed("Malformed JSON body") from None


async def _told(request: web.Request, url: str) -> dict[str, Any]:
    """The documented answer; the call is a job, whichever transcript it is answered by."""
    gateway, caller, began = request.app[GATEWAY], request[CALLER], time.monotonic()
    job, known = register.new_id(), {"url": url}
    gateway.register.begin(
        Entry(job, datetime.now(UTC), owner=caller.account.id, payload=known, kind=register.CALL)
    )
    try:
        transcript, stored = await _transcript(gateway, url, caller)
        end = await transcript.end()
    except GatewayError as failure:
        failed = Failed(failure.code, failure.message)
        gateway.register.end(job, "FAILED", failed, payload=known | _cost(began, stored=False))
        raise
    except asyncio.CancelledError:
        gateway.register.end(job, "CANCELLED")
        raise
    except Exception:
        gateway.register.end(job, "FAILED", Failed(Internal.code, Internal.text))
        raise
    cost = _cost(began, stored=stored)
    gateway.register.end(job, "COMPLETE", payload=known | cost)
    info = transcript.events[0]
    assert isinstance(info, Info)
    return {
        "request_id": request[ID],
        "status": "ok",
        "lang": info.language,
        "duration_sec": end.duration,
        "transcript": transcript.text,
        "transcript_sha256": end.text_sha256,
        "source": {"canonical_url": transcript.origin.url, "video_id": transcript.origin.post_id},
        "billed_tokens": 0 if stored else 1,
        "elapsed_ms": cost["elapsed_ms"],
        "ts": _iso(datetime.now(UTC)),
        "job_id": job,
    }


async def _transcript(gateway: Gateway, url: str, caller: Caller) -> tuple[Transcript, bool]:
    """What is heard in a post, and whether it was heard before: then no page is read for it."""
    owner, address = caller.account.id, links.find(url)
    if address.post_id is not None:
        there = await gateway.library.heard_before(address.post_id, HEARD, owner=owner)
        if there is not None:
            return there, True
    post = await gateway.extractor.find(url)
    if address.post_id is None:
        there = await gateway.library.heard_before(post.id, HEARD, owner=owner)
        if there is not None:
            return there, True
    transcript = gateway.hearing.transcript(post, HEARD, owner=owner, registered=False)
    return transcript, transcript.whole


def _cost(began: float, *, stored: bool) -> dict[str, Any]:
    return {"cache_hit": stored, "elapsed_ms": round((time.monotonic() - began) * 1000)}


# Jobs


async def jobs(request: web.Request) -> web.Response:
    """How many jobs there are in each state, and the newest."""
    gateway, owner = request.app[GATEWAY], auth.own(request)
    await gateway.register.settled()
    counts = await gateway.jobs.counts(owner=owner)
    recent = await gateway.jobs.recent(owner=owner)
    return _json(
        {
            "total": counts.total,
            "pending": counts.pending,
            "running": counts.running,
            "complete": counts.complete,
            "failed": counts.failed + counts.cancelled,
            "recent": [_job(one) for one in recent],
        }
    )


async def failed(request: web.Request) -> web.Response:
    """The newest that failed."""
    gateway, owner = request.app[GATEWAY], auth.own(request)
    await gateway.register.settled()
    return _json({"jobs": [_job(one) for one in await gateway.jobs.failed(owner=owner)]})


async def repair(request: web.Request) -> web.Response:
    """Has jobs of processes that are gone done again, or told as failed."""
    return _json({"status": "ok", "repaired": await request.app[GATEWAY].jobs.repair()})


def _job(job: Job) -> dict[str, Any]:
    known = job.payload if isinstance(job.payload, dict) else {}
    elapsed = None
    if job.ended_at is not None:
        elapsed = round((job.ended_at - (job.started_at or job.created_at)).total_seconds() * 1000)
    return {
        "job_id": job.id,
        "status": "FAILED" if job.state == "CANCELLED" else job.state,
        "created_at": job.created_at.timestamp(),
        "updated_at": job.updated_at.timestamp(),
        "url": known.get("url"),
        "cache_hit": bool(known.get("cache_hit")),
        "elapsed_ms": known.get("elapsed_ms", elapsed),
        "error": job.error_text or ("Cancelled." if job.state == "CANCELLED" else None),
    }


# The server


async def queue(request: web.Request) -> web.Response:
    """How many transcripts run and wait, and how long one more would wait."""
    load = request.app[GATEWAY].transcripts.load
    wait_s = round(load.wait_s, 1)
    return _json(
        {
            "status": "ok",
            "timestamp": _iso(datetime.now(UTC)),
            "msg": "estimation",
            "event_id": None,
            "rank": load.waiting,
            "queue_size": load.waiting,
            "rank_eta": wait_s,
            "queue": {
                "queue_size": load.waiting,
                "active_jobs": load.active,
                "estimated_wait_time": wait_s,
                "status": "busy" if load.active or load.waiting else "idle",
            },
        }
    )


async def health(request: web.Request) -> web.Response:
    """That the server lives, and what it was built of."""
    settings = request.app[GATEWAY].settings
    build = {"git_sha": settings.git_sha, "time": settings.build_time}
    return _json({"status": "ok", "timestamp": _iso(datetime.now(UTC)), "build": build})


async def version(request: web.Request) -> web.Response:
    """What the server was built of, and since when it runs."""
    gateway = request.app[GATEWAY]
    return _json(
        {
            "git_sha": gateway.settings.git_sha,
            "started_at": _iso(gateway.started_at),
            "build_time": gateway.settings.build_time,
            "version": __version__,
        }
    )


def shape(error: GatewayError, request_id: str) -> tuple[int, Any]:
    """An error as documented, with our code beside the words where there is room for it."""
    told = {"detail": error.message, "code": error.code, "request_id": request_id}
    match error:
        case Unsigned() | Unfit() | Malformed():
            return error.status, {"detail": error.message}
        case RateLimited():
            return 429, {"error": "Rate limit exceeded", "detail": "Rate limit exceeded"}
        case InvalidUrl():
            return 400, told
        case UpstreamTimeout():
            return 408, told
        case PostRefused() | OriginRefused():
            return 422, told
        case Internal():
            return 500, {"detail": error.message, "request_id": request_id}
        case _:
            return error.status, told


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), headers={"Cache-Control": "no-store"}, content_type="application/json"
    )


TTTRANSCRIBE = Dialect("tttranscribe", shape)
