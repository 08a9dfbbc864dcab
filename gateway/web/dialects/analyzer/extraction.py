"""Posts as the analyzer tells them: from the cache while they are young enough, else read from the site,
with what is to be seen in their pictures.

Always: few posts are read at once; pictures never fail a post; each url that was answered is counted.
"""

import hashlib
import secrets
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

from gateway.errors import (
    BadRequest,
    GatewayError,
    Internal,
    NotVideoContent,
    ThumbnailAnalysisFailed,
    VideoTooLong,
)
from gateway.media import links
from gateway.media.links import Address
from gateway.media.post import Figures, Post
from gateway.tasks import SingleFlight
from gateway.vision.analysis import Analysis
from gateway.web.dialects.analyzer.answers import PLATFORM, code_of, elapsed_ms
from gateway.web.dialects.analyzer.models import Pictured, Video
from gateway.wire.foreign import decoded
from gateway.wiring import Gateway

T = TypeVar("T")

log = structlog.get_logger()


class Wish(msgspec.Struct, frozen=True):
    """What is wished of a post. `age_s_max`: how old what is known of it may be."""

    age_s_max: float
    thumbnail: bool = True
    slides: bool = False
    language: str | None = None


class Extracted(msgspec.Struct, frozen=True):
    """What is kept of a post."""

    id: str
    read_at: float
    author: str
    title: str
    desc: str
    duration_s: float | None
    posted_at: int | None
    thumbnail_url: str | None
    figures: Figures


class Seen(msgspec.Struct, frozen=True):
    """What came of a post's pictures."""

    thumbnail: Analysis | None = None
    slides: tuple[Analysis | None, ...] | None = None
    failed: bool = False


class Extractions:
    """Extracts, and counts. `hits` and `misses` are of the posts that were asked for."""

    def __init__(self, gateway: Gateway) -> None:
        self.hits = self.misses = 0
        self._gateway = gateway
        # gateways share what they have found, unless it is what a login sees, or other exits
        places = "\n".join(gateway.exits.places)
        alone = gateway.settings.cookies_file is not None
        self._ours = secrets.token_hex(8) if alone else hashlib.sha256(places.encode()).hexdigest()[:16]
        self._flights: SingleFlight[str, Post] = SingleFlight(gateway.background, "analyzer")

    def check(self, language: str | None) -> None:
        """Raises BadRequest for a language that pictures are not described in."""
        analyst = self._gateway.analyst
        if language is not None and analyst is not None and language not in analyst.languages:
            raise BadRequest(f"Thumbnails are described in {', '.join(analyst.languages)}.")

    async def extract(self, url: str, wish: Wish) -> Video:
        """A post. Raises what reading its page does, NotVideoContent, Busy."""
        began = time.monotonic()
        try:
            found = await self._extract(url, wish, began)
        except GatewayError as failure:
            self._count(began, code_of(failure), links.known(url))
            raise
        except Exception:
            self._count(began, Internal.code, links.known(url))
            raise
        self._count(began, None, True)
        return found

    async def address(self, url: str, age_s_max: float) -> Address:
        """The address of a post; where a short link leads is kept. Raises InvalidUrl, UpstreamTimeout."""
        address = links.find(url)
        if address.post_id is not None:
            return address
        cache, name = self._gateway.cache, f"short {address.url}"
        kept = await cache.get(name) if age_s_max else None
        if kept is not None and (known := _address(kept)) is not None:
            return known
        address = await self._gateway.extractor.address(url)
        if self._age_s_max and address.post_id is not None:
            await cache.put(name, address.post_id.encode(), self._age_s_max)
        return address

    async def post(self, address: Address, age_s_max: float) -> Post:
        """A post with its links, in its turn; who asks for the same one meanwhile needs none."""
        assert address.post_id is not None
        since = time.time() - min(age_s_max, self._age_s_max)

        async def found() -> Post:
            async with self._gateway.extractions.one():
                return await self._gateway.extractor.find(address.url, since=since)

        post = await self._flights.run(address.post_id, found)
        return post if post.read_at >= since else await found()  # others take an older one

    @property
    def _age_s_max(self) -> float:
        """How long anything is kept."""
        settings = self._gateway.settings
        return settings.cache_ttl_s if settings.cache_enabled else 0.0

    async def _extract(self, url: str, wish: Wish, began: float) -> Video:
        age_s_max = min(wish.age_s_max, self._age_s_max)
        address = await self.address(url, age_s_max)
        assert address.post_id is not None
        since, post = time.time(), None
        found = await self._kept(address.post_id, since - age_s_max) if age_s_max else None
        if found is None:
            post = await self.post(address, age_s_max)
            found = await self._keep(post)
        hit = found.read_at < since
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        longest_s = self._gateway.settings.video_duration_max
        if (found.duration_s or 0) > longest_s:
            raise VideoTooLong(f"The post is longer than {longest_s:g} seconds.")
        seen = await self._seen(address, post, wish, age_s_max)
        return _video(url, found, seen, wish, hit, began)

    async def _kept(self, post_id: str, since: float) -> Extracted | None:
        value = await self._gateway.cache.get(self._name(post_id))
        if value is None:
            return None
        try:
            found = decoded(_extracted, value)
        except msgspec.DecodeError:  # of a version that keeps them otherwise
            return None
        return found if found.read_at > since else None

    async def _keep(self, post: Post) -> Extracted:
        """What is told of a post, kept as long as its links are good. Raises NotVideoContent."""
        if not post.formats and not post.images:
            raise NotVideoContent("The post has neither a video nor photos.")
        pictures = post.cover or (post.images[0].sources if post.images else ())
        found = Extracted(
            id=post.id,
            read_at=post.read_at,
            author=post.author,
            title=post.title,
            desc=post.desc,
            duration_s=post.duration_s,
            posted_at=post.posted_at,
            thumbnail_url=pictures[0].url if pictures else None,
            figures=post.figures,
        )
        now = time.time()
        left_s = min(post.read_at + self._age_s_max, post.expires_at or float("inf")) - now
        if left_s > 0:
            await self._gateway.cache.put(self._name(post.id), msgspec.json.encode(found), left_s)
        return found

    def _name(self, post_id: str) -> str:
        return f"extraction {self._ours} {post_id}"

    # pictures

    async def _seen(self, address: Address, post: Post | None, wish: Wish, age_s_max: float) -> Seen:
        """What is to be seen in them; a post of the cache is only read again where nobody has looked yet."""
        if self._gateway.analyst is None or not (wish.thumbnail or wish.slides):
            return Seen()
        language = wish.language or self._gateway.settings.analysis_language
        name = f"pictures {self._ours} {address.post_id} {wish.thumbnail:d}{wish.slides:d} {language}"
        kept = await self._gateway.cache.get(name) if post is None else None
        if kept is not None and (known := _known(kept)) is not None:
            return known
        seen = await self._unfailing(self._looked(address, post, wish, age_s_max), Seen(failed=True))
        if self._age_s_max and not seen.failed:
            value = msgspec.json.encode(
                [
                    seen.thumbnail and seen.thumbnail.model_dump(),
                    seen.slides and [one and one.model_dump() for one in seen.slides],
                ]
            )
            await self._gateway.cache.put(name, value, self._age_s_max)
        return seen

    async def _looked(self, address: Address, post: Post | None, wish: Wish, age_s_max: float) -> Seen:
        if post is None:
            post = await self.post(address, age_s_max)
        thumbnail, slides, failed = None, None, False
        if wish.thumbnail:
            looking = self._gateway.thumbnail(post, wish.language)
            found = await self._unfailing(looking, ThumbnailAnalysisFailed())
            if isinstance(found, ThumbnailAnalysisFailed):
                failed = True
            else:
                thumbnail = found
        if wish.slides and post.images:
            came = await self._gateway.slides(post, wish.language) or []
            slides = tuple(one if isinstance(one, Analysis) else None for one in came)
            failed = failed or None in slides
        return Seen(thumbnail, slides, failed)

    async def _unfailing(self, work: Awaitable[T], otherwise: T) -> T:
        """What comes of some work on pictures, or something else: a post is told without them."""
        try:
            return await work
        except GatewayError as failure:
            log.info("pictures not analysed", code=failure.code, reason=failure.message)
        except Exception as failure:
            log.error("pictures not analysed", exc_info=failure)
        return otherwise

    def _count(self, began: float, code: str | None, known: bool) -> None:
        counts = {"extractions": 1, "ms": elapsed_ms(began), "succeeded" if code is None else "failed": 1}
        if code is not None:
            counts[f"error {code}"] = 1
        if known:
            counts[f"platform {PLATFORM}"] = 1
        self._gateway.totals.add(counts)


EXTRACTIONS = web.AppKey("extractions", Extractions)

_extracted = msgspec.json.Decoder(Extracted)
_pictures = msgspec.json.Decoder(tuple[dict[str, Any] | None, list[dict[str, Any]] | None])


def _address(kept: bytes) -> Address | None:
    """The address of a kept id; None: it is no id."""
    address = links.canonical(kept.decode(errors="replace"))
    found = links.parse(address)
    return found if found is not None and found.url == address else None


def _known(kept: bytes) -> Seen | None:
    """What was seen before; None: of a version that keeps it otherwise."""
    try:
        thumbnail, slides = decoded(_pictures, kept)
        return Seen(
            None if thumbnail is None else Analysis.model_validate(thumbnail),
            None if slides is None else tuple(Analysis.model_validate(one) for one in slides),
        )
    except (msgspec.DecodeError, ValueError):
        return None


def _video(url: str, found: Extracted, seen: Seen, wish: Wish, hit: bool, began: float) -> Video:
    told = {
        "url": url,
        "title": found.title or None,
        "description": found.desc or None,
        "duration": None if found.duration_s is None else round(found.duration_s),
        "view_count": found.figures.views,
        "like_count": found.figures.likes,
        "comment_count": found.figures.comments,
        "share_count": found.figures.shares,
        "upload_date": found.posted_at and datetime.fromtimestamp(found.posted_at, UTC).date(),
        "uploader": found.author or None,
        "thumbnail_url": found.thumbnail_url,
        "thumbnail_analysis": seen.thumbnail,
        "extracted_at": datetime.fromtimestamp(found.read_at, UTC),
        "processing_time_ms": elapsed_ms(began),
        "cache_hit": hit,
        "warnings": (ThumbnailAnalysisFailed.code,) if seen.failed else (),
    }
    return Pictured(**told, slide_analyses=seen.slides) if wish.slides else Video(**told)
