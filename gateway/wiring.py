"""Gateway: everything long-lived, built once, closed in reverse."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

import msgspec
import structlog

from gateway import __version__, secret
from gateway.errors import (
    AudioTooLong,
    CreditTooSmall,
    GatewayError,
    MediaUndecodable,
    NotAudio,
    NotFound,
    SchemaMismatch,
    StoreUnavailable,
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
from gateway.media.post import Post, Wanted, find, heard
from gateway.media.remux import Remuxes
from gateway.media.slideshow import Slideshows
from gateway.media.sniff import foreign
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.media.upstream import Upstreams
from gateway.media.webhooks import Webhooks
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.speech import models
from gateway.speech.pool import LocalPool
from gateway.speech.transcript import Settle
from gateway.speech.transcripts import Options, Origin, Sound, Transcript, Transcripts
from gateway.speech.written import written
from gateway.store import database, schema
from gateway.store.codes import Codes
from gateway.store.holds import Holds
from gateway.store.jobs import Job, Jobs
from gateway.store.search import Search
from gateway.store.transcripts import Draft, Provenance
from gateway.store.transcripts import Transcripts as Archive
from gateway.store.writer import Ended, Writer
from gateway.tasks import Background
from gateway.tracing import Tracing
from gateway.wire.events import Logged
from gateway.wire.subtitles import Cue

SWEEP_S = 30
JOBS_S = 30 * 24 * 3600  # how long an Idempotency-Key is good
ORPHANED = timedelta(
    seconds=300
)  # after which a webhook is owed by a process that is gone: longer than it is tried for
HEAD_BYTES = 512  # of media that nobody understood: what else they may be
DATABASE_S = 5  # how often the database is looked at: who asks /ready does not wait for it
TITLE_CHARS_MAX = 200

log = structlog.get_logger()


class Gateway:
    """The components, introduced to each other. Use `running` to have one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secret = (
            settings.secret.get_secret_value().encode() if settings.secret else secret.kept(settings.data_dir)
        )
        self.began = time.monotonic()
        self.metrics = Metrics()
        self.lag = Lag()
        self.tracing = Tracing(settings.otlp_endpoint, version=__version__)
        self.background = Background()
        self.exits = Exits(settings.proxy_url)
        self.dial = Dial(settings, self.exits)
        self.upstreams = Upstreams(settings, self.dial, tracing=self.tracing)
        self.extractor = Extractor(
            settings, self.background, self.exits, self.dial.unfold, tracing=self.tracing
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
        self.slideshows = Slideshows(renders_max=settings.renders, render_s=settings.render_s)
        self.database = database.of(settings)
        self.archive = Archive(self.database)
        self.search = Search(self.database)
        self.writer = Writer(self.database, self.archive)
        self.pool = LocalPool(settings, tracing=self.tracing)
        self.codes = Codes(self.database)
        self.holds = Holds(self.database, lease_s=settings.lease_s)
        self.jobs = Jobs(self.database, secrets.token_urlsafe(12), lease_s=settings.lease_s)
        self.webhooks = Webhooks(self.secret, settings.webhook_allow)
        self.transcripts = Transcripts(self.pool, self.background, settings, ended=self._keep)
        self.stopping = False

    @property
    def ready(self) -> bool:
        """Whether a transcript would be accepted now."""
        return self.pool.ready and self.transcripts.room and not self.stopping

    @property
    def database_state(self) -> Literal["ok", "away"]:
        """Whether the database answered when it was looked at the last time, with tables of ours."""
        return "ok" if self.database.ready and not self.database.away else "away"

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
            self.extractor.forget(post.id)
            return find(await self.extractor.find(post.url), wanted.key)

        try:
            await self.upstreams.fill(spool, wanted, again)
        except UpstreamFailed:
            if not spare():
                # its links may be what is wrong; the next request gets new ones
                self.extractor.forget(post.id)
            raise

    def transcript(self, post: Post, options: Options, media: Wanted | None = None) -> Transcript:
        """The transcript of what is heard in a post; in `media`, where those are its video.

        Raises NotVideoContent, Busy, NotReady.
        """
        wanted = media if media is not None and post.kind == "video" else heard(post)
        key = post.id
        if post.kind == "photo" and post.sound is not None and post.sound.id is not None:
            key = f"sound {post.sound.id}"  # the same one in other posts
        sound = self.sound(lambda: self.part(post, wanted))
        return self.transcripts.join(key, options, sound, duration=post.duration_s, origin=_origin(post))

    async def transcript_from(self, source: Source, post: Post, options: Options) -> Transcript:
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
            return self.transcript(post, options)
        key = (post.id, chosen.part.key)
        instead = (*key, options)  # speech that was recognised because of them
        there = self.transcripts.named(key)
        if there is None and source == "auto":
            there = self.transcripts.named(instead)
        if there is not None:
            return there
        try:
            found = await self._cues(post, chosen.part)
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
            return self.transcripts.claim(self.transcript(post, options), instead)
        work = written(
            found, captions=chosen.kind, language=chosen.language or None, duration=post.duration_s
        )
        # an empty one is no answer to those who would take speech as well
        return self.transcripts.written(
            key if found else (*key, ""), work, duration=post.duration_s, origin=_origin(post)
        )

    async def _cues(self, post: Post, wanted: Wanted) -> list[Cue]:
        """What is in a file of captions, within their deadline."""
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

    def uploaded(self, key: Hashable, fill: Fill, options: Options) -> Transcript:
        """The transcript of what is heard in a caller's own media. Raises Busy, NotReady."""
        sound = self.sound(lambda: self.upload(key, fill))
        return self.transcripts.join(("upload", key), options, sound, duration=None)

    async def read(self, id_: str) -> Transcript:
        """A transcript by its id: from memory while it is there, else as far as it was written down.

        One that runs in another process is neither `running` here nor `over`. Raises NotFound,
        StoreUnavailable.
        """
        there = self.transcripts.by_id(id_)
        if there is not None:
            return there
        waiting = self.writer.waiting(id_)
        if waiting is not None:
            draft = waiting.draft
            return _told_again(
                id_, waiting.events, draft.title, draft.provenance, draft.created_at, waiting.ended_at
            )
        stored, log = await self.archive.whole(id_)
        return _told_again(id_, log, stored.title, stored.provenance, stored.created_at, stored.ended_at)

    async def rename(self, id_: str, title: str | None) -> Transcript:
        """Gives a transcript another title. Raises what `read` does."""
        transcript = await self.read(id_)
        if not transcript.running:
            try:
                await self.writer.rename(id_, title)
            except NotFound:  # its row is gone or never came, memory is not
                if self.transcripts.by_id(id_) is None:
                    raise
        transcript.title = title
        return transcript

    async def delete(self, id_: str) -> None:
        """Removes a transcript wherever it is, cancelled if it runs. Raises NotFound, StoreUnavailable."""
        there = self.transcripts.by_id(id_)
        if there is not None and there.running:
            await there.cancel()
        try:
            await self.writer.delete(id_)
        except NotFound:
            if there is None:
                raise
        if there is not None:
            self.transcripts.remove(there)

    async def sweep_rows(self) -> None:
        """Removes what was in the database long enough. Raises StoreUnavailable."""
        if self.settings.transcript_rows_s:
            await self.archive.sweep(self.settings.transcript_rows_s)

    def _keep(self, transcript: Transcript) -> None:
        """Has a transcript written down that has ended."""
        assert transcript.ended_at is not None
        origin = transcript.origin
        provenance = Provenance(
            url=origin.url,
            post_id=origin.post_id,
            sound_id=origin.sound_id,
            media_sha256=transcript.media_sha256,
        )
        draft = Draft(
            transcript.id,
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


def _origin(post: Post) -> Origin:
    """Where a post's words come from."""
    sound_id = post.sound.id if post.kind == "photo" and post.sound is not None else None
    return Origin(post.title[:TITLE_CHARS_MAX] or None, post.url, post.id, sound_id)


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
        closing.push_async_callback(gateway.writer.close)
        closing.callback(gateway.spools.close)
        closing.push_async_callback(gateway.pool.close)
        closing.push_async_callback(gateway.transcripts.close)
        closing.push_async_callback(gateway.decoders.close)
        closing.push_async_callback(gateway.extractor.close)
        await gateway.webhooks.start()
        closing.push_async_callback(gateway.webhooks.close)
        await gateway.dial.start()
        closing.push_async_callback(gateway.dial.close)
        closing.push_async_callback(gateway.background.close)
        gateway.extractor.start()
        gateway.decoders.start()
        gateway.background.start(_speech(gateway), "model")
        gateway.background.start(_sweeping(gateway), "sweep")
        gateway.background.start(_settling(gateway), "leases")
        gateway.background.start(_telling(gateway), "webhooks")
        gateway.background.start(gateway.writer.run(), "rows")
        gateway.background.start(_looking(gateway), "database")
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
    """Gives back the codes, and ends the jobs, of processes that are not there any more."""
    while True:
        try:
            expired, repaired = await gateway.holds.expire(), await gateway.jobs.repair()
            if expired or repaired:
                log.warning("left by a dead process", holds=expired, jobs=repaired)
            await gateway.jobs.sweep(JOBS_S)
        except StoreUnavailable:
            pass  # the database has said so
        except Exception as error:  # a fault of ours is no reason to keep codes
            log.error("leases not looked after", exc_info=error)
        await asyncio.sleep(min(SWEEP_S, gateway.settings.lease_s))


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
