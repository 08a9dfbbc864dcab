"""A load from its start to the moment when nothing may be left of it."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.load import fairness, leaks
from tests.load.caller import Caller, counted
from tests.load.calls import KINDS
from tests.load.leaks import Standing
from tests.load.stand import FLOOD, PLACES, POOR, STEADY, Stand, stand
from tests.load.tally import Tally
from tests.load.wrong import bad, badly_framed

QUIET_S = 60  # by then a lease, a spool and a place at the proxy are over
LEAVING_S = 1.5  # who leaves does so before
OWN_KB_MORE = 64 << 10  # that the gateway itself may take after a load beyond what it took before
WORKER_KB_MORE = 200 << 10  # and each worker: it grows to its size with its first few hundred windows


@dataclass(frozen=True)
class Load:
    """How much."""

    seconds: float
    seed: int = 1
    callers: int = 12
    workers: int = 1


@dataclass(frozen=True)
class Found:
    """What came of it."""

    tally: Tally
    leaks: Sequence[str]
    before: Standing
    after: Standing

    @property
    def faults(self) -> list[str]:
        return [*self.tally.wrong, *self.leaks]


async def run(load: Load, folder: Path) -> Found:
    """Warm, at rest, under load, alone against a flood, at rest again."""
    async with stand(folder, workers=load.workers) as there:
        await _loaded(there, load, load.seconds / 4, Tally(), salt="warm")
        before, _ = await _rested(there, None)
        tally = Tally()
        await _loaded(there, load, load.seconds * 3 / 4, tally, salt="load")
        tally.wrong += await fairness.found(there, tally, random.Random(f"{load.seed} fair"))
        after, left = await _rested(there, before)
        left += await leaks.lost(there)
        left += await _places(there)
        tally.notes.append(_memory(before, after))
        log = there.log
    return Found(tally, [*left, *leaks.said(log)], before, after)


async def _loaded(there: Stand, load: Load, seconds: float, tally: Tally, *, salt: str) -> None:
    """Callers one after the other in so many lines, until the time is over; then each ends its call."""
    until = time.monotonic() + seconds

    async def line(number: int) -> None:
        chance = random.Random(f"{load.seed} {salt} {number}")
        while time.monotonic() < until:
            await _call(there, chance, tally)

    async with asyncio.TaskGroup() as group:
        for number in range(load.callers):
            group.create_task(line(number))


async def _call(there: Stand, chance: random.Random, tally: Tally) -> None:
    kinds = KINDS | {bad: 12, badly_framed: 2}
    (call,) = chance.choices(list(kinds), list(kinds.values()))
    (account,) = chance.choices((*STEADY, FLOOD, POOR), (4, 4, 4, 2, 1))
    leaves = chance.uniform(0.001, LEAVING_S) if chance.random() < 0.15 else None
    caller = Caller(there, account, random.Random(chance.random()))
    if leaves is not None:
        kind = tally.of("left midway")
        try:
            async with asyncio.timeout(leaves):
                await call(caller)
            kind.ends["200"] += 1
        except TimeoutError:
            kind.ends["left"] += 1
        except Exception:  # whatever it was told: it is the others' answers that are looked at
            kind.ends["refused"] += 1
        kind.bytes += caller.bytes
        return
    name = call.__name__.replace("_", " ")
    wrong = await counted(tally.of(name), caller, call)
    if wrong is not None:
        tally.wrong.append(f"{name} by {account}: {wrong}")


async def _rested(there: Stand, before: Standing | None) -> tuple[Standing, list[str]]:
    """The gateway once nothing is left, or after a while with what is."""
    until = time.monotonic() + QUIET_S
    while True:
        now = await leaks.standing(there)
        left = leaks.leaks(now, before or now, own_kb_more=OWN_KB_MORE, worker_kb_more=WORKER_KB_MORE)
        if not left or time.monotonic() > until:
            return now, left
        await asyncio.sleep(0.5)


async def _places(there: Stand) -> list[str]:
    """Every account has all of its places again: it opens as many at once as it may."""
    there.origin.pace(200_000)
    try:
        async with asyncio.timeout(60):
            statuses = {account: await _opened(there, account) for account in (*STEADY, FLOOD)}
    finally:
        there.origin.pace(None)
    return [
        f"{account} has not all of its places: {got}"
        for account, got in statuses.items()
        if set(got) != {200}
    ]


async def _opened(there: Stand, account: str) -> list[int]:
    """What is told to an account that opens all at once, none of which ends before all have begun."""
    caller, begun = Caller(there, account, random.Random(0)), asyncio.Barrier(PLACES)
    body = {"url": there.origin.url("big"), "content_type": "VIDEO_ONLY"}

    async def one() -> int:
        async with there.session.post(f"{there.url}/download", json=body, headers=caller.key) as answer:
            await answer.content.readany()
            await begun.wait()
            return answer.status

    return await asyncio.gather(*(one() for _ in range(PLACES)))


def _memory(before: Standing, after: Standing) -> str:
    def mib(kb: int) -> str:
        return f"{kb / 1024:.0f}"

    return (
        f"memory at rest, before and after: the gateway itself {mib(before.own_kb)} and {mib(after.own_kb)}"
        f" MiB, all processes {mib(before.all_kb)} and {mib(after.all_kb)} MiB"
    )
