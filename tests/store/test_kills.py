"""Processes are killed in the middle of spending codes, at points drawn from a seed."""

import asyncio
import os
import random
import signal
from collections import Counter

import pytest
import sqlalchemy as sa

from gateway.store.codes import Codes
from gateway.store.database import Database
from gateway.store.holds import Holds
from gateway.store.tables import codes, holds, segments, transcripts
from tests.store import child
from tests.store.making import in_step, lapse
from tests.store.processes import heard, started

KILLS = 200 if os.environ.get("CLIPWIRE_SOAK") else 20
CODES = 24  # more than a process gets through before it is killed, mostly
STEPS_MAX = 400  # statements and commits of so many
MOMENT_S_MAX = 0.25


@pytest.mark.soak
async def test_a_killed_process_spends_no_code_without_its_transcript(database: Database, url: str) -> None:
    ends: Counter[str] = Counter()
    for number in range(KILLS):
        chance = random.Random(f"{database.name} {number}")
        made = [(one.id, one.code) for one in await Codes(database).issue(CODES, seconds=60)]
        told = await killed(url, made, chance)
        again = Database(url)  # as after a restart
        await quiet(again)
        ends += await settled(again, dict(made), told)
        await again.close()
    await in_step(database)
    print(f"{database.name}: {KILLS} processes killed, all survived; their codes were {dict(ends)}")
    assert ends["posted"]
    assert ends["left held"]


async def killed(url: str, made: list[tuple[str, str]], chance: random.Random) -> dict[str, str]:
    """Lets a process use the codes and kills it; what it said that it had spent, and on what."""
    alone = chance.random() < 0.5
    steps = chance.randrange(1, STEPS_MAX) if alone else None
    process, pipe = started(child.use, url, made, str(chance.random()), steps)
    try:
        if not alone:
            await asyncio.sleep(chance.uniform(0, MOMENT_S_MAX))
            process.kill()
        told = {}
        while True:
            try:
                said = heard(pipe)
            except (EOFError, ConnectionResetError):
                break
            if said == "done":  # there were no more steps
                process.kill()
            else:
                told[said[0]] = said[1]
    finally:
        process.kill()
        process.join(30)
        pipe.close()
    assert process.exitcode == -signal.SIGKILL
    return told


async def settled(database: Database, made: dict[str, str], told: dict[str, str]) -> "Counter[str]":
    """What became of the codes; that all adds up; and that those which are not spent come back."""
    async with database.reading() as tx:
        rows = (await tx.execute(sa.select(codes).where(codes.c.id.in_(made)))).all()
        ledger = (await tx.execute(sa.select(holds).where(holds.c.code_id.in_(made)))).all()
        kept = set(
            (await tx.execute(sa.select(transcripts.c.id).where(transcripts.c.state == "COMPLETE"))).scalars()
        )
        count = sa.select(segments.c.transcript_id, sa.func.count()).group_by(segments.c.transcript_id)
        said = dict((await tx.execute(count)).tuples().all())
        partly = sa.select(sa.func.count()).where(transcripts.c.state != "COMPLETE")
        assert (await tx.execute(partly)).scalar_one() == 0
        bought = sa.select(codes.c.transcript_id).where(codes.c.spent_at.is_not(None))
        assert kept == set((await tx.execute(bought)).scalars())  # none that was not paid for, ever
    assert {row.id for row in rows} == made.keys()  # none is lost
    spent = {row.id: row.transcript_id for row in rows if row.spent_at is not None}
    assert spent.items() >= told.items()  # what was told is so
    assert len(set(spent.values())) == len(spent)
    for id_ in spent.values():
        assert id_ in kept
        assert said[id_] == len(child.TEXTS)
    posted = {row.code_id: row.transcript_id for row in ledger if row.state == "POSTED"}
    assert posted == spent
    held = {row.id: row.hold_id for row in rows if row.hold_id is not None and row.spent_at is None}
    assert {row.code_id: row.id for row in ledger if row.state == "HELD"} == held

    await lapse(database)
    assert await Holds(database).expire() == len(held)
    for id_, code in made.items():
        state = (await Codes(database).get(id_)).credit.state
        assert state == ("used" if id_ in spent else "active")
        if state == "active":
            assert await Holds(database).void(await Holds(database).hold(code))
    rest = len(made) - len(spent) - len(held)
    return Counter({"posted": len(spent), "left held": len(held), "not begun or given back": rest})


async def quiet(database: Database) -> None:
    """A server goes on with what it was told last by those who are dead; waits until it has seen that."""
    busy = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    async with asyncio.timeout(30):
        while database.name == "postgresql":
            async with database.reading() as tx:
                if not (await tx.execute(busy)).scalar_one():
                    return
            await asyncio.sleep(0.01)
