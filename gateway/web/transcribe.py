"""POST /transcribe: the words of a post, while they are recognised."""

import re
from fnmatch import fnmatchcase

from aiohttp import web

from gateway.errors import BadRequest, GatewayError
from gateway.speech.transcripts import Options
from gateway.web import params, stream
from gateway.web.keys import GATEWAY
from gateway.web.params import TranscribeWish


class NotAcceptable(GatewayError):
    code, status = "NOT_ACCEPTABLE", 406
    text = f"A transcript is sent as {' or '.join(stream.FORMS)}."


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Finds the post and follows its transcript: its own captions, or what is heard in it."""
    gateway = request.app[GATEWAY]
    form = _form(request)
    wish = await params.body(request, TranscribeWish, gateway.settings)
    _check(wish, gateway.settings.model)
    post = await gateway.extractor.find(wish.url)
    options = Options(
        language=wish.language,
        task=wish.task,
        words=wish.words,
        prompt=wish.prompt,
        hotwords=wish.hotwords,
    )
    return await stream.transcript(request, await gateway.transcript_from(wish.source, post, options), form)


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


def _check(wish: TranscribeWish, model: str) -> None:
    if wish.model not in (None, model):
        raise BadRequest("This server recognises speech with another model; leave `model` out.")
