"""Gateway: everything long-lived, built once."""

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from gateway import __version__, secret
from gateway.errors import ThumbnailAnalysisFailed
from gateway.lag import Lag
from gateway.media.audio import Decoders
from gateway.media.canary import Canary
from gateway.media.dial import Dial
from gateway.media.exits import Exits
from gateway.media.extractor import Extractor
from gateway.media.jpegs import Jpegs
from gateway.media.parts import Parts
from gateway.media.post import Post, Wanted, find
from gateway.media.remux import Remuxes
from gateway.media.shelf import Shelf
from gateway.media.slideshow import Slideshows
from gateway.media.spools import Spools
from gateway.media.turns import Turns
from gateway.media.uploads import Uploads
from gateway.media.upstream import Upstreams
from gateway.media.webhooks import Webhooks
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.pool import LocalPool, Pool
from gateway.speech.transcripts import Transcript, Transcripts
from gateway.store import database, redis
from gateway.store.accounts import Accounts, Quota
from gateway.store.cache import Cache
from gateway.store.codes import Codes
from gateway.store.feed import Feed
from gateway.store.holds import Holds
from gateway.store.jobs import Jobs
from gateway.store.limits import Limits
from gateway.store.register import Register
from gateway.store.search import Search
from gateway.store.seen import Seen
from gateway.store.totals import Totals
from gateway.store.transcripts import Transcripts as Archive
from gateway.store.usage import Usage
from gateway.store.withdrawal import Withdrawal
from gateway.store.writer import Writer
from gateway.tasks import Background
from gateway.tracing import Tracing
from gateway.transcripts.asking import Ask
from gateway.transcripts.flights import Flights
from gateway.transcripts.hearing import Hearing
from gateway.transcripts.library import Library
from gateway.transcripts.mirrors import Mirrors
from gateway.transcripts.news import News
from gateway.transcripts.scribe import Scribe
from gateway.transcripts.telling import Telling
from gateway.transcripts.works import Works
from gateway.vision.analysis import Analysis
from gateway.vision.analyst import Analyst
from gateway.vision.client import Client
from gateway.vision.picture import IMAGE_BYTES_MAX


class Gateway:
    """The components, introduced to each other. Use `running.running` to have one.

    It sees to what dead processes left, unless that is left to another.
    """

    def __init__(self, settings: Settings, *, heir: bool = True) -> None:
        self.settings = settings
        self.secret = (
            settings.secret.get_secret_value().encode() if settings.secret else secret.kept(settings.data_dir)
        )
        self.began, self.started_at = time.monotonic(), datetime.now(UTC)
        self.metrics = Metrics()
        self.lag = Lag()
        self.tracing = Tracing(settings.otlp_endpoint, version=__version__)
        self.background = Background()
        self.exits = Exits(settings.proxies)
        self.dial = Dial(settings, self.exits)
        self.upstreams = Upstreams(settings, self.dial, tracing=self.tracing)
        self.redis = redis.of(settings)
        self.limits = Limits(self.redis)
        self.seen = Seen(self.redis)
        self.cache = Cache(
            self.redis,
            bytes_max=settings.cache_bytes_max,
            ttl_s_max=settings.cache_ttl_s if settings.cache_enabled else 0,
        )
        self.extractor = Extractor(
            settings,
            self.background,
            self.exits,
            self.dial.unfold,
            self._shelf(settings),
            tracing=self.tracing,
        )
        self.canary = Canary(settings.canary_url, self.extractor, self.exits)
        self.decoders = Decoders(self.background, tracing=self.tracing)
        self.remuxes = Remuxes()
        self.spools = Spools(
            settings.data_dir / "spools",
            self.background,
            bytes_max=settings.spool_bytes_max,
            keep_s=settings.spool_s,
            sweep=heir,
        )
        self.uploads = Uploads(settings.data_dir / "uploads", bytes_max=settings.spool_bytes_max)
        self.slideshows = Slideshows(renders_max=settings.renders, render_s=settings.render_s)
        self.parts = Parts(
            self.spools,
            self.upstreams,
            self.extractor,
            self.remuxes,
            self.slideshows,
            caption_s=settings.caption_s,
        )
        self.analyst = _analyst(settings, self.background, self.cache)
        self.extractions = Turns(
            settings.extractions_max, waiting_max=settings.extract_waiting_max, wait_s=settings.extract_s / 2
        )
        self.database = database.of(settings)
        self.totals = Totals(self.database)
        self.accounts = Accounts(self.database)
        self.usage = Usage(
            self.database,
            Quota(settings.month_bytes_max, settings.month_audio_s_max, settings.stored_bytes_max),
        )
        self.archive = Archive(self.database)
        self.search = Search(self.database)
        self.writer = Writer(self.database, self.archive)
        of_cluster = settings.cluster_address is not None
        self.pool: Pool = (ClusterPool if of_cluster else LocalPool)(settings, tracing=self.tracing)
        self.codes = Codes(self.database)
        self.holds = Holds(self.database, lease_s=settings.lease_s)
        process = self.spools.name
        self.jobs = Jobs(self.database, process, folder=self.uploads.id, lease_s=settings.lease_s)
        self.withdrawal = Withdrawal(self.database, self.jobs, self.holds, self.archive)
        self.register = Register(self.database, process, lease_s=settings.lease_s)
        self.wanted = asyncio.Event()  # there may be a job that can be taken up
        self.webhooks = Webhooks(self.secret, settings.webhook_allow)
        self.news = News(self.webhooks, self.jobs, self.background)
        self.works = Works(self.background, self.jobs, self.withdrawal, self.uploads, self.news)
        self.stopping = False
        self.scribe = Scribe(self.register, self.usage, self.writer, stopping=lambda: self.stopping)
        feed = None if self.redis is None else Feed(self.redis)
        self.mirrors = None if feed is None else Mirrors(feed, process, self.background)
        self.telling = None if feed is None else Telling(feed, process, self.background, act=self._act)
        self.transcripts = Transcripts(
            self.pool,
            self.background,
            settings,
            flights=self._flights(),
            begun=self.telling.begin if self.telling is not None else lambda _: None,
            ended=self.scribe.ended,
            left=self.scribe.left,
        )
        self.hearing = Hearing(
            settings, self.parts, self.spools, self.decoders, self.transcripts, self.scribe
        )
        self.library = Library(
            self.transcripts,
            self.writer,
            self.archive,
            self.jobs,
            self.scribe,
            self.works,
            self.mirrors,
            self.telling,
            model=settings.model_name,
        )

    @property
    def ready(self) -> bool:
        """Whether a transcript would be accepted now."""
        return self.pool.ready and self.transcripts.room and not self.stopping

    @property
    def database_state(self) -> Literal["ok", "away"]:
        """Whether the database answered when it was looked at the last time, with tables of ours."""
        return "ok" if self.database.ready and not self.database.away else "away"

    @property
    def redis_state(self) -> Literal["ok", "away", "not configured"]:
        """Whether Redis answered when it was asked the last time."""
        return "not configured" if self.redis is None else self.redis.state

    def _flights(self) -> Flights | None:
        if self.redis is None or self.mirrors is None:
            return None
        return Flights(
            self.redis,
            self.mirrors,
            self.archive,
            model=self.settings.model_name,
            keep_s=self.settings.transcript_s,
            here=lambda id_: self.transcripts.by_id(id_),  # which are made after it
        )

    async def _act(self, transcript: Transcript, ask: Ask) -> bool:
        return await self.library.act(transcript, ask)  # which is made after those that it reads

    def _shelf(self, settings: Settings) -> Shelf | None:
        """Where other gateways' posts are, if it may be shared what our pages tell."""
        if self.redis is None or not settings.post_s or settings.cookies_file is not None:
            return None
        return Shelf(self.cache, self.exits, wait_s=settings.extract_s)

    async def thumbnail(self, post: Post, language: str | None = None) -> Analysis | None:
        """What is to be seen on a post's cover, or on its first slide; None where nothing is analysed.

        Raises BadRequest, ThumbnailAnalysisFailed.
        """
        key = "cover" if post.cover else "image:1"
        if self.analyst is None or not (post.cover or post.images):
            return None
        return await self.analyst.analyse(partial(self._image, post, find(post, key)), language)

    async def slides(
        self, post: Post, language: str | None = None
    ) -> list[Analysis | ThumbnailAnalysisFailed] | None:
        """What came of each slide of a photo post; None where nothing is analysed. Raises BadRequest."""
        if self.analyst is None:
            return None
        keys = [f"image:{number}" for number in range(1, len(post.images) + 1)]
        images = [partial(self._image, post, find(post, key)) for key in keys]
        return await self.analyst.analyse_all(images, language)

    async def _image(self, post: Post, wanted: Wanted) -> bytes:
        """The bytes of a photo, no more of them than are looked at."""
        data = bytearray()
        async with self.parts.open(post, wanted) as spool, aclosing(spool.chunks()) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > IMAGE_BYTES_MAX:
                    break
        return bytes(data)


def _analyst(settings: Settings, background: Background, cache: Cache) -> Analyst | None:
    """Who looks at thumbnails, where there is a key for it. Raises NotSetUp."""
    if settings.openai_api_key is None:
        return None
    client = Client(
        key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        model=settings.vision_model,
        call_s=settings.vision_s,
    )
    return Analyst(client, settings, background, cache=cache, convert=Jpegs())
