"""Gateway: everything long-lived, built once, closed in reverse."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

import msgspec
import structlog

from gateway import __version__, secret
from gateway.errors import (
    AudioTooLong,
    Busy,
    Cancelled,
    CreditTooSmall,
    Forbidden,
    GatewayError,
    Interrupted,
    MediaUndecodable,
    NotAudio,
    NotFound,
    SchemaMismatch,
    StoreUnavailable,
    ThumbnailAnalysisFailed,
    UpstreamFailed,
    UpstreamTimeout,
    VideoTooLong,
)
from gateway.lag import Lag
from gateway.media import links
from gateway.media.audio import Decoders
from gateway.media.canary import Canary
from gateway.media.captions import Source, caption, cues
from gateway.media.dial import Dial
from gateway.media.exits import Exits
from gateway.media.extractor import Extractor
from gateway.media.film import Film
from gateway.media.jpegs import Jpegs
from gateway.media.post import Post, Wanted, find, heard
from gateway.media.remux import Remuxes
from gateway.media.shelf import Shelf
from gateway.media.slideshow import Slideshows
from gateway.media.sniff import foreign
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.media.turns import Turns
from gateway.media.uploads import Uploads
from gateway.media.upstream import Upstreams
from gateway.media.webhooks import Webhooks
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.speech import models
from gateway.speech.pool import LocalPool
from gateway.speech.transcript import Settle
from gateway.speech.transcripts import Options, Origin, Sound, Transcript, Transcripts
from gateway.speech.written import written
from gateway.store import database, redis, schema
from gateway.store.accounts import Accounts, Quota
from gateway.store.cache import Cache
from gateway.store.codes import Codes
from gateway.store.holds import Holds
from gateway.store.jobs import ENDED, Job, Jobs
from gateway.store.limits import Limits
from gateway.store.register import Entry, Register
from gateway.store.search import Search
from gateway.store.seen import Seen
from gateway.store.tables import ANYONE
from gateway.store.totals import Totals
from gateway.store.transcripts import Draft, Provenance
from gateway.store.transcripts import Transcripts as Archive
from gateway.store.usage import Usage
from gateway.store.withdrawal import Withdrawal
from gateway.store.writer import Ended, Writer
from gateway.tasks import Background
from gateway.tracing import Tracing
from gateway.vision.analysis import Analysis
from gateway.vision.analyst import Analyst
from gateway.vision.client import Client
from gateway.vision.picture import IMAGE_BYTES_MAX
from gateway.wire.events import Failed, Logged
from gateway.wire.subtitles import Cue

SWEEP_S = 30
JOBS_S = 30 * 24 * 3600  # how long an Idempotency-Key is good
ORPHANED = timedelta(
    seconds=300
)  # after which a webhook is owed by a process that is gone: longer than it is tried for
HEAD_BYTES = 512  # of media that nobody understood: what else they may be
DATABASE_S = 5  # how often the database is looked at: who asks /ready does not wait for it
TITLE_CHARS_MAX = 200
SETTLING_S = 20  # how long who cancels waits for what is settled then

log = structlog.get_logger()


class Gateway:
    """The components, introduced to each other. Use `running` to have one."""

    def __init__(self, settings: Settings) -> None:
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
        )
        self.uploads = Uploads(settings.data_dir / "uploads", bytes_max=settings.spool_bytes_max)
        self.slideshows = Slideshows(renders_max=settings.renders, render_s=settings.render_s)
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
        self.pool = LocalPool(settings, tracing=self.tracing)
        self.codes = Codes(self.database)
        self.holds = Holds(self.database, lease_s=settings.lease_s)
        process = self.spools.name
        self.jobs = Jobs(self.database, process, folder=self.uploads.id, lease_s=settings.lease_s)
        self.withdrawal = Withdrawal(self.database, self.jobs, self.holds, self.archive)
        self.register = Register(self.database, process, lease_s=settings.lease_s)
        self.works: dict[str, asyncio.Task[None]] = {}  # who settles a transcript, by its id
        self.wanted = asyncio.Event()  # there may be a job that can be taken up
        self.webhooks = Webhooks(self.secret, settings.webhook_allow)
        self.transcripts = Transcripts(
            self.pool, self.background, settings, ended=self._keep, left=self._left
        )
        self.stopping = False

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

    def _shelf(self, settings: Settings) -> Shelf | None:
        """Where other gateways' posts are, if it may be shared what our pages tell."""
        if self.redis is None or not settings.post_s or settings.cookies_file is not None:
            return None
        return Shelf(self.cache, self.exits, wait_s=settings.extract_s)

    def part(self, post: Post, wanted: Wanted) -> AbstractAsyncContextManager[Spool]:
        """A part of a post as a spool: the one that is there, or a new one that the site fills."""
        return self.spools.open((post.id, wanted.key), partial(self._fill, post=post, wanted=wanted))

    def kept(self, post: Post, wanted: Wanted) -> Spool | None:
        """The spool of a part, if it is there now."""
        return self.spools.kept((post.id, wanted.key))

    def part_of(self, post_id: str, key: str) -> AbstractAsyncContextManager[Spool]:
        """As `part`, of a post that is only found where the spool is not there any more."""

        async def fill(spool: Spool) -> None:
            post = await self.extractor.find(links.canonical(post_id))
            await self._fill(spool, post, find(post, key))

        return self.spools.open((post_id, key), fill)

    async def _fill(self, spool: Spool, post: Post, wanted: Wanted) -> None:
        """From the site, or made of parts that are."""
        if wanted.film is not None:
            await self._render(spool, post, wanted, wanted.film)
        elif wanted.of is not None:
            async with self.part(post, wanted.of) as video:
                await self.remuxes.fill(spool, video)
        else:
            await self._read(spool, post, wanted)

    async def _render(self, spool: Spool, post: Post, wanted: Wanted, film: Film) -> None:
        """A slideshow's film, of photos and a sound that are parts of the post themselves."""
        async with AsyncExitStack() as parts:
            photos = [await parts.enter_async_context(self.part(post, one)) for one in wanted.slides]
            heard = None
            if wanted.sound is not None:
                heard = await parts.enter_async_context(self.part(post, wanted.sound))
            await self.slideshows.fill(spool, photos, heard, film)

    async def _read(self, spool: Spool, post: Post, wanted: Wanted) -> None:
        def spare() -> bool:
            """Whether another part can still be sent instead of this one."""
            return wanted.instead is not None and not spool.size

        async def again() -> Wanted:
            """The same part with links of a page read now."""
            if spare():
                raise UpstreamFailed("The site does not give this format of the video.")
            await self.extractor.forget(post.id)
            return find(await self.extractor.find(post.url), wanted.key)

        try:
            await self.upstreams.fill(spool, wanted, again)
        except UpstreamFailed:
            if not spare():
                # its links may be what is wrong; the next request gets new ones
                await self.extractor.forget(post.id)
            raise

    def transcript(
        self,
        post: Post,
        options: Options,
        media: Wanted | None = None,
        *,
        owner: str = ANYONE,
        registered: bool = True,
    ) -> Transcript:
        """The transcript of what is heard in a post; in `media`, where those are its video.

        `owner` asks for it, and has it from now on; one that is begun is a job, unless it is `registered`
        by what it is begun for. Raises NotVideoContent, Busy, NotReady.
        """
        wanted = media if media is not None and post.kind == "video" else heard(post)
        key = post.id
        if post.kind == "photo" and post.sound is not None and post.sound.id is not None:
            key = f"sound {post.sound.id}"  # the same one in other posts
        sound = self.sound(lambda: self.part(post, wanted))
        found = self.transcripts.join(key, options, sound, duration=post.duration_s, origin=_origin(post))
        return self._owned(found, owner, registered=registered)

    async def heard_before(self, post_id: str, options: Options, *, owner: str) -> Transcript | None:
        """The whole transcript of what was heard in a post, if it is known; `owner` has it from now on."""
        there = self.transcripts.named((post_id, options))
        if there is not None and there.whole:
            return self._owned(there, owner)
        try:
            found = await self.archive.heard(post_id, msgspec.to_builtins(options), self.settings.model_name)
        except StoreUnavailable:
            return None  # it is heard again
        if found is None:
            return None
        stored, log_ = found
        told = _told_again(
            stored.id, log_, stored.title, stored.provenance, stored.created_at, stored.ended_at
        )
        told.owners = sorted(stored.owners)
        return self._owned(told, owner)

    async def transcript_from(
        self, source: Source, post: Post, options: Options, *, owner: str = ANYONE
    ) -> Transcript:
        """The transcript of a post: its own captions where they are what is wanted, else what is heard.

        Raises what `transcript` does; with source `captions` also what kept them from being read.
        """
        chosen = caption(
            post,
            source=source,
            language=options.language,
            task=options.task,
            modelled=bool(options.words or options.prompt or options.hotwords or options.temperature),
        )
        if chosen is None:
            return self.transcript(post, options, owner=owner)
        key = (post.id, chosen.part.key)
        instead = (*key, options)  # speech that was recognised because of them
        there = self.transcripts.named(key)
        if there is None and source == "auto":
            there = self.transcripts.named(instead)
        if there is not None:
            return self._owned(there, owner)
        try:
            found = await self.captions(post, chosen.part)
            if not found and source == "auto":
                raise UpstreamFailed("The captions have no text.")
        except GatewayError as failure:
            if source == "captions":
                raise
            log.warning(
                "captions not read, recognising speech",
                post=post.id,
                part=chosen.part.key,
                code=failure.code,
                reason=failure.message,
            )
            heard = self.transcript(post, options, owner=owner)
            return self._owned(self.transcripts.claim(heard, instead), owner)
        work = written(
            found, captions=chosen.kind, language=chosen.language or None, duration=post.duration_s
        )
        # an empty one is no answer to those who would take speech as well
        told = self.transcripts.written(
            key if found else (*key, ""), work, duration=post.duration_s, origin=_origin(post)
        )
        return self._owned(told, owner)

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
        async with self.part(post, wanted) as spool, aclosing(spool.chunks()) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > IMAGE_BYTES_MAX:
                    break
        return bytes(data)

    async def captions(self, post: Post, wanted: Wanted) -> list[Cue]:
        """What is in a file of captions, within their deadline. Raises UpstreamFailed, UpstreamTimeout."""
        try:
            async with (
                asyncio.timeout(self.settings.caption_s),
                self.part(post, wanted) as spool,
                aclosing(spool.chunks()) as chunks,
            ):
                file = b"".join([chunk async for chunk in chunks])
        except TimeoutError:
            raise UpstreamTimeout("The site sent the captions too slowly.") from None
        return await asyncio.to_thread(cues, file, post.duration_s)

    @asynccontextmanager
    async def upload(self, key: Hashable, fill: Fill) -> AsyncIterator[Spool]:
        """A caller's own media as a spool; they are kept no longer than somebody reads them."""
        async with self.spools.open(("upload", key), fill, passing=True) as spool:
            yield spool

    def uploaded(self, key: Hashable, fill: Fill, options: Options, *, owner: str = ANYONE) -> Transcript:
        """The transcript of what is heard in a caller's own media. Raises Busy, NotReady."""
        sound = self.sound(lambda: self.upload(key, fill))
        return self._owned(self.transcripts.join(("upload", key), options, sound, duration=None), owner)

    def _owned(self, transcript: Transcript, owner: str, *, registered: bool = True) -> Transcript:
        """The transcript, which has this owner too from now on."""
        if not transcript.owners and registered:
            known = {"url": transcript.origin.url}
            self.register.begin(Entry(transcript.id, transcript.created_at, owner=owner, payload=known))
        if owner not in transcript.owners:
            transcript.owners.append(owner)
            if transcript.over:
                self.writer.own(transcript.id, owner)
        return transcript

    async def read(self, id_: str) -> Transcript:
        """A transcript by its id: from memory while it is there, else as far as it was written down.

        One that runs in another process, or waits for one, is neither `running` here nor `over`. Raises
        NotFound, StoreUnavailable.
        """
        there = self.transcripts.by_id(id_)
        if there is not None:
            return there
        waiting = self.writer.waiting(id_)
        if waiting is not None:
            draft = waiting.draft
            told = _told_again(
                id_, waiting.events, draft.title, draft.provenance, draft.created_at, waiting.ended_at
            )
            told.owners = [draft.owner, *draft.others]
            return told
        try:
            stored, log = await self.archive.whole(id_)
        except NotFound:
            job = await self.jobs.of(id_)
            if job is None or (log_of := _log_of(job, self.jobs.process)) is None:
                raise
            told = _told_again(
                id_, log_of, None, Provenance(url=job.payload.get("url")), job.created_at, job.ended_at
            )
            told.pending = job.state == "PENDING"
            told.owners = [job.owner]
            return told
        told = _told_again(id_, log, stored.title, stored.provenance, stored.created_at, stored.ended_at)
        told.owners = sorted(stored.owners)
        return told

    async def changed_by(self, id_: str, owner: str | None) -> Transcript:
        """A transcript that an account may change: its own, or anybody's; None may change all.

        Raises Forbidden, and what `read` does.
        """
        transcript = await self.read(id_)
        if owner is not None and not _having(transcript, owner):
            raise Forbidden("Only who asked for a transcript changes it.")
        return transcript

    async def rename(self, id_: str, title: str | None) -> Transcript:
        """Gives a transcript another title. Raises what `read` does."""
        transcript = await self.read(id_)
        if not transcript.running:
            try:
                await self.writer.rename(id_, title)
            except NotFound:  # its row is gone or never came, memory is not
                if self.transcripts.by_id(id_) is None:
                    raise Busy("The transcript cannot be given a title now. Ask again.") from None
        transcript.title = title
        return transcript

    async def cancel(self, transcript: Transcript) -> bool:
        """Ends the work on a transcript, here or wherever it is to be done, and waits for what is settled
        then. False: it came to its end. Raises Busy where it cannot be reached, StoreUnavailable."""
        if transcript.running:
            cancelled = await transcript.cancel()
            if (settling := self.works.get(transcript.id)) is not None:
                await asyncio.wait([settling], timeout=SETTLING_S)
            return cancelled
        return not transcript.over and await self._called_off(transcript.id)

    async def _called_off(self, id_: str) -> bool:
        """Ends a job that is not worked on in this process. False: it has ended."""
        job = await self.jobs.of(id_)
        if job is None or (job.waiting and job.state not in ENDED):
            raise Busy("The transcript is not at its end, and does not run here. Ask again.")
        if job.state == "PENDING" and await self.withdrawal.withdraw(job):
            self.uploads.drop(job.id)
            self.background.start(self.tell(await self.jobs.get(job.id)), f"webhook {job.id}")
            return True
        return await self.jobs.cancel(job.id)  # who works on it sees that

    async def delete(self, id_: str, *, owner: str | None = None) -> None:
        """Removes a transcript wherever it is, cancelled if it runs; where others have it too, only from
        the owner. Raises what `changed_by` does.
        """
        acting = _having(await self.changed_by(id_, owner), owner)
        there = self.transcripts.by_id(id_)
        alone = acting is None or there is None or set(there.owners) <= {acting}
        if there is None:
            job = await self.jobs.of(id_)
            if job is not None and not job.waiting and job.state not in ENDED:
                await self._called_off(id_)
        elif there.running and alone:
            await self.cancel(there)
        try:
            await self.writer.delete(id_, owner=acting)
        except NotFound:
            if not await self.jobs.forget(id_) and there is None:
                raise
        else:
            await self.jobs.forget(id_)
        if there is None:
            return
        if alone:
            self.transcripts.remove(there)
        elif acting in there.owners:
            there.owners.remove(acting)

    async def sweep_rows(self) -> None:
        """Removes what was in the database long enough. Raises StoreUnavailable."""
        if self.settings.transcript_rows_s:
            await self.archive.sweep(self.settings.transcript_rows_s)

    async def sweep_uploads(self) -> int:
        """Removes files whose jobs have ended; how many. Raises StoreUnavailable."""
        there = self.uploads.ids()
        return self.uploads.sweep(there, await self.jobs.open_of(there)) if there else 0

    def work(self, id_: str, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Begins the work of who settles a transcript."""
        task = self.works[id_] = self.background.start(work, name)

        def ended(_: "asyncio.Task[None]") -> None:
            if self.works.get(id_) is task:
                del self.works[id_]

        task.add_done_callback(ended)
        return task

    def forget(self, id_: str) -> None:
        """Has no transcript of an id in memory any more, which is to be made anew."""
        there = self.transcripts.by_id(id_)
        if there is not None and there.ending:
            self.transcripts.remove(there)

    def _left(self, transcript: Transcript) -> None:
        """It was stopped: by this gateway's end, or as everybody had left."""
        if self.stopping:
            self.register.end(transcript.id, "FAILED", Failed(Interrupted.code, Interrupted.text))
        else:
            self.register.end(transcript.id, "CANCELLED")

    def _keep(self, transcript: Transcript) -> None:
        """Has a transcript written down that has ended."""
        assert transcript.ended_at is not None
        last = transcript.events[-1]
        if isinstance(last, Failed):
            self.register.end(transcript.id, "CANCELLED" if transcript.cancelled else "FAILED", last)
        else:
            self.register.end(transcript.id, "COMPLETE")
        origin = transcript.origin
        provenance = Provenance(
            url=origin.url,
            post_id=origin.post_id,
            sound_id=origin.sound_id,
            media_sha256=transcript.media_sha256,
        )
        payer, *others = transcript.owners or [ANYONE]
        if transcript.options is not None and not transcript.followed:
            self.usage.heard(payer, transcript.heard_s)
        draft = Draft(
            transcript.id,
            owner=payer,
            others=tuple(others),
            title=transcript.title,
            provenance=provenance,
            options=None if transcript.options is None else msgspec.to_builtins(transcript.options),
            created_at=transcript.created_at,
        )
        self.writer.put(Ended(draft, transcript.events, transcript.ended_at))

    def bought(
        self, key: Hashable, fill: Fill, options: Options, *, worth_s: float, settle: Settle, id_: str
    ) -> Transcript:
        """The same, of a code that is worth so much: it is stopped as soon as there is more.

        Raises Busy, NotReady; its readers get CreditTooSmall, AudioTooLong, NotAudio too.
        """
        seconds_max = self.settings.video_duration_max
        sound = self.sound(lambda: self.upload(key, fill), seconds_max=min(seconds_max, worth_s))

        async def samples() -> AsyncGenerator[bytes, None]:
            try:
                async with aclosing(sound.samples()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except VideoTooLong:
                if worth_s < seconds_max:
                    raise CreditTooSmall(
                        f"The audio is longer than {worth_s:g} s, which is what the code is worth."
                    ) from None
                raise AudioTooLong(f"The audio is longer than {seconds_max:g} s.") from None
            except MediaUndecodable:
                async with self.upload(key, fill) as spool, aclosing(spool.chunks(0, HEAD_BYTES)) as first:
                    head = await anext(first, b"") if spool.size else b""
                if foreign(head):
                    raise NotAudio from None
                raise

        heard = Sound(samples, sound.arrived, sound.digest)
        return self.transcripts.join(("upload", key), options, heard, duration=None, settle=settle, id_=id_)

    async def tell(self, job: Job) -> None:
        """Tells the webhook of a job that has ended, and puts down whether it was heard."""
        if job.webhook_state != "OWED" or job.webhook_url is None:
            return
        error = None if job.error_code is None else {"code": job.error_code, "message": job.error_text}
        news = {"id": job.transcript_id, "status": job.state.lower(), "error": error}
        heard = await self.webhooks.tell(job.webhook_url, msgspec.json.encode(news))
        await self.jobs.told(job.id, heard=heard)

    def sound(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Spool]],
        *,
        seconds_max: float | None = None,  # None: as the settings say
    ) -> Sound:
        """What is heard in a spool, which is opened whenever it is needed."""
        open_: list[Spool] = []
        most_s = self.settings.video_duration_max if seconds_max is None else seconds_max

        async def samples() -> AsyncGenerator[bytes, None]:
            async with opened() as spool:
                open_.append(spool)
                await spool.begun()
                async with aclosing(self.decoders.samples(spool, seconds_max=most_s)) as chunks:
                    async for chunk in chunks:
                        yield chunk

        async def digest() -> str:
            async with opened() as spool:
                return await spool.digest()

        def arrived() -> tuple[int, int | None]:
            return (open_[0].size, open_[0].length) if open_ else (0, None)

        return Sound(samples, arrived, digest)


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


def _having(transcript: Transcript, owner: str | None) -> str | None:
    """As whom an account changes a transcript: itself, else anybody; None: not at all, or as the operator."""
    if owner is None:
        return None
    return next((one for one in (owner, ANYONE) if one in (transcript.owners or [ANYONE])), None)


def _origin(post: Post) -> Origin:
    """Where a post's words come from."""
    sound_id = post.sound.id if post.kind == "photo" and post.sound is not None else None
    return Origin(post.title[:TITLE_CHARS_MAX] or None, post.url, post.id, sound_id)


def _log_of(job: Job, process: str) -> tuple[Failed, ...] | None:
    """What a job says of its transcript, which has no row; None: nothing."""
    if job.state == "CANCELLED" and not job.waiting:
        return (Failed(Cancelled.code, Cancelled.text),)
    if job.state == "FAILED" and (job.error_code == Interrupted.code or not job.waiting):
        return (Failed(job.error_code or Interrupted.code, job.error_text or Interrupted.text),)
    here = job.waiting and job.lease_owner == process  # and memory does not know it any more
    return () if job.state not in ENDED and not here else None


def _told_again(
    id_: str,
    events: Sequence[Logged],
    title: str | None,
    provenance: Provenance,
    created_at: datetime | None,
    ended_at: datetime | None,
) -> Transcript:
    assert created_at is not None
    origin = Origin(title, provenance.url, provenance.post_id, provenance.sound_id)
    return Transcript.told_again(id_, events, origin, created_at, ended_at)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway with its processes started; the speech model may still be on its way.

    Raises SchemaMismatch where the database is not for this version. One that is away is waited for
    in the background.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    gateway = Gateway(settings)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(asyncio.to_thread, gateway.tracing.close)
        closing.push_async_callback(gateway.database.close)
        gateway.database.ready = False
        with suppress(StoreUnavailable):  # which the log has
            await _check(gateway)
        if gateway.redis is not None:
            closing.push_async_callback(gateway.redis.close)
            await gateway.redis.start()
        closing.push_async_callback(gateway.writer.close)
        closing.push_async_callback(gateway.register.close)
        closing.push_async_callback(gateway.usage.close)
        closing.push_async_callback(gateway.totals.close)
        closing.callback(gateway.spools.close)
        closing.push_async_callback(gateway.pool.close)
        closing.push_async_callback(gateway.transcripts.close)
        closing.push_async_callback(gateway.decoders.close)
        closing.push_async_callback(gateway.extractor.close)
        await gateway.webhooks.start()
        closing.push_async_callback(gateway.webhooks.close)
        await gateway.dial.start()
        closing.push_async_callback(gateway.dial.close)
        if gateway.analyst is not None:
            closing.push_async_callback(gateway.analyst.close)
        closing.push_async_callback(_handing_over, gateway)
        closing.push_async_callback(gateway.background.close)
        gateway.extractor.start()
        gateway.decoders.start()
        if gateway.analyst is not None:
            gateway.background.start(gateway.analyst.start(), "vision")
        gateway.background.start(_speech(gateway), "model")
        gateway.background.start(_sweeping(gateway), "sweep")
        gateway.background.start(_settling(gateway), "leases")
        gateway.background.start(_telling(gateway), "webhooks")
        gateway.background.start(gateway.writer.run(), "rows")
        gateway.background.start(gateway.register.run(), "register")
        gateway.background.start(gateway.usage.run(), "usage")
        gateway.background.start(gateway.totals.run(), "totals")
        gateway.background.start(_looking(gateway), "database")
        if gateway.redis is not None:
            gateway.background.start(gateway.redis.run(), "redis")
        gateway.background.start(_watching(gateway), "canary")
        gateway.background.start(gateway.lag.run(), "lag")
        yield gateway


async def _speech(gateway: Gateway) -> None:
    """Fetches the model if it is not there, then starts the workers; again later if that fails."""
    settings, wait_s = gateway.settings, 5.0
    while True:
        try:
            folder = models.find(settings.model, settings.data_dir)
            if folder is None:
                log.info("fetching the speech model", model=settings.model)
                folder = await models.pull(settings.model, settings.data_dir, settings.model_hub_s, _quiet)
            await gateway.pool.start(folder)
            log.info("speech ready", model=settings.model, workers=settings.worker_count)
            return
        except Exception as error:
            log.error("no speech model yet", model=settings.model, reason=str(error), again_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 300)


def _quiet(step: str, done: int, total: int | None) -> None:
    """A server tells where it stands by /ready; the steps are for the command line."""


async def _sweeping(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        gateway.spools.sweep()
        gateway.transcripts.sweep()
        if gateway.database_state == "away":
            continue
        try:
            await gateway.sweep_rows()
        except StoreUnavailable:
            pass  # the log has it
        except Exception as failure:  # a fault of ours is no reason to let the disk fill up
            log.error("rows were not swept", exc_info=failure)


async def _check(gateway: Gateway) -> None:
    """Lets the database be used once its tables are ours. Raises SchemaMismatch, StoreUnavailable."""
    await schema.check(gateway.database, migrate=gateway.settings.database_migrate)
    gateway.database.ready = True


async def _looking(gateway: Gateway) -> None:
    """Looks whether the database answers, so that others need not try, and at its tables once it does."""
    told = ""
    while True:
        await asyncio.sleep(DATABASE_S)
        try:
            if gateway.database.ready:
                await schema.current(gateway.database)
            else:
                await _check(gateway)
        except StoreUnavailable:
            pass  # the log has it
        except SchemaMismatch as failure:
            if told != failure.message:
                log.error("the database is not used", reason=failure.message)
            told = failure.message
        except Exception as failure:  # a fault of ours is no reason to stop looking
            log.error("the database was not looked at", exc_info=failure)


async def _settling(gateway: Gateway) -> None:
    """Gives back the codes, and has the jobs taken up or ended, of processes that are not there any more."""
    dead = gateway.spools.dead
    while True:
        try:
            repaired = await gateway.jobs.repair(dead)
            dead = ()
            if repaired:
                gateway.wanted.set()
            expired = await gateway.holds.expire()
            await gateway.sweep_uploads()
            if expired or repaired:
                log.warning("left by a dead process", holds=expired, jobs=repaired)
            await gateway.jobs.sweep(JOBS_S)
        except StoreUnavailable:
            pass  # the database has said so
        except Exception as error:  # a fault of ours is no reason to keep codes
            log.error("leases not looked after", exc_info=error)
        await asyncio.sleep(min(SWEEP_S, gateway.settings.lease_s))


async def _handing_over(gateway: Gateway) -> None:
    """Lets the next process have what was taken up in the last moment."""
    with suppress(StoreUnavailable):
        await gateway.jobs.hand_all_back()


async def _telling(gateway: Gateway) -> None:
    """Tells the webhooks that are owed by processes that are not there any more."""
    while True:
        try:
            before = datetime.now(UTC) - ORPHANED
            for job in await gateway.jobs.owed():
                if job.ended_at is not None and job.ended_at < before:
                    await gateway.tell(job)
        except StoreUnavailable:
            pass
        except Exception as error:
            log.error("webhooks not told", exc_info=error)
        await asyncio.sleep(SWEEP_S)


async def _watching(gateway: Gateway) -> None:
    """Looks at the site and at the installed yt-dlp, again and again."""
    while True:
        try:
            await gateway.canary.look()
            await asyncio.sleep(gateway.settings.canary_s)
            await gateway.extractor.renew_if_changed()
        except Exception as error:  # a fault of ours is no reason to stop looking
            log.error("the canary fell ill", exc_info=error)
            await asyncio.sleep(gateway.settings.canary_s)
