"""/transcripts: one by its id, for whoever has that; lists of what is the caller's, and what was said."""

import re
from datetime import datetime
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway import errors
from gateway.errors import BadRequest, Busy, Cancelled, Ended, NotFound
from gateway.speech.transcripts import Transcript
from gateway.store.search import Hit
from gateway.store.stored import Stored
from gateway.transcripts.hearing import TITLE_CHARS_MAX
from gateway.web import accept, auth, params, stream
from gateway.web.keys import GATEWAY
from gateway.wire.events import End, Failed, Info, Segment, fields
from gateway.wire.forms import NAMED, Form


class Change(BaseModel):
    """The JSON body of PATCH /transcripts/{id}."""

    model_config = ConfigDict(strict=True, extra="ignore", json_schema_extra={"minProperties": 1})

    title: str | None = Field(None, max_length=TITLE_CHARS_MAX, description="null or empty: none.")
    state: Literal["cancelled"] | None = Field(None, description="The work ends, for all who follow it.")

    @model_validator(mode="after")
    def _something(self) -> "Change":
        if "title" not in self.model_fields_set and self.state is None:
            raise PydanticCustomError("change", "Send a title, or the state cancelled.")
        return self


class Asked(BaseModel):
    """The query of GET /transcripts."""

    model_config = ConfigDict(extra="ignore")

    q: str | None = Field(None, max_length=1000, description="What was said; empty counts as missing.")
    limit: int = Field(50, ge=1, le=200, description="How many at once.")
    after: str | None = Field(None, description="`next` of the page before.")


async def events(request: web.Request) -> web.StreamResponse:
    """Follows a transcript from any point: all of it, or what came after an event that the caller has."""
    form = accept.form(request)
    transcript = await _followed(request)
    after = _after(request)
    if after >= 0 and not form.lines:
        raise BadRequest("Only application/x-ndjson and text/event-stream begin in the middle.")
    if after >= 0 and transcript.over and after >= len(transcript) - 1:
        return web.Response(status=204)  # which keeps a browser from connecting again
    if after >= len(transcript):
        # one that was promised begins once more where its gateway died, behind those who followed it
        raise Busy(f"There is no event {after} yet; there are {len(transcript)}, counted from 0. Ask again.")
    return await _told(request, transcript, form, after=after)


async def file(request: web.Request) -> web.StreamResponse:
    """A transcript as a file, which may still be written."""
    form = NAMED.get(request.match_info["form"])
    if form is None or form.lines:
        raise NotFound("A transcript is read as .txt, .srt, .vtt or .json.")
    return await _told(request, await _followed(request), form)


async def standing(request: web.Request) -> web.Response:
    """Where a transcript stands."""
    return _json(_standing(await _found(request)))


async def change(request: web.Request) -> web.Response:
    """Cancels a transcript that runs, gives it another title, or both."""
    gateway = request.app[GATEWAY]
    wish = await params.body(request, Change, gateway.settings)
    transcript = await gateway.library.changed_by(request.match_info["id"], await _owner(request))
    if wish.state is not None:
        if not await gateway.works.cancel(transcript):
            raise Ended
        transcript = await _found(request)
    if "title" in wish.model_fields_set:
        transcript = await gateway.library.rename(transcript.id, (wish.title or "").strip() or None)
    return _json(_standing(transcript))


async def delete(request: web.Request) -> web.Response:
    """Removes a transcript, where others have it too only from the caller's; one that runs is cancelled."""
    await request.app[GATEWAY].library.delete(request.match_info["id"], owner=await _owner(request))
    return web.Response(status=204)


async def index(request: web.Request) -> web.Response:
    """The caller's transcripts that have ended, newest first; or with `q` what was said, and when.

    The operator's are everybody's; strangers from elsewhere have none that are theirs.
    """
    gateway, owner = request.app[GATEWAY], auth.own(request)
    asked = params.fields(Asked, dict(request.query), {})
    if asked.q is None:
        page = await gateway.archive.page(owner=owner, after=asked.after, limit=asked.limit)
        return _json({"transcripts": [_row(one) for one in page.items], "next": page.next})
    hits = await gateway.search.find(asked.q, owner=owner, after=asked.after, limit=asked.limit)
    return _json({"hits": [_hit(one) for one in hits.items], "next": hits.next})


def _standing(transcript: Transcript) -> dict[str, Any]:
    log = transcript.events
    info = log[0] if log and isinstance(log[0], Info) else None
    last = log[-1] if log else None
    end = last if isinstance(last, End) else None
    failed = last if isinstance(last, Failed) else None
    return {
        "id": transcript.id,
        "state": _state(transcript),
        "title": transcript.title,
        "url": transcript.origin.url,
        "events": len(log),
        "segments": sum(isinstance(event, Segment) for event in log),
        "language": info and info.language,
        "duration": end.duration if end is not None else info and info.duration,
        "source": info and info.source,
        "speech": end and end.speech,
        "text_sha256": end and end.text_sha256,
        "created_at": _time(transcript.created_at),
        "ended_at": _time(transcript.ended_at),
        "standing": fields(transcript.standing) if transcript.running else None,
        "error": failed and fields(failed),
    }


def _state(transcript: Transcript) -> str:
    if not transcript.over:
        return "pending" if transcript.pending else "running"
    last = transcript.events[-1]
    if isinstance(last, End):
        return "complete"
    return "cancelled" if isinstance(last, Failed) and last.code == Cancelled.code else "failed"


def _row(stored: Stored) -> dict[str, Any]:
    cancelled = stored.error_code == Cancelled.code
    failed = stored.state == "FAILED"
    return {
        "id": stored.id,
        "state": "cancelled" if cancelled else stored.state.lower(),
        "title": stored.title,
        "url": stored.provenance.url,
        "language": stored.language,
        "duration": None if stored.duration_ms is None else stored.duration_ms / 1000,
        "source": stored.source,
        "speech": stored.speech,
        "text_sha256": stored.text_sha256,
        "created_at": _time(stored.created_at),
        "ended_at": _time(stored.ended_at),
        "error": {"code": stored.error_code, "message": stored.error_text} if failed else None,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.transcript_id,
        "title": hit.title,
        "segment": hit.number,
        "start": hit.start_ms / 1000,
        "end": hit.end_ms / 1000,
        "text": hit.text,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"  # UTC


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), headers={"Cache-Control": "no-store"}, content_type="application/json"
    )


async def _found(request: web.Request) -> Transcript:
    return await request.app[GATEWAY].library.read(request.match_info["id"])


async def _followed(request: web.Request) -> Transcript:
    """The same, where it has ended or runs here: what happens elsewhere is seen there only."""
    transcript = await _found(request)
    if not (transcript.over or transcript.running):
        raise Busy("The transcript is not at its end, and does not run here. Ask again.")
    return transcript


async def _owner(request: web.Request) -> str | None:
    """Whose a transcript must be to be changed; None: whosever. A link to it is enough for strangers' own."""
    return (await auth.caller(request)).owner


def _after(request: web.Request) -> int:
    """The last event that the caller has, -1 for none. The header is the newer one: a browser that
    connects again sends the address as it was, with its old query."""
    told = request.headers.get("Last-Event-ID") or request.query.get("after", "-1")
    if not re.fullmatch(r"-1|[0-9]{1,9}", told):
        raise BadRequest("Last-Event-ID and ?after= are the number of an event, counted from 0.")
    return int(told)


async def _told(
    request: web.Request, transcript: Transcript, form: Form, *, after: int = -1
) -> web.StreamResponse:
    """Its failure is news of the transcript and not of this request, where the form can tell it."""
    last = transcript.events[-1:]
    if form.breaks and last and isinstance(last[0], Failed):
        raise errors.by_code(last[0].code, last[0].message)
    return await stream.transcript(request, transcript, form, after=after, failure_is_news=True, by_id=True)
