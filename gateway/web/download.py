"""POST /download: a post's media as parts, while they arrive."""

from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from gateway.media.film import USUAL, Film
from gateway.media.post import Mode, Post, Wanted, choose
from gateway.media.spool import Spool
from gateway.speech.transcripts import Options
from gateway.web import stream
from gateway.web.keys import GATEWAY
from gateway.wire import multipart
from gateway.wire.multipart import Part


class Wish(msgspec.Struct, frozen=True):
    """What a caller asked for."""

    url: str
    mode: Mode
    film: Film = USUAL  # how a slideshow is to look
    transcript: bool = False  # its words between its bytes


async def download(request: web.Request, wish: Wish) -> web.StreamResponse:
    """Finds the post, opens all its parts, and sends them once each has shown its first bytes."""
    gateway = request.app[GATEWAY]
    post = await gateway.extractor.find(wish.url)
    wanted = choose(post, wish.mode, wish.film)
    async with AsyncExitStack() as open_:
        # all are read from the site at once; the client takes them in order
        spools = [await open_.enter_async_context(gateway.part(post, one)) for one in wanted]
        files = [
            (_head(post, one, await spool.begun(), spool), spool)
            for one, spool in zip(wanted, spools, strict=True)
        ]
        return await stream.multipart(
            request,
            multipart.content_meta(post.title, post.desc),
            files,
            boundary=multipart.boundary(gateway.settings.boundary_fixed),
            words=gateway.transcript(post, Options(), wanted[0]) if wish.transcript else None,
        )


def _head(post: Post, wanted: Wanted, media_type: str, spool: Spool) -> Part:
    return Part(
        multipart.file_name(post.author, post.id, media_type, wanted.number), media_type, spool.length
    )
