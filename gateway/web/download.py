"""POST /download: a post's media as parts, while they arrive."""

import time
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from gateway.media.post import Mode, Post, Wanted, choose
from gateway.media.spool import Spool
from gateway.web import stream
from gateway.web.keys import GATEWAY
from gateway.wire import multipart, tickets
from gateway.wire.multipart import Part
from gateway.wire.tickets import Ticket
from gateway.wiring import Gateway


class Wish(msgspec.Struct, frozen=True):
    """What a caller asked for."""

    url: str
    mode: Mode


async def download(request: web.Request, wish: Wish) -> web.StreamResponse:
    """Finds the post, opens all its parts, and sends them once each has shown its first bytes."""
    gateway = request.app[GATEWAY]
    post = await gateway.extractor.find(wish.url)
    wanted = choose(post, wish.mode)
    async with AsyncExitStack() as open_:
        # all are read from the site at once; the client takes them in order
        spools = [await open_.enter_async_context(gateway.part(post, one)) for one in wanted]
        for spool in spools:
            await spool.begun()
        files = [(_head(gateway, post, one, spool), spool) for one, spool in zip(wanted, spools, strict=True)]
        return await stream.multipart(
            request,
            multipart.content_meta(post.title, post.desc),
            files,
            boundary=multipart.boundary(gateway.settings.boundary_fixed),
        )


def _head(gateway: Gateway, post: Post, wanted: Wanted, spool: Spool) -> Part:
    """A begun spool's name, type, length and link."""
    assert spool.media_type is not None
    name = multipart.file_name(post.author, post.id, spool.media_type, wanted.number)
    expires_at = int(time.time() + gateway.settings.link_s)
    ticket = Ticket(post.id, wanted.key, spool.media_type, expires_at)
    return Part(name, spool.media_type, spool.length, tickets.link(ticket, name, gateway.secret))
