"""The two streamed answers: media parts, and the events of a transcript.

Always: chunked on HTTP/1.1, closed at the end on HTTP/1.0; never compressed; a delimiter with its
head is a chunk of its own.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing

from aiohttp import HttpVersion11, web

from gateway import errors
from gateway.media.spool import Spool
from gateway.speech.transcripts import Transcript
from gateway.web.interleave import interleaved
from gateway.web.keys import GATEWAY
from gateway.web.middleware import END
from gateway.web.relay import Relay
from gateway.wire import events as wire
from gateway.wire import multipart as parts
from gateway.wire.events import Failed, Logged
from gateway.wire.multipart import Part


async def multipart(
    request: web.Request,
    meta: str,
    files: Sequence[tuple[Part, Spool]],
    *,
    boundary: str,
    words: Transcript | None = None,
) -> web.StreamResponse:
    """Sends each spool as a part, at this client's speed, while it may still be growing; `words` between."""
    response = await _begun(request, {"Content-Type": parts.content_type(boundary), "Content-Meta": meta})
    relay = Relay(request, response, stall_s=request.app[GATEWAY].settings.client_stall_s)
    if words is not None:
        await interleaved(relay, files, words, boundary=boundary)
        return response
    for number, (part, spool) in enumerate(files):
        await relay.write(parts.head(part, boundary, first=number == 0))
        await relay.spool(spool)
    await relay.write(parts.closing(boundary))
    await relay.end()
    return response


async def transcript(request: web.Request, transcript: Transcript, form: str) -> web.StreamResponse:
    """Follows a transcript's log. Its first event is waited for before the head, so that a failure
    until then is a plain answer; later it is the last line."""
    write = FORMS[form]
    async with aclosing(transcript.follow()) as log:
        number, event = await anext(log)
        if isinstance(event, Failed):
            raise errors.by_code(event.code, event.message)
        headers = {"Content-Type": form, "Transcript-Id": transcript.id, "Cache-Control": "no-store"}
        response = await _begun(request, headers)
        relay = Relay(request, response, stall_s=request.app[GATEWAY].settings.client_stall_s)
        await relay.write(write(event, number))
        async for number, event in log:
            await relay.write(write(event, number))
            if isinstance(event, Failed):
                request[END] = event.code
        await relay.end()
    return response


def _line(event: Logged, number: int) -> bytes:
    return wire.line(event)


# the media types a transcript is streamed in; the first is the one for those who do not ask
FORMS: dict[str, Callable[[Logged, int], bytes]] = {
    "application/x-ndjson": _line,
    "text/event-stream": wire.sse,
}
SHORT_FORMS = {"ndjson": "application/x-ndjson", "sse": "text/event-stream"}


async def _begun(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={**headers, "X-Accel-Buffering": "no"})
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    else:
        response.force_close()  # the close is the end, whatever the client asked for
    await response.prepare(request)
    return response
