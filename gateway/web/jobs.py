"""Jobs that nobody waits for on a connection: taken up as there is room, whoever began them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from gateway.errors import StoreUnavailable
from gateway.store.jobs import Job
from gateway.web import errand, purchase
from gateway.wiring import Gateway

LOOK_S = 5.0  # what other processes left is looked for so often

TAKEN_UP: dict[str, Callable[[Gateway, Job], Coroutine[Any, Any, None]]] = {
    purchase.KIND: purchase.take_up,
    errand.KIND: errand.take_up,
}

log = structlog.get_logger()


async def taking_up(gateway: Gateway) -> None:
    """Works on them for as long as the gateway runs; half of its places are for those who wait."""
    most, working = max(1, gateway.settings.transcripts_max // 2), set[asyncio.Task[None]]()

    def ended(task: "asyncio.Task[None]") -> None:
        working.discard(task)
        gateway.wanted.set()

    while True:
        gateway.wanted.clear()
        try:
            while len(working) < most and (kinds := _kinds(gateway)):
                job = await gateway.jobs.lease(kinds)
                if job is None:
                    break
                assert job.transcript_id is not None
                gateway.library.forget(job.transcript_id)
                task = gateway.works.begin(
                    job.transcript_id, TAKEN_UP[job.kind](gateway, job), f"job {job.id}"
                )  # fmt: skip
                working.add(task)
                task.add_done_callback(ended)
        except StoreUnavailable:
            pass  # the database has said so
        except Exception as failure:  # a fault of ours is no reason to leave the others
            log.error("jobs not taken up", exc_info=failure)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_S, gateway.settings.lease_s)):
                await gateway.wanted.wait()


def _kinds(gateway: Gateway) -> tuple[str, ...]:
    """What there is room for now. Captions need no model; what is heard, waits for it."""
    if gateway.stopping or not gateway.transcripts.room:
        return ()
    return (purchase.KIND, errand.KIND) if gateway.ready else (errand.KIND,)
