"""The analyzer: posts in words and figures, one or several, and their captions."""

from collections.abc import Sequence

from aiohttp import web

from gateway.errors import CaptionsUnavailable, NotVideoContent
from gateway.media import languages
from gateway.media.captions import Chosen, caption, there
from gateway.media.post import Post
from gateway.web import params
from gateway.web.accept import accepts
from gateway.web.dialects.analyzer import models
from gateway.web.dialects.analyzer.answers import ABOUT, enveloped
from gateway.web.dialects.analyzer.batch import LINES, Posts, streamed, told
from gateway.web.dialects.analyzer.extraction import EXTRACTIONS, Wish
from gateway.web.keys import GATEWAY


async def extract(request: web.Request) -> web.Response:
    """One post."""
    extractions = request.app[EXTRACTIONS]
    body = await params.body(request, models.ExtractRequest, request.app[GATEWAY].settings)
    request[ABOUT] = body.url
    extractions.check(body.language)
    wish = Wish(body.cache_ttl, body.include_thumbnail_analysis, body.analyse_slides, body.language)
    return enveloped(request, await extractions.extract(body.url, wish))


async def batch(request: web.Request) -> web.StreamResponse:
    """Several posts: together at the end, or each as soon as it is there."""
    settings, lines = request.app[GATEWAY].settings, accepts(request, LINES)
    body = await params.body(request, models.StreamedBatchRequest if lines else models.BatchRequest, settings)
    if lines and len(body.urls) > settings.batch_urls_max:
        fault = f"There are at most {settings.batch_urls_max} urls in a batch."
        raise params.Invalid([params.fault(("urls",), fault, "too_long")])
    extractions = request.app[EXTRACTIONS]
    extractions.check(body.language)
    wish = Wish(models.CACHE_TTL_S, body.include_thumbnail_analysis, body.analyse_slides, body.language)
    at_once = settings.extractions_max if body.parallel_processing else 1
    posts = Posts(extractions, body.urls, wish, at_once=at_once)
    return await (streamed if lines else told)(request, posts)


async def captions(request: web.Request) -> web.Response:
    """A post's own captions."""
    gateway, extractions = request.app[GATEWAY], request.app[EXTRACTIONS]
    body = await params.body(request, models.TranscriptRequest, gateway.settings)
    request[ABOUT] = body.url
    address = await extractions.address(body.url, body.cache_ttl)
    post = await extractions.post(address, body.cache_ttl)
    chosen = _chosen(post, body.preferred_language)
    cues = await gateway.parts.captions(post, chosen.part)
    if not cues:
        raise CaptionsUnavailable("The post's captions have no text.")
    data = models.Captions(
        url=body.url,
        source=chosen.kind,
        language=chosen.language or None,
        text=" ".join(cue.text for cue in cues),
        segments=tuple(models.Segment(start=cue.start, end=cue.end, text=cue.text) for cue in cues),
        available=_available(there(post)),
    )
    return enveloped(request, data)


def _chosen(post: Post, preferred: str | None) -> Chosen:
    """Those in the language that is preferred, else in the one that is spoken. Raises CaptionsUnavailable."""
    for language in (preferred and languages.code(preferred), None):
        try:
            found = caption(post, source="captions", language=language)
        except NotVideoContent:
            continue
        if found is not None:
            return found
    raise CaptionsUnavailable


def _available(found: Sequence[Chosen]) -> tuple[models.Available, ...]:
    return tuple(models.Available(language=one.language, source=one.kind) for one in found)
