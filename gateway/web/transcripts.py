"""GET /transcripts/{id}: transcripts that run or are kept, read by those who have their id."""

import re

import orjson
from aiohttp import web

from gateway import errors
from gateway.errors import BadRequest, NotFound
from gateway.speech.transcripts import Transcript
from gateway.web import accept, stream
from gateway.web.keys import GATEWAY
from gateway.wire.events import End, Failed, Info, Segment, fields
from gateway.wire.forms import NAMED, Form


async def events(request: web.Request) -> web.StreamResponse:
    """Follows a transcript from any point: all of it, or what came after an event that the caller has."""
    form = accept.form(request)
    transcript = _found(request)
    after = _after(request)
    if after >= 0 and not form.lines:
        raise BadRequest("Only application/x-ndjson and text/event-stream begin in the middle.")
    if after >= 0 and transcript.over and after >= len(transcript) - 1:
        return web.Response(status=204)  # which keeps a browser from connecting again
    if after >= len(transcript):
        raise BadRequest(f"There is no event {after} yet; there are {len(transcript)}, counted from 0.")
    return await _told(request, transcript, form, after=after)


async def file(request: web.Request) -> web.StreamResponse:
    """A transcript as a file, which may still be written."""
    form = NAMED.get(request.match_info["form"])
    if form is None or form.lines:
        raise NotFound("A transcript is read as .txt, .srt, .vtt or .json.")
    return await _told(request, _found(request), form)


async def standing(request: web.Request) -> web.Response:
    """Where a transcript stands."""
    transcript = _found(request)
    log = transcript.events
    info = log[0] if log and isinstance(log[0], Info) else None
    last = log[-1] if log else None
    body = {
        "id": transcript.id,
        "state": "running" if not transcript.over else "complete" if transcript.whole else "failed",
        "events": len(log),
        "segments": sum(isinstance(event, Segment) for event in log),
        "language": info and info.language,
        "duration": last.duration if isinstance(last, End) else info and info.duration,
        "source": info and info.source,
        "standing": None if transcript.over else fields(transcript.standing),
        "error": fields(last) if isinstance(last, Failed) else None,
    }
    return web.Response(
        body=orjson.dumps(body), headers={"Cache-Control": "no-store"}, content_type="application/json"
    )


def _found(request: web.Request) -> Transcript:
    found = request.app[GATEWAY].transcripts.by_id(request.match_info["id"])
    if found is None:
        raise NotFound("There is no such transcript, or not any more.")
    return found


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
    return await stream.transcript(request, transcript, form, after=after, failure_is_news=True)
