"""POST /transcripts: the transcript of an upload, for a code."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import orjson
from aiohttp import web
from pydantic import Field

from gateway.errors import (
    BadRequest,
    CodeHeld,
    CodeRefused,
    CodeUnknown,
    GatewayError,
    NotFound,
    UnsupportedBody,
)
from gateway.speech.transcripts import Transcript
from gateway.store.jobs import Job
from gateway.web import admission, auth, params, purchase, upload
from gateway.web.keys import GATEWAY
from gateway.web.params import SpeechWish
from gateway.web.purchase import Purchase
from gateway.web.transcribe import options_of_upload
from gateway.web.upload import Upload
from gateway.wiring import Gateway

KEY_CHARS_MAX = 200
CODE = "code"  # the field; in no query, which others log
FAILED = ("FAILED", "CANCELLED")
TWIN_S = 0.05  # between the hold of a code and its job there are some milliseconds
TWIN_TRIES = 20


class Wish(SpeechWish):
    """What may be wished, by the query or by a form."""

    wait: bool = Field(True, description="0: 202 at once; the work needs nobody who waits.")
    webhook: str | None = Field(None, description="With `wait` 0: an address that is told of the end.")


NAMES = frozenset(Wish.model_fields) | {CODE}


async def transcript(request: web.Request) -> web.Response:
    """Holds the code, hears the media in the body, and tells the transcript that the code was spent on.

    A code in a header is held before the body is asked for, one in a form as soon as it has come.
    """
    caller = await auth.caller(request)  # a key is not needed, but no wrong one is taken
    await admission.rate(request, caller)
    with admission.places(request, caller):
        return await _paid(request)


async def _paid(request: web.Request) -> web.Response:
    """The same, of a caller who has a place."""
    gateway = request.app[GATEWAY]
    early = _wish(request, {}, gateway, forming=True)  # faults of the query need no body
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= KEY_CHARS_MAX:
        raise BadRequest(f"An Idempotency-Key has 1 to {KEY_CHARS_MAX} characters.")
    code = request.headers.get("X-Auth-Code")
    if code is None and not upload.is_form(request):
        raise CodeUnknown("A code is needed: send it as X-Auth-Code, or as the form's field code.")
    if not upload.sent(request):
        raise UnsupportedBody("The body is audio or video, or a form with a file; its Content-Type says so.")
    upload.check(request)
    async with AsyncExitStack() as stack:
        if code is not None:
            bought = await _bought(stack, request, code, key)
            if isinstance(bought, Job):
                return await _again(gateway, bought, wait=early.wait)
            body = await stack.enter_async_context(upload.received(request, NAMES))
        else:
            await gateway.database.check()
            body = await stack.enter_async_context(upload.received(request, NAMES, placed=False))
            if CODE in body.fields:
                body.seal()
            else:
                await body.whole()
            if CODE not in body.fields:
                raise CodeUnknown("The form has no field code.")
            bought = await _bought(stack, request, body.fields[CODE][-1], key)
            if isinstance(bought, Job):
                return await _again(gateway, bought, wait=_wish(request, body.fields, gateway).wait)
        return await _made(request, bought, body)


async def _made(request: web.Request, bought: Purchase, body: Upload) -> web.Response:
    """Hears the media while they arrive, where no field is to come that could change how."""
    gateway = request.app[GATEWAY]
    if upload.is_form(request) and not body.fields:
        await body.whole()
    else:
        body.seal()
    wish = _wish(request, body.fields, gateway)
    options = options_of_upload(wish, gateway.settings.model_name)
    if not wish.wait:
        await body.whole()
        await bought.keep(body, options, wish.webhook)
    running = bought.start(body, options)
    if not wish.wait:
        return _running(bought.id)
    try:
        end = await running.end()
    except GatewayError:
        bought.check()  # which is why it ended
        raise
    return _complete(bought.id, end.duration, bought.charged_s, running.text)


async def _bought(stack: AsyncExitStack, request: web.Request, code: str, key: str | None) -> Purchase | Job:
    """The code, held; or the job that was asked for with this code and key before.

    One that failed cost nothing, and gives way to another try.
    """
    gateway, owner = request.app[GATEWAY], (await auth.caller(request)).account.id
    if key is None:
        return await stack.enter_async_context(purchase.opened(gateway, code, None, owner=owner))
    name = purchase.named(code, key)
    job = await gateway.jobs.keyed(name, owner=owner)
    if job is not None and job.state not in FAILED:
        return job
    if job is not None:
        await gateway.jobs.unkey(job.id)
    try:
        return await stack.enter_async_context(purchase.opened(gateway, code, name, owner=owner))
    except CodeRefused as refused:
        job = await _begun(gateway, name, owner, tries=TWIN_TRIES if isinstance(refused, CodeHeld) else 1)
        if job is None or job.state in FAILED:
            raise
        return job


async def _begun(gateway: Gateway, name: str, owner: str, *, tries: int) -> Job | None:
    """The job that a twin of the request has begun meanwhile, or is about to with the code it holds."""
    for again in range(tries):
        if again:
            await asyncio.sleep(TWIN_S)
        if (job := await gateway.jobs.keyed(name, owner=owner)) is not None:
            return job
    return None


async def _again(gateway: Gateway, job: Job, *, wait: bool) -> web.Response:
    """The answer of a request that came before, or where it stands."""
    id_ = job.transcript_id
    assert id_ is not None
    if job.state != "COMPLETE" and wait and (running := await _running_of(gateway, id_)) is not None:
        await running.end()
        job = await gateway.jobs.get(job.id)
    if job.state != "COMPLETE":
        return _running(id_)
    stored = await gateway.archive.read(id_)
    try:
        charged_s = (await gateway.codes.get(job.payload["code"])).credit.used_s
    except NotFound:
        raise CodeUnknown from None
    return _complete(id_, (stored.duration_ms or 0) / 1000, charged_s, stored.text or "")


async def _running_of(gateway: Gateway, id_: str) -> Transcript | None:
    """What can be waited for, here or elsewhere; None: its body is on its way, or nobody tells of it."""
    try:
        found = await gateway.library.read(id_)
    except NotFound:
        return None
    return found if found.running or found.over else None


def _wish(
    request: web.Request, fields: dict[str, list[str]], gateway: Gateway, *, forming: bool = False
) -> Wish:
    """What the query and the fields say; `forming` while more fields may come."""
    wish = params.fields(Wish, dict(request.query), {name: all_[-1] for name, all_ in fields.items()})
    options_of_upload(wish, gateway.settings.model_name)
    if wish.webhook is not None:
        gateway.webhooks.check(wish.webhook)
        if wish.wait and not (forming and upload.is_form(request)):
            raise BadRequest("A webhook goes with wait=0: who waits is told.")
    return wish


def _running(id_: str) -> web.Response:
    return _told(202, id_, "running", None, None, None)


def _complete(id_: str, duration_s: float, charged_s: float, text: str) -> web.Response:
    return _told(201, id_, "complete", duration_s, charged_s, text)


def _told(
    status: int, id_: str, said: str, duration_s: float | None, charged_s: float | None, text: str | None
) -> web.Response:
    body: dict[str, Any] = {
        "id": id_, "status": said, "duration_s": duration_s, "charged_s": charged_s, "text": text
    }  # fmt: skip
    headers = {"Location": f"/transcripts/{id_}", "Cache-Control": "no-store"}
    return web.Response(
        status=status, body=orjson.dumps(body), headers=headers, content_type="application/json"
    )
