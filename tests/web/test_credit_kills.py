"""Gateways are killed in the middle of uploads with codes, at points drawn from a seed, and started again.

Some clients wait for their transcript, and some are told 202: theirs are made by the gateways that follow.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy as sa

from gateway.store import schema
from gateway.store.codes import Codes, Issued
from gateway.store.database import Database
from gateway.store.jobs import ATTEMPTS_MAX
from gateway.store.tables import codes, holds, jobs, transcripts
from tests.serving import START_S, Served, serving
from tests.speech import clips
from tests.web.test_uploads import SOUND

SOAK = "CLIPWIRE_SOAK" in os.environ
KILLS = 200 if SOAK else 12
AT_ONCE = 4  # gateways, of one data folder: to start one takes longer than to kill it
CODES = 8  # in use at once in each, each at another point of its way
LEASE_S = 1
MOMENT_S_MAX = 2.0
SILENCE = clips.wav(bytes(32_000 * 3))  # no model is asked, so that many are spent
SESSION = aiohttp.ClientTimeout(total=START_S)


@pytest.mark.soak
async def test_a_killed_gateway_spends_no_code_without_its_transcript(
    tmp_path: Path, data_dir: Path, base_model: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(data_dir / "models")
    database = Database(f"sqlite:///{tmp_path}/data/clipwire.db")
    await schema.upgrade(database)
    made: list[Issued] = []
    told: dict[str, str] = {}  # code to transcript, as clients heard it
    promised: dict[str, str] = {}  # the same of those who were told 202
    ends: Counter[str] = Counter()
    for number in range(0, KILLS, AT_ONCE):
        chance = random.Random(number)
        async with AsyncExitStack() as stack:
            gateways = [started(tmp_path) for _ in range(AT_ONCE)]
            there = await asyncio.gather(*map(stack.enter_async_context, gateways))
            assert spools(tmp_path) == AT_ONCE
            async with asyncio.TaskGroup() as group:
                for served in there:
                    some = await Codes(database).issue(CODES, seconds=60)
                    made += some
                    group.create_task(killed(served, chance.uniform(0, MOMENT_S_MAX)))
                    for one in some:
                        group.create_task(sent(served.url, one, chance, told, promised))
        ends += await settled(database, told)
    async with started(tmp_path):
        assert spools(tmp_path) == 1
        spent = await until_back(database)
        (folder,) = (tmp_path / "data" / "spools").glob("spools-*")
        async with asyncio.timeout(10):
            while [path.name for path in folder.iterdir()] != ["lock"]:
                await asyncio.sleep(0.05)
            while [path.name for path in (tmp_path / "data" / "uploads").iterdir()] != [".id"]:
                await asyncio.sleep(0.05)
    assert {row.id for row in await rows(database, codes)} == {one.id for one in made}  # none is lost
    assert spent.items() >= told.items()
    await settled(database, told)
    kept = {row.transcript_id: row for row in await rows(database, jobs)}
    given_up = {code for code, id_ in promised.items() if kept[id_].state == "FAILED"}
    for code, id_ in promised.items():
        job = kept[id_]
        if code in given_up:  # one whose process was killed each time it was tried
            assert (job.error_code, job.attempts, spent.get(code)) == ("INTERRUPTED", ATTEMPTS_MAX, None)
        else:
            assert (job.state, spent[code]) == ("COMPLETE", id_)
    again = sum(row.attempts > 1 for row in kept.values() if row.state == "COMPLETE")
    await database.close()
    print(
        f"{KILLS} gateways killed, all survived: {len(made)} codes, {len(spent)} spent, {len(told)} told; "
        f"{len(promised)} told 202, {again} finished by another process, {len(given_up)} given up after "
        f"{ATTEMPTS_MAX} deaths; holds at the kills: {dict(ends)}"
    )
    assert 0 < len(spent) < len(made)
    if SOAK:  # a few kills may come at no such moment
        assert again
        assert ends["held"]


def started(folder: Path) -> AbstractAsyncContextManager[Served]:
    """A gateway that hears, with a short lease."""
    return serving(folder, model="base", workers=1, lease_s=LEASE_S, log_level="error")


async def sent(
    url: str, one: Issued, chance: random.Random, told: dict[str, str], promised: dict[str, str]
) -> None:
    """Uploads, some faster than others, some with words, some without waiting; puts down what it was told
    before the kill."""
    slow, media = chance.random(), SOUND if chance.random() < 0.2 else SILENCE
    waits = chance.random() < 0.6

    async def body() -> AsyncIterator[bytes]:
        size = len(media) // 10
        for at in range(0, len(media), size):
            yield media[at : at + size]
            await asyncio.sleep(slow / 10)

    headers = {"X-Auth-Code": one.code, "Content-Type": "audio/wav"}
    try:
        async with (
            aiohttp.ClientSession(timeout=SESSION) as session,
            session.post(f"{url}/transcripts?wait={int(waits)}", data=body(), headers=headers) as response,
        ):
            if response.status in (201, 202):
                heard = told if response.status == 201 else promised
                heard[one.id] = (await response.json())["id"]
    except (aiohttp.ClientError, OSError):
        pass  # it was killed


async def killed(served: Served, after_s: float) -> None:
    await asyncio.sleep(after_s)
    served.kill()


def spools(folder: Path) -> int:
    """Gateways that have a folder for spools; what dead ones left is swept at a start."""
    return len(list((folder / "data" / "spools").glob("spools-*")))


async def settled(database: Database, told: dict[str, str]) -> "Counter[str]":
    """All adds up, at any moment; how the holds stand."""
    async with database.reading() as tx:
        spent = {
            row.id: row.transcript_id
            for row in await tx.execute(sa.select(codes).where(codes.c.spent_at.is_not(None)))
        }
        ledger = (await tx.execute(sa.select(holds))).all()
        kept = (await tx.execute(sa.select(transcripts.c.id, transcripts.c.state))).all()
        done = (await tx.execute(sa.select(jobs.c.transcript_id).where(jobs.c.state == "COMPLETE"))).scalars()
    assert {row.code_id: row.transcript_id for row in ledger if row.state == "POSTED"} == spent
    assert {row.id for row in kept} == set(spent.values()) == set(done)
    assert all(row.state == "COMPLETE" for row in kept)
    assert spent.items() >= told.items()
    return Counter(row.state.lower() for row in ledger if row.state == "HELD")


async def until_back(database: Database) -> dict[str, str]:
    """Waits until leases are over and looked after; the codes that were spent, and on what."""
    async with asyncio.timeout(60):
        while True:
            lapsing = [row for row in await rows(database, holds) if row.state == "HELD"]
            open_ = [row for row in await rows(database, jobs) if row.state in ("PENDING", "RUNNING")]
            if not lapsing and not open_:
                break
            await asyncio.sleep(0.1)
    found = {}
    for row in await rows(database, codes):
        state = (await Codes(database).get(row.id)).credit.state
        assert state in ("active", "used")
        if state == "used":
            found[row.id] = row.transcript_id
    return found


async def rows(database: Database, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    async with database.reading() as tx:
        return list((await tx.execute(sa.select(table))).all())
