"""The two streamed answers: media parts, and a transcript in one of its forms.

Always: chunked on HTTP/1.1, closed at the end on HTTP/1.0; never compressed; a delimiter with its
head is a chunk of its own.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import HttpVersion11, web

from gateway import errors
from gateway.media.spool import Spool
from gateway.speech.transcripts import Transcript
from gateway.web.interleave import interleaved
from gateway.web.keys import GATEWAY
from gateway.web.middleware import END
from gateway.web.pulse import Pulse, beating
from gateway.web.relay import Relay
from gateway.wire import multipart as parts
from gateway.wire.events import Event, Failed, Segment
from gateway.wire.forms import Form
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
    response = await begun(request, {"Content-Type": parts.content_type(boundary), "Content-Meta": meta})
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


async def transcript(
    request: web.Request,
    transcript: Transcript,
    form: Form,
    *,
    after: int = -1,
    failure_is_news: bool = False,
    by_id: bool = False,
) -> web.StreamResponse:
    """Follows a transcript's log from `after` + 1 on. The head waits for the first event or progress: a
    failure until then is a plain answer; later it is told in the form, or breaks the connection.

    `failure_is_news`: it is told in a form that has a place for it even if it is the first event.
    `by_id`: by somebody who was given no more than the id.
    """
    write = form.writer()
    log: AsyncGenerator[tuple[int | None, Event], None] = (
        beating(transcript, after, Pulse()) if form.lines else transcript.follow(after)
    )
    async with aclosing(log) as events:
        number, event = await anext(events)
        if isinstance(event, Failed) and (form.breaks or not failure_is_news):
            raise errors.by_code(event.code, event.message)
        headers = {
            "Content-Type": form.content_type, "Transcript-Id": transcript.id, "Cache-Control": "no-store",
        }  # fmt: skip
        response = await begun(request, headers)
        relay = Relay(request, response, stall_s=request.app[GATEWAY].settings.client_stall_s)
        if by_id and isinstance(event, Segment):
            await transcript.hand_out()
        await relay.write(write(event, number))  # the head goes with it, be it of no bytes
        async for number, event in events:
            if by_id and isinstance(event, Segment):
                await transcript.hand_out()
            await relay.write(write(event, number))
    if isinstance(event, Failed):
        if form.breaks:
            await relay.emptied()  # what came before is right, and not lost
            raise errors.by_code(event.code, event.message)
        request[END] = event.code
    await relay.end()
    return response


async def begun(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    """An answer whose head is on its way and whose length nobody knows yet."""
    response = web.StreamResponse(headers={**headers, "X-Accel-Buffering": "no"})
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    else:
        response.force_close()  # the close is the end, whatever the client asked for
    await response.prepare(request)
    return response
