import asyncio

import msgspec
import pytest
import sqlalchemy as sa

from gateway.errors import NotFound
from gateway.store.database import Database
from gateway.store.search import Search
from gateway.store.stored import Draft, Provenance, new_id
from gateway.store.tables import segments
from gateway.store.transcripts import Transcripts
from gateway.wire.events import End, Failed, Info, Segment
from tests.store.making import account, age, in_step, said, save

DRAFT = Draft(
    id="t",
    title="A kite",
    provenance=Provenance("https://host/video/7", "7", "s1", "ab" * 32, "kite.mp4"),
    options={"language": None, "task": "transcribe", "words": True},
)


@pytest.fixture
def transcripts(database: Database) -> Transcripts:
    return Transcripts(database)


async def counted(database: Database) -> int:
    async with database.reading() as tx:
        return int((await tx.execute(sa.select(sa.func.count()).select_from(segments))).scalar_one())


@pytest.mark.parametrize("words", [False, True])
async def test_what_is_saved_is_read_again(database: Database, transcripts: Transcripts, words: bool) -> None:
    log = said("Hello there.", "Ein schöner Tag 🎉", id_="t", words=words)
    async with database.transaction() as tx:
        assert await transcripts.save(tx, DRAFT, log)
    assert await transcripts.events("t") == tuple(log)
    assert await transcripts.segments("t") == tuple(one for one in log if isinstance(one, Segment))
    stored = await transcripts.read("t")
    assert stored.text == "Hello there. Ein schöner Tag 🎉"
    assert (stored.state, stored.title, stored.provenance, stored.options) == (
        "COMPLETE", "A kite", DRAFT.provenance, DRAFT.options,
    )  # fmt: skip
    assert (stored.duration_ms, stored.language, stored.model) == (4000, "en", "base")
    assert stored.ended_at is not None
    assert stored.created_at <= stored.ended_at
    await in_step(database)


async def test_what_is_not_known_is_none(database: Database, transcripts: Transcripts) -> None:
    info = Info("c", None, None, None, None, "captions", "creator")
    log = [info, Segment(0, 0.0, 1.5, "Hi"), End(1, 1.5, "00", 3, "low", ("little_voice", "no_words"))]
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("c"), log)
    assert await transcripts.events("c") == tuple(log)
    stored = await transcripts.read("c")
    assert (stored.announced_ms, stored.duration_ms) == (None, 1500)
    assert (stored.title, stored.options, stored.model, stored.provenance) == (None, None, None, Provenance())


async def test_a_running_one_is_written_as_it_comes(database: Database, transcripts: Transcripts) -> None:
    info, first, second, end = said("one", "two")
    for number, some in enumerate(([], [info], [first], [second])):
        async with database.transaction() as tx:
            if not number:
                assert await transcripts.begin(tx, Draft("t"))
            assert await transcripts.append(tx, "t", some)
        assert (await transcripts.read("t")).state == "RUNNING"
    assert await transcripts.events("t") == (msgspec.structs.replace(info, id="t"), first, second)
    async with database.transaction() as tx:
        assert await transcripts.append(tx, "t", [end])
    assert (await transcripts.events("t"))[-1] == end
    assert (await transcripts.read("t")).text == "one two"


async def test_a_failure_is_kept_with_what_came_before(database: Database, transcripts: Transcripts) -> None:
    info, first, *_ = said("one")
    failed = Failed("SPEECH_FAILED", "Recognising failed.")
    async with database.transaction() as tx:
        await transcripts.save(tx, Draft("t"), [info, first, failed])
    assert (await transcripts.events("t"))[1:] == (first, failed)
    assert (await transcripts.read("t")).state == "FAILED"


@pytest.mark.parametrize("left", ["RUNNING", "FAILED"])
async def test_what_an_earlier_try_left_is_begun_anew(
    database: Database, transcripts: Transcripts, left: str
) -> None:
    info, first, second, _ = said("old", "words")
    log = [info, first, second] + ([Failed("X", "y")] if left == "FAILED" else [])
    async with database.transaction() as tx:
        await transcripts.save(tx, DRAFT, log)
    assert await save(database, Draft("t"), "new")
    assert (await transcripts.read("t")).text == "new"
    assert (await transcripts.read("t")).title is None
    assert await counted(database) == 1
    assert not (await Search(database).find("old")).items
    await in_step(database)


async def test_a_complete_one_is_never_written_again(database: Database, transcripts: Transcripts) -> None:
    await save(database, Draft("t"), "first")
    before = await transcripts.read("t")
    assert not await save(database, DRAFT, "second")
    async with database.transaction() as tx:
        assert not await transcripts.append(tx, "t", said("third"))
    assert await transcripts.read("t") == before
    assert await counted(database) == 1


async def test_one_that_is_deleted_while_it_runs_is_not_written_on(
    database: Database, transcripts: Transcripts
) -> None:
    async with database.transaction() as tx:
        await transcripts.begin(tx, Draft("t"))
    await transcripts.delete("t")
    async with database.transaction() as tx:
        assert not await transcripts.append(tx, "t", said("too late"))
    assert await counted(database) == 0


async def test_deleting_takes_segments_and_index_along(database: Database, transcripts: Transcripts) -> None:
    await save(database, Draft("t"), "a quiet harbour", "a red kite")
    await save(database, Draft("other"), "a red balloon")
    await transcripts.delete("t")
    assert await counted(database) == 1
    assert [hit.transcript_id for hit in (await Search(database).find("red")).items] == ["other"]
    await in_step(database)
    for gone in (transcripts.read("t"), transcripts.segments("t"), transcripts.events("t"),
                 transcripts.delete("t"), transcripts.rename("t", "x")):  # fmt: skip
        with pytest.raises(NotFound):
            await gone


async def test_a_title_changes_and_nothing_else(database: Database, transcripts: Transcripts) -> None:
    await save(database, DRAFT, "words")
    before = await transcripts.read("t")
    for title in ("Another\0 one", None):
        await transcripts.rename("t", title)
        expected = title and title.replace("\0", "")
        assert await transcripts.read("t") == msgspec.structs.replace(before, title=expected)


async def test_an_owner_has_what_is_theirs(database: Database, transcripts: Transcripts) -> None:
    me, you = await account(database, "me"), await account(database, "you")
    await save(database, Draft("mine", owner=me), "words")
    await save(database, Draft("yours", owner=you), "words")
    assert [one.id for one in (await transcripts.page(owner=me)).items] == ["mine"]
    assert len((await transcripts.page()).items) == 2
    for refused in (transcripts.read("yours", owner=me), transcripts.segments("yours", owner=me),
                    transcripts.events("yours", owner=me), transcripts.rename("yours", "x", owner=me),
                    transcripts.delete("yours", owner=me)):  # fmt: skip
        with pytest.raises(NotFound):
            await refused
    await transcripts.delete("yours", owner=you)


async def test_they_are_listed_in_pages_newest_first_without_texts(
    database: Database, transcripts: Transcripts
) -> None:
    made = [new_id() for _ in range(10)]
    async with database.transaction() as tx:  # some of one moment, in PostgreSQL
        for id_ in made[:6]:
            await transcripts.save(tx, Draft(id_), said("words"))
    for id_ in made[6:]:
        await save(database, Draft(id_), "words")
    seen, after = [], None
    while True:
        page = await transcripts.page(after=after, limit=3)
        assert len(page.items) <= 3
        seen += page.items
        after = page.next
        if after is None:
            break
    assert sorted(one.id for one in seen) == sorted(made)
    assert [one.id for one in seen[:4]] == made[:5:-1]
    assert all(one.text is None for one in seen)


async def test_what_is_too_old_goes(database: Database, transcripts: Transcripts) -> None:
    for id_, days in (("old", 9), ("older", 11), ("new", 0)):
        await save(database, Draft(id_), "words of it")
        await age(database, id_, days)
    async with database.transaction() as tx:
        await transcripts.begin(tx, Draft("left over"))
    await age(database, "left over", 30)
    assert await transcripts.sweep(10 * 86400) == 2
    assert {one.id for one in (await transcripts.page()).items} == {"old", "new"}
    assert await transcripts.sweep(10 * 86400) == 0
    assert await transcripts.sweep(-60) == 2
    assert await counted(database) == 0
    await in_step(database)


async def test_a_reader_meets_all_of_a_transcript_or_none_of_it(
    database: Database, transcripts: Transcripts
) -> None:
    async def write() -> None:
        for number in range(15):
            await save(database, Draft(f"{number}"), *["words"] * 8)
            await transcripts.delete(f"{number}")

    async def read() -> int:
        met = 0
        while not writing.done():
            for one in (await transcripts.page()).items:
                try:
                    log = await transcripts.events(one.id)
                except NotFound:
                    continue
                assert len(log) == 10
                met += 1
        return met

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, read(), read())
