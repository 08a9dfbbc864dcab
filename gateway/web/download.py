"""POST /download: the media of posts as parts, while they arrive."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import msgspec
from aiohttp import web

from gateway.errors import GatewayError, UpstreamFailed, UpstreamTimeout
from gateway.media.post import USUAL, Mode, Post, Taste, Wanted, choose
from gateway.media.spool import Spool
from gateway.speech.transcripts import Options, Transcript
from gateway.web import admission, auth, stream
from gateway.web.auth import CALLER
from gateway.web.keys import GATEWAY
from gateway.wire import multipart, tickets
from gateway.wire.multipart import Part
from gateway.wire.tickets import Ticket
from gateway.wiring import Gateway


class Wish(msgspec.Struct, frozen=True):
    """What a caller asked for."""

    urls: tuple[str, ...]  # one, or several whose posts come in one stream
    mode: Mode
    taste: Taste = USUAL
    transcript: bool = False  # the words of one post between its bytes


class Chosen(msgspec.Struct, frozen=True):
    """A post, and what of it is to be sent."""

    post: Post
    parts: tuple[Wanted, ...]
    place: int | None  # in the urls of the wish, where there are several
    copy: int  # 1, or more where the same post is there more than once

    def name(self, wanted: Wanted, media_type: str) -> str:
        """A part's file name, unique over the whole answer."""
        return multipart.file_name(
            self.post.author, self.post.id, media_type, wanted.number, mark=wanted.mark, copy=self.copy
        )


async def download(request: web.Request, wish: Wish) -> web.StreamResponse:
    """Finds the posts, opens all their parts, and sends them once each has shown its first bytes."""
    gateway = request.app[GATEWAY]
    if wish.transcript:
        await auth.check(request, "transcribe")
        await admission.quota(request, request[CALLER], speech=True)
    posts = await chosen(gateway, wish)
    async with AsyncExitStack() as open_:
        # all are read from the site at once; the client takes them in order
        opened = [
            (one, wanted, await open_.enter_async_context(gateway.parts.open(one.post, wanted)))
            for one in posts
            for wanted in one.parts
        ]
        begun = [(one, *await _begun(gateway, open_, one, wanted, spool)) for one, wanted, spool in opened]
        return await stream.multipart(
            request,
            multipart.content_meta(posts[0].post.title, posts[0].post.desc),
            [(_head(gateway, *each), each[-1]) for each in begun],
            boundary=multipart.boundary(gateway.settings.boundary_fixed),
            words=_words(request, posts[0].post, begun[0][1]) if wish.transcript else None,
        )


def _words(request: web.Request, post: Post, sent: Wanted) -> Transcript:
    """The transcript of a post, heard in the very media that are sent, where those have the sound."""
    owner = request[CALLER].account.id
    return request.app[GATEWAY].hearing.transcript(post, Options(), sent.of or sent, owner=owner)


async def chosen(gateway: Gateway, wish: Wish) -> list[Chosen]:
    """The posts in order, looked for side by side; one that is not to be had fails them all."""
    several = len(wish.urls) > 1
    # no more at once than there are processes: a wish must not wait behind itself until it is Busy
    turns = asyncio.Semaphore(gateway.settings.extract_processes)

    async def found(place: int, url: str) -> Post:
        with _placed(place if several else None):
            async with turns:
                return await gateway.extractor.find(url)

    try:
        async with asyncio.TaskGroup() as group:
            finding = [group.create_task(found(place, url)) for place, url in enumerate(wish.urls)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    posts, seen = [], Counter[str]()
    for place, post in enumerate(task.result() for task in finding):
        seen[post.id] += 1
        with _placed(place if several else None):
            parts = choose(post, wish.mode, wish.taste)
        posts.append(Chosen(post, parts, place if several else None, seen[post.id]))
    return posts


async def _begun(
    gateway: Gateway, open_: AsyncExitStack, one: Chosen, wanted: Wanted, spool: Spool
) -> tuple[Wanted, Spool]:
    """A part, once its first bytes are at hand; or the one which is sent instead."""
    with _placed(one.place):
        try:
            await spool.begun()
        except (UpstreamFailed, UpstreamTimeout):
            if wanted.instead is None:
                raise
            wanted = wanted.instead
            spool = await open_.enter_async_context(gateway.parts.open(one.post, wanted))
            await spool.begun()
    return wanted, spool


def _head(gateway: Gateway, one: Chosen, wanted: Wanted, spool: Spool) -> Part:
    """A begun part's name, type, length and link."""
    media_type = spool.media_type
    assert media_type is not None
    name = one.name(wanted, media_type)
    expires_at = int(time.time() + gateway.settings.link_s)
    ticket = Ticket(one.post.id, wanted.key, media_type, expires_at)
    return Part(name, media_type, spool.length, link=tickets.link(ticket, name, gateway.secret))


@contextmanager
def _placed(place: int | None) -> Iterator[None]:
    """A failure in here says which of several urls it is about."""
    try:
        yield
    except GatewayError as error:
        if place is None:
            raise
        told = f"urls[{place}]: {error.message}"
        raise type(error)(told, retry_after_s=error.retry_after_s) from error
