"""GET and HEAD /media: a part by its link, all of it or a range, while it may still be growing."""

import sys
import time

from aiohttp import HttpVersion11, web

from gateway.errors import OutOfRange, UpstreamFailed
from gateway.media.spool import Spool
from gateway.web.keys import GATEWAY
from gateway.web.relay import Relay
from gateway.wire import ranges, tickets
from gateway.wire.tickets import Ticket


async def media(request: web.Request) -> web.StreamResponse:
    """Reads the ticket, opens the part's spool, and sends what is asked for of it."""
    gateway = request.app[GATEWAY]
    token, name = request.match_info["token"], request.match_info["name"]
    ticket = tickets.read(token, name, gateway.secret, now=time.time())
    async with gateway.parts.named(ticket.post_id, ticket.key) as spool:
        if await spool.begun() != ticket.media_type:
            raise UpstreamFailed("The site has another file in this place now.")
        span = await _span(request, spool)
        response = _head(request, spool, span, await spool.tag())
        response.headers.update(_about(ticket, name))
        await response.prepare(request)
        relay = Relay(request, response, stall_s=gateway.settings.client_stall_s)
        if request.method != "HEAD":
            await relay.spool(spool, span.start if span else 0, span.stop if span else None)
        await relay.end()
        return response


async def _span(request: web.Request, spool: Spool) -> range | None:
    """The bytes asked for, None for all, once the first of them is there.

    Raises OutOfRange, and what broke the spool before that byte.
    """
    asked = ranges.asked(request.headers.get("Range")) if request.method == "GET" else None
    if asked is None or not ranges.still(request.headers.get("If-Range"), await spool.tag()):
        return None
    if spool.length is None and asked.whole:
        return None  # as a browser's player asks first, which then plays what has come
    if spool.length is None:
        # the head tells the last byte's place, and here only the bytes themselves show it
        await _there(spool, sys.maxsize if asked.from_end or asked.last is None else asked.last)
    span = ranges.span(asked, spool.length)
    if span is None:
        raise OutOfRange(total=spool.length)
    await _there(spool, span.start)
    return span


async def _there(spool: Spool, at: int) -> None:
    """Waits for the byte at that place, or for the end. Raises what broke the spool before it."""
    await spool.grown(at)
    if spool.size <= at:
        spool.check()


def _head(request: web.Request, spool: Spool, span: range | None, etag: str | None) -> web.StreamResponse:
    """What depends on the bytes. Without a length the end is the last chunk, or on HTTP/1.0 the close."""
    response = web.StreamResponse(status=200 if span is None else 206)
    response.headers["Accept-Ranges"] = "bytes"
    if etag is not None:
        response.headers["ETag"] = etag
    if span is not None:
        response.headers["Content-Range"] = ranges.content_range(span, spool.length)
    response.content_length = spool.length if span is None else len(span)
    if response.content_length is None:
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        else:
            response.force_close()
    return response


def _about(ticket: Ticket, name: str) -> dict[str, str]:
    return {
        "Content-Type": ticket.media_type,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": f"private, max-age={max(0, ticket.expires_at - int(time.time()))}",
        "X-Accel-Buffering": "no",
    }
