"""POST /transcribe: the words of a post, or of media in the body, while they are recognised."""

import re
from fnmatch import fnmatchcase

from aiohttp import web

from gateway.errors import BadRequest, GatewayError, NotImplementedHere
from gateway.speech.transcripts import Options
from gateway.web import params, stream, upload
from gateway.web.keys import GATEWAY
from gateway.web.params import SpeechWish, TranscribeWish


class NotAcceptable(GatewayError):
    code, status = "NOT_ACCEPTABLE", 406
    text = f"A transcript is sent as {' or '.join(stream.FORMS)}."


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Finds the post and follows the transcript of what is heard in it."""
    gateway = request.app[GATEWAY]
    form = _form(request)
    if upload.sent(request):
        return await _uploaded(request, form)
    wish = await params.body(request, TranscribeWish, gateway.settings)
    _check(wish, gateway.settings.model)
    post = await gateway.extractor.find(wish.url)
    options = Options(language=wish.language, task=wish.task, words=wish.words, prompt=wish.prompt)
    return await stream.transcript(request, gateway.transcript(post, options), form)


async def _uploaded(request: web.Request, form: str) -> web.StreamResponse:
    """Follows the transcript of the media in the body, which may still be arriving.

    Where options are known before a form's file, the words need not wait for the fields after it.
    """
    gateway = request.app[GATEWAY]
    names = SpeechWish.model_fields.keys()
    _of_upload(request, {}, gateway.settings.model)  # faults of the query need no body
    async with upload.received(request, names) as body:
        if not upload.is_form(request) or body.fields or names & request.query.keys():
            body.seal()
        else:
            await body.whole()
        options = _of_upload(request, body.fields, gateway.settings.model)
        return await stream.transcript(request, gateway.uploaded(body.key, body.fill, options), form)


def _of_upload(request: web.Request, fields: dict[str, list[str]], model: str) -> Options:
    """What the query and the fields of a form say."""
    wish = params.fields(SpeechWish, dict(request.query), {name: all_[-1] for name, all_ in fields.items()})
    if wish.source == "captions":
        raise BadRequest("An upload has no captions; leave `source` out.")
    _check(wish, model)
    return Options(
        language=wish.language,
        task=wish.task,
        words=wish.words,
        prompt=wish.prompt,
        hotwords=wish.hotwords,
    )


def _form(request: web.Request) -> str:
    """The media type to answer in: `?format=` before `Accept`. Raises NotAcceptable."""
    if (short := request.query.get("format")) is not None:
        if short not in stream.SHORT_FORMS:
            raise NotAcceptable(f"?format= is one of {', '.join(stream.SHORT_FORMS)}.")
        return stream.SHORT_FORMS[short]
    wishes = [_wish(one) for one in (request.headers.get("Accept") or "*/*").split(",")]
    for weight, pattern in sorted(wishes, key=lambda wish: -wish[0]):
        found = next((form for form in stream.FORMS if fnmatchcase(form, pattern)), None)
        if weight > 0 and found is not None:
            return found
    raise NotAcceptable


def _wish(accepted: str) -> tuple[float, str]:
    """One entry of an Accept header: its weight, and its media type or range."""
    kind, _, more = accepted.partition(";")
    weight = re.search(r"(?:^|;)\s*q=([0-9.]{1,5})\s*(?:;|$)", more)
    try:
        return float(weight[1]) if weight else 1.0, kind.strip().lower() or "*/*"
    except ValueError:
        return 0.0, kind


def _check(wish: SpeechWish, model: str) -> None:
    if wish.model not in (None, model):
        raise BadRequest("This server recognises speech with another model; leave `model` out.")
    if wish.source == "captions":
        raise NotImplementedHere("Captions are not served yet; leave `source` out.")
