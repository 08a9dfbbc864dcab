"""GET /metrics: what was counted, and how everything stands."""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from gateway import __version__
from gateway.errors import Forbidden, NotFound, StoreUnavailable
from gateway.metrics import CONTENT_TYPE, Reading, Snapshot, text
from gateway.store.jobs import Counts
from gateway.web import auth
from gateway.web.keys import GATEWAY, SIBLINGS
from gateway.web.middleware import OPEN, Requests
from gateway.wiring import Gateway

JOBS_S = 2.0  # for the database; a scrape has some ten seconds
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")  # signs of a proxy, behind which anybody is


async def metrics(request: web.Request) -> web.Response:
    """Everything, for the operator."""
    gateway, open_ = request.app[GATEWAY], request.app[OPEN]
    if not gateway.settings.enable_metrics:
        raise NotFound
    await _require_operator(request)
    siblings = request.app.get(SIBLINGS)
    body = text([await snapshot(gateway, open_)] if siblings is None else await siblings.all())
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


async def snapshot(gateway: Gateway, open_: Requests) -> Snapshot:
    """Everything of this process."""
    jobs = await _jobs(gateway)
    return gateway.metrics.snapshot(readings(gateway, open_, jobs), sending_bytes=open_.sending_bytes)


async def _require_operator(request: web.Request) -> None:
    """Passes the admin key; where there is none, who calls from this machine. Raises Forbidden too."""
    if request.app[GATEWAY].settings.admin_key is not None or auth.sent_key(request):
        await auth.check(request, "admin")
    elif not _loopback(request.remote) or any(name in request.headers for name in FORWARDED):
        raise Forbidden(
            "Metrics need the admin key from elsewhere, and none is set here (GATEWAY_ADMIN_KEY)."
        )


def _loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


async def _jobs(gateway: Gateway) -> Counts | None:
    """How many jobs there are; None where the database does not say so soon."""
    if gateway.database_state != "ok":
        return None
    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(JOBS_S):
            return await gateway.jobs.counts()
    return None


def readings(gateway: Gateway, open_: Requests, jobs: Counts | None) -> Iterator[Reading]:
    """How everything stands just now."""
    spools, extractor, pool, transcripts = (
        gateway.spools, gateway.extractor, gateway.pool, gateway.transcripts,
    )  # fmt: skip
    yield Reading("clipwire_requests_open", len(open_))
    yield Reading("clipwire_streams_open", open_.streams)

    yield Reading("clipwire_spool_hits_total", spools.hits)
    yield Reading("clipwire_spool_misses_total", spools.misses)
    yield Reading("clipwire_spools", len(spools))
    yield Reading("clipwire_spool_bytes", spools.bytes)
    yield Reading("clipwire_spool_limit_bytes", gateway.settings.spool_bytes_max)

    for outcome, count in extractor.outcomes.items():
        yield Reading("clipwire_extractions_total", count, (outcome,))
    yield Reading("clipwire_extraction_seconds_total", extractor.spent_s)
    yield Reading("clipwire_post_hits_total", extractor.hits)
    yield Reading("clipwire_post_misses_total", extractor.misses)

    yield Reading("clipwire_queue_windows", pool.waiting)
    yield Reading("clipwire_windows_total", pool.windows)
    yield Reading("clipwire_audio_seconds_total", pool.sound_s)
    yield Reading("clipwire_worker_busy_seconds_total", pool.worked_s)
    if pool.speed:
        yield Reading("clipwire_real_time_factor_ratio", 1 / pool.speed)
    yield Reading("clipwire_workers", pool.loaded)
    yield Reading("clipwire_workers_wanted", pool.workers)
    for reason, count in pool.restarts.items():
        yield Reading("clipwire_worker_restarts_total", count, (reason,))

    yield Reading("clipwire_transcripts_running", len(transcripts))
    for end, count in transcripts.ends.items():
        yield Reading("clipwire_transcripts_total", count, (end,))
    yield Reading("clipwire_transcripts_unwritten", len(gateway.writer))

    for state in Counts.__struct_fields__ if jobs is not None else ():
        yield Reading("clipwire_jobs", getattr(jobs, state), (state,))
    yield Reading("clipwire_database_up", gateway.database_state == "ok")
    if gateway.redis is not None:
        yield Reading("clipwire_redis_up", gateway.redis_state == "ok")

    yield Reading("clipwire_loop_lag_seconds", gateway.lag.worst_s)
    processes = {"gateway": [os.getpid()], "speech": pool.pids, "extractor": extractor.pids}
    for kind, pids in processes.items():
        yield Reading("clipwire_resident_bytes", sum(map(_resident_bytes, pids)), (kind,))
    yield Reading("clipwire_uptime_seconds", time.monotonic() - gateway.began)
    yield Reading("clipwire_build_info", 1, (__version__,))


def _resident_bytes(pid: int) -> int:
    """Memory of a process; 0 where nobody tells."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
