"""A gateway that runs: its processes started and ended, and what it does again and again meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from gateway.errors import SchemaMismatch, StoreUnavailable
from gateway.settings import Settings
from gateway.speech import models
from gateway.store import schema
from gateway.wiring import Gateway

LOADING_S = 1.0  # until then the machine is the server's, which is to listen, and the first request's
SWEEP_S = 30
DATABASE_CLOSE_S = 6.0  # then one that stands still keeps nobody from ending; the rest takes some seconds
STRANGE_S = 7 * 24 * 3600  # a job that nobody takes up fails after a day
JOBS_S = 30 * 24 * 3600  # how long an Idempotency-Key is good
ORPHANED = timedelta(
    seconds=300
)  # after which a webhook is owed by a process that is gone: longer than it is tried for
DATABASE_S = 5  # how often the database is looked at: who asks /ready does not wait for it

log = structlog.get_logger()


@asynccontextmanager
async def running(
    settings: Settings, *, speech: bool = True, ahead: bool = True, heir: bool = True
) -> AsyncIterator[Gateway]:
    """A gateway with its processes started; the speech model may still be on its way, or not `speech` at all.

    Without `ahead`, what posts and sound are read by is loaded by the first who needs it. One that is no
    `heir` removes nothing that is not its own, and leaves to others what dead processes left.
    Raises SchemaMismatch where the database is not for this version. One that is away is waited for
    in the background.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    gateway = Gateway(settings, heir=heir)
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
        closing.callback(gateway.database.give_up_in, DATABASE_CLOSE_S)
        gateway.extractor.start()
        if ahead:
            gateway.background.start(_loading(gateway), "children")
        if gateway.analyst is not None:
            gateway.background.start(gateway.analyst.start(), "vision")
        if speech:
            gateway.background.start(_speech(gateway), "model")
        gateway.background.keep(partial(_sweeping, gateway, rows=heir), "sweep")
        if heir:
            gateway.background.keep(partial(_settling, gateway), "leases")
            gateway.background.keep(partial(_telling, gateway), "webhooks")
        gateway.background.keep(gateway.writer.run, "rows")
        gateway.background.keep(gateway.register.run, "register")
        gateway.background.keep(gateway.usage.run, "usage")
        gateway.background.keep(gateway.totals.run, "totals")
        gateway.background.keep(partial(_looking, gateway), "database")
        if gateway.redis is not None:
            gateway.background.keep(gateway.redis.run, "redis")
        if gateway.telling is not None and gateway.mirrors is not None:
            gateway.background.keep(partial(gateway.telling.run, gateway.transcripts), "asked")
            gateway.background.keep(gateway.mirrors.run, "mirrors")
        gateway.background.keep(partial(_watching, gateway), "canary")
        gateway.background.keep(gateway.lag.run, "lag")
        yield gateway


async def _loading(gateway: Gateway) -> None:
    """Loads what posts and sound are read by, unless a request was there first."""
    await asyncio.sleep(LOADING_S)
    gateway.extractor.load()
    gateway.decoders.load()


async def _speech(gateway: Gateway) -> None:
    """Fetches the model if it is not there, then starts the workers; again later if that fails."""
    settings, wait_s = gateway.settings, 5.0
    while True:
        try:
            await gateway.pool.start(await _model(settings))
            log.info("speech ready", model=settings.model, workers=gateway.pool.workers)
            return
        except Exception as error:
            log.error("no speech model yet", model=settings.model, reason=str(error), again_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 300)


async def _model(settings: Settings) -> Path:
    """The model's folder here; of a cluster each node has its own. Raises ModelUnavailable."""
    if settings.cluster_address is not None:
        return Path(settings.model)
    if (folder := models.find(settings.model, settings.data_dir)) is not None:
        return folder
    log.info("fetching the speech model", model=settings.model)
    return await models.pull(settings.model, settings.data_dir, settings.model_hub_s, _quiet)


def _quiet(step: str, done: int, total: int | None) -> None:
    """A server tells where it stands by /ready; the steps are for the command line."""


async def _sweeping(gateway: Gateway, *, rows: bool) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        gateway.spools.sweep()
        gateway.transcripts.sweep()
        if not rows or gateway.database_state == "away":
            continue
        try:
            await sweep_rows(gateway)
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
            await sweep_uploads(gateway)
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
                    await gateway.news.tell(job)
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


async def sweep_rows(gateway: Gateway) -> None:
    """Removes what was in the database long enough. Raises StoreUnavailable."""
    if gateway.settings.transcript_rows_s:
        await gateway.archive.sweep(gateway.settings.transcript_rows_s)


async def sweep_uploads(gateway: Gateway) -> int:
    """Removes files whose jobs have ended; how many. Raises StoreUnavailable.

    One whose job is not known may be promised in another database, until no promise can be so old.
    """
    there = gateway.uploads.ids()
    if not there:
        return 0
    open_, known = await gateway.jobs.known_of(there)
    strangers = frozenset(there) - known - gateway.uploads.older(STRANGE_S)
    return gateway.uploads.sweep(there, open_ | strangers)
