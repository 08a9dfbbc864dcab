"""POST /transcribe: the words of a post, while they are recognised."""

from aiohttp import web

from gateway.errors import BadRequest
from gateway.speech.transcripts import Options
from gateway.web import accept, params, stream
from gateway.web.keys import GATEWAY
from gateway.web.params import TranscribeWish


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Finds the post and follows its transcript: its own captions, or what is heard in it."""
    gateway = request.app[GATEWAY]
    form = accept.form(request)
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


def _check(wish: TranscribeWish, model: str) -> None:
    if wish.model not in (None, model):
        raise BadRequest("This server recognises speech with another model; leave `model` out.")
