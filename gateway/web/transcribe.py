"""POST /transcribe: the words of a post, or of media in the body, while they are recognised."""

import msgspec
from aiohttp import web

from gateway.errors import BadRequest
from gateway.media import links
from gateway.speech.transcripts import Options
from gateway.store.jobs import Wanted
from gateway.store.stored import new_id
from gateway.web import accept, errand, params, stream, upload
from gateway.web.auth import CALLER
from gateway.web.keys import GATEWAY
from gateway.web.params import SpeechWish, TranscribeWish
from gateway.wire.forms import Form

_MEDIA = "Media need a Content-Type of audio/... or video/..., or a form with a file."


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Finds the post and follows its transcript: its own captions, or what is heard in it."""
    gateway = request.app[GATEWAY]
    form = accept.form(request)
    if upload.sent(request):
        return await _uploaded(request, form)
    if stray := SpeechWish.model_fields.keys() & request.query.keys():
        raise BadRequest(
            f"Beside a url, options go into the JSON, and not into the query: {', '.join(sorted(stray))}."
        )
    wish = await params.body(request, TranscribeWish, gateway.settings, otherwise=_MEDIA)
    options = _options(wish, gateway.settings.model_name)
    if not wish.wait:
        return await _promised(request, wish, options)
    if wish.webhook is not None:
        raise BadRequest("A webhook goes with `wait` false: who waits is told.")
    post = await gateway.extractor.find(wish.url)
    owner = request[CALLER].account.id
    transcript = await gateway.hearing.transcript_from(wish.source, post, options, owner=owner)
    return await stream.transcript(request, transcript, form)


async def _promised(request: web.Request, wish: TranscribeWish, options: Options) -> web.Response:
    """Puts the wish down as a job, which outlives this process."""
    gateway = request.app[GATEWAY]
    if wish.webhook is not None:
        gateway.webhooks.check(wish.webhook)
    promised = errand.Promised(links.find(wish.url).url, wish.source, options)
    wanted = Wanted(
        errand.KIND,
        msgspec.to_builtins(promised),
        owner=request[CALLER].account.id,
        transcript_id=new_id(),
        webhook_url=wish.webhook,
    )
    job = await gateway.jobs.enqueue(wanted)
    gateway.wanted.set()
    return web.json_response(
        {"id": job.transcript_id, "status": "pending"},
        status=202,
        headers={"Location": f"/transcripts/{job.transcript_id}", "Cache-Control": "no-store"},
    )


async def _uploaded(request: web.Request, form: Form) -> web.StreamResponse:
    """Follows the transcript of the media in the body, which may still be arriving.

    Where options are known before a form's file, the words need not wait for the fields after it.
    """
    gateway = request.app[GATEWAY]
    names = SpeechWish.model_fields.keys()
    _of_upload(request, {}, gateway.settings.model_name)  # faults of the query need no body
    async with upload.received(request, names) as body:
        if not upload.is_form(request) or body.fields or names & request.query.keys():
            body.seal()
        else:
            await body.whole()
        options = _of_upload(request, body.fields, gateway.settings.model_name)
        body.place.leave()
        transcript = gateway.hearing.uploaded(body.key, body.fill, options, owner=request[CALLER].account.id)
        return await stream.transcript(request, transcript, form)


def _of_upload(request: web.Request, fields: dict[str, list[str]], model: str) -> Options:
    """What the query and the fields of a form say."""
    wish = params.fields(SpeechWish, dict(request.query), {name: all_[-1] for name, all_ in fields.items()})
    return options_of_upload(wish, model)


def options_of_upload(wish: SpeechWish, model: str) -> Options:
    """What of a wish matters to the model. Raises BadRequest for what no upload has."""
    if wish.source == "captions":
        raise BadRequest("An upload has no captions; leave `source` out.")
    return _options(wish, model)


def _options(wish: SpeechWish, model: str) -> Options:
    if wish.model not in (None, model):
        raise BadRequest(f"The model of this server is {model}: send that, or leave `model` out.")
    return Options(
        language=wish.language,
        task=wish.task,
        words=wish.words,
        prompt=wish.prompt,
        hotwords=wish.hotwords,
    )
