"""Who has a transcript: several may, and the last who lets it go takes it along."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import NotFound
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.search import Search
from gateway.store.stored import Draft
from gateway.store.tables import ANYONE, Moment, transcript_owners
from gateway.store.transcripts import Transcripts
from gateway.store.writer import Ended, Writer
from tests.store.conftest import Fresh
from tests.store.making import said, save


@pytest.fixture
def transcripts(database: Database) -> Transcripts:
    return Transcripts(database)


async def owners(database: Database, id_: str) -> set[str]:
    query = sa.select(transcript_owners.c.owner).where(transcript_owners.c.transcript_id == id_)
    async with database.reading() as tx:
        return set((await tx.execute(query)).scalars())


async def test_all_who_asked_have_it_and_their_accounts_are_made(
    database: Database, transcripts: Transcripts
) -> None:
    await save(database, Draft("t", owner="alice", others=("bob", ANYONE)), "a red kite")
    await transcripts.own("t", "carol")
    await transcripts.own("t", "carol")
    assert await owners(database, "t") == (await transcripts.read("t")).owners
    assert await owners(database, "t") == {"alice", "bob", "carol", ANYONE}
    for owner in ("alice", "bob", "carol", ANYONE):
        assert [one.id for one in (await transcripts.page(owner=owner)).items] == ["t"]
        assert [one.transcript_id for one in (await Search(database).find("kite", owner=owner)).items] == [
            "t"
        ]
    assert (await transcripts.page(owner="dave")).items == ()
    assert (await Search(database).find("kite", owner="dave")).items == ()


async def test_the_last_who_lets_it_go_takes_it_along(database: Database, transcripts: Transcripts) -> None:
    await save(database, Draft("t", owner="alice", others=("bob",)), "a red kite")
    with pytest.raises(NotFound):
        await transcripts.delete("t", owner="carol")
    await transcripts.delete("t", owner="alice")
    assert await owners(database, "t") == {"bob"}
    with pytest.raises(NotFound):
        await transcripts.delete("t", owner="alice")
    await transcripts.delete("t", owner="bob")
    with pytest.raises(NotFound):
        await transcripts.read("t")


async def test_of_owners_who_let_go_at_once_the_last_takes_it_along(
    database: Database, transcripts: Transcripts
) -> None:
    names = [f"owner {number}" for number in range(6)]
    await save(database, Draft("t", owner=names[0], others=tuple(names[1:])), "a red kite")
    await asyncio.gather(*(transcripts.delete("t", owner=name) for name in names))
    with pytest.raises(NotFound):
        await transcripts.read("t")


async def test_who_may_do_all_removes_it_from_all(database: Database, transcripts: Transcripts) -> None:
    await save(database, Draft("t", owner="alice", others=("bob",)), "a red kite")
    await transcripts.delete("t")
    assert await owners(database, "t") == set()
    await transcripts.own("t", "carol")  # which is gone
    assert await owners(database, "t") == set()


async def test_who_joins_one_that_waits_for_its_row_has_it(
    database: Database, transcripts: Transcripts
) -> None:
    writer = Writer(database, transcripts)
    for id_ in ("a", "b"):
        events = said("words", id_=id_)
        async with database.reading() as tx:
            now = (await tx.execute(sa.select(database.now()))).scalar_one()
        writer.put(Ended(Draft(id_, owner="alice"), events, now))
        writer.own(id_, "bob")
    await writer.delete("a", owner="alice")
    await writer.delete("b", owner="bob")
    await writer.close()
    assert (await owners(database, "a"), await owners(database, "b")) == ({"bob"}, {"alice"})
    writer.own("a", "carol")  # its row is there
    await writer.close()
    assert await owners(database, "a") == {"bob", "carol"}
    await writer.delete("a", owner="bob")
    await writer.delete("a", owner="carol")
    with pytest.raises(NotFound):
        await transcripts.read("a")


async def test_who_joined_just_now_keeps_what_another_lets_go(
    database: Database, transcripts: Transcripts
) -> None:
    await save(database, Draft("t", owner="alice"), "a red kite")
    writer = Writer(database, transcripts)
    for owner in ("alice", "bob"):
        writer.own("t", owner)
    await writer.delete("t", owner="alice")
    assert await owners(database, "t") == {"bob"}
    await writer.close()
    assert await owners(database, "t") == {"bob"}


async def test_what_there_was_before_belongs_to_who_had_it(fresh: Fresh, tmp_path: Path) -> None:
    database, before = Database(fresh()), tmp_path / "before"
    before.mkdir()
    for step in ("m0001_tables.py", "m0002_announced.py"):
        shutil.copy(schema.FOLDER / step, before)
    await schema.upgrade(database, folder=before)
    async with database.transaction() as tx:
        await tx.execute(
            sa.text(
                "INSERT INTO accounts (id, name, kind, created_at) VALUES ('alice', 'alice', 'named', :now)"
            ).bindparams(sa.bindparam("now", type_=Moment)),
            {"now": datetime.now(UTC)},
        )
        await tx.execute(
            sa.text(
                "INSERT INTO transcripts (id, owner, state, created_at) VALUES ('t', 'alice', 'FAILED', :now)"
            ).bindparams(sa.bindparam("now", type_=Moment)),
            {"now": datetime.now(UTC)},
        )
    await schema.upgrade(database)
    assert await owners(database, "t") == {"alice"}
    assert [one.id for one in (await Transcripts(database).page(owner="alice")).items] == ["t"]
    await database.close()
