"""Transcripts that outlive their request: read, listed, searched, renamed, cancelled, deleted; also after a
restart, and while the database is away."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.errors import NotFound, SpeechFailed
from gateway.running import sweep_rows
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.stored import Draft
from gateway.wire.events import Word, line
from gateway.wire.forms import FORMS
from tests.commands.running import run
from tests.postgres import Cluster
from tests.store.making import age
from tests.web.conftest import Front, Start, started, until
from tests.web.script import END, INFO, Script, segment

ADMIN = "the key of the operator"
KEY = {"X-API-Key": ADMIN}


@pytest.fixture
async def front(start: Start) -> Front:
    found: Front = await start(admin_key=ADMIN, open="true")
    return found


async def asked(
    front: Front, path: str, method: str = "GET", body: object = None, **headers: str
) -> tuple[int, Any]:
    """The status, and the JSON or the code of the error."""
    async with (
        asyncio.timeout(30),
        front.session.request(method, front.url + path, json=body, headers=headers) as response,
    ):
        if response.status == 503:
            assert int(response.headers["Retry-After"]) > 0
        found = await response.json() if await response.read() else None
        return response.status, found["error"]["code"] if response.status >= 400 else found


async def everything(front: Front, path: str) -> dict[str, object]:
    """All that is told of a transcript, in every way."""
    found: dict[str, object] = {}
    ways = [f"{path}/events?format={form.name}" for form in FORMS]
    ways += [f"{path}.{form.name}" for form in FORMS if not form.lines] + [path]
    ways += [f"{path}/events?after={after}" for after in (0, 1, 99)]
    for way in ways:
        async with front.session.get(front.url + way) as response:
            kind = response.headers.get("Content-Type")
            body = (
                await response.read() if response.status < 400 else (await response.json())["error"]["code"]
            )
            found[way] = (response.status, kind, response.headers.get("Transcript-Id"), body)
    return found


async def ended(front: Front, *what: Any, title: str | None = None) -> Script:
    """A transcript that said this and has ended."""
    script = Script(front.gateway.transcripts)
    script.transcript.title = title
    script.say(*what)
    await script.have(len(what))
    await until(lambda: script.transcript.ending)
    await asyncio.sleep(0)  # now who keeps it has it
    return script


async def written(front: Front) -> None:
    """Waits until no transcript is without its row."""
    await until(lambda: not len(front.gateway.writer), 30)


async def eventually(found: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await found():
            await asyncio.sleep(0.05)


def whole(front: Front, text: str, title: str | None = None) -> "Awaitable[Script]":
    return ended(front, INFO, segment(0, text), END, title=title)


# what outlives


async def test_a_restart_changes_no_byte_of_what_is_told(url: str, tmp_path: Path) -> None:
    word = Word(0.1, 0.123, " kite", 0.9871)
    told = segment(0, " A <red> kite: ä 🎉")
    with_words = type(told)(1, 3661.123, 3662.077, " kite", -0.2513, 0.0123, 1.0409, (word,))
    async with started(tmp_path / "first", database_url=url) as first:
        scripts = [
            await ended(first, INFO, told, with_words, END, title="Kites"),
            await ended(first, INFO, told, SpeechFailed()),
            await ended(first, INFO, END),
            await ended(first, SpeechFailed("Nothing at all.")),
        ]
        before = {script.path: await everything(first, script.path) for script in scripts}
    async with started(tmp_path / "second", database_url=url) as second:
        assert not [one for one in scripts if second.gateway.transcripts.by_id(one.transcript.id)]
        for path, found in before.items():
            assert await everything(second, path) == found
        status, body = await asked(second, scripts[0].path)
    assert (status, body["state"], body["title"], body["events"]) == (200, "complete", "Kites", 4)
    assert body["created_at"] <= body["ended_at"]
    assert body["text_sha256"] == hashlib.sha256("A <red> kite: ä 🎉 kite".encode()).hexdigest()
    assert body["duration"] == END.duration  # while `info` said what the page did


async def test_a_post_is_kept_with_where_it_comes_from(front: Front, tmp_path: Path) -> None:
    address = front.origin.url("captions")
    async with front.post("/transcribe", url=address) as response:
        told = await response.read()
        path = f"/transcripts/{response.headers['Transcript-Id']}"
    status, body = await asked(front, path)
    await written(front)
    stored, _ = await front.gateway.archive.whole(path.rsplit("/", 1)[1])
    assert (status, body["url"], body["title"]) == (200, stored.provenance.url, stored.title)
    assert stored.provenance.post_id is not None
    assert stored.provenance.post_id in str(body["url"])
    assert stored.title
    front.gateway.transcripts.remove(front.gateway.transcripts.by_id(stored.id))  # type: ignore[arg-type]
    async with front.session.get(f"{front.url}{path}/events") as response:
        assert await response.read() == told


async def test_what_nobody_waited_for_is_not_kept(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0))
    async with front.session.get(front.url + script.path + "/events") as response:
        await response.content.readany()
    await until(lambda: front.gateway.transcripts.by_id(script.transcript.id) is None)
    await whole(front, "later")
    await written(front)
    assert await asked(front, script.path) == (404, "NOT_FOUND")


async def test_one_that_memory_has_no_room_for_is_read_from_its_row(start: Start) -> None:
    front = await start(transcript_bytes_max=0)
    script = await whole(front, "Hello")
    async with front.session.get(front.url + script.path + ".txt") as response:
        assert (response.status, await response.text()) == (200, "Hello")
    await written(front)
    async with front.session.get(front.url + script.path + ".txt") as response:
        assert (response.status, await response.text()) == (200, "Hello")


async def test_one_that_runs_elsewhere_is_told_as_such(front: Front) -> None:
    async with front.gateway.database.transaction() as tx:
        await front.gateway.archive.begin(tx, Draft("elsewhere"))
    status, body = await asked(front, "/transcripts/elsewhere")
    assert (status, body["state"], body["standing"], body["ended_at"]) == (200, "running", None, None)
    for path in ("/transcripts/elsewhere.txt", "/transcripts/elsewhere/events"):
        assert await asked(front, path) == (503, "BUSY")
    assert await asked(front, "/transcripts/elsewhere", "PATCH", {"state": "cancelled"}) == (503, "BUSY")
    assert (await asked(front, "/transcripts/elsewhere", "PATCH", {"title": "x"}))[1]["title"] == "x"
    assert await asked(front, "/transcripts/elsewhere", "DELETE") == (204, None)
    assert await asked(front, "/transcripts/elsewhere") == (404, "NOT_FOUND")


async def test_rows_go_after_their_time(start: Start) -> None:
    front = await start(transcript_rows_s=86_400)
    old, young = await whole(front, "old"), await whole(front, "young")
    await written(front)
    await age(front.gateway.database, old.transcript.id, days=2)
    await sweep_rows(front.gateway)
    with pytest.raises(NotFound):
        await front.gateway.archive.read(old.transcript.id)
    assert (await front.gateway.archive.read(young.transcript.id)).text == "young"


async def test_rows_stay_for_ever_if_that_is_wanted(start: Start) -> None:
    front = await start(transcript_rows_s=0)
    old = await whole(front, "old")
    await written(front)
    await age(front.gateway.database, old.transcript.id, days=2000)
    await sweep_rows(front.gateway)
    assert (await front.gateway.archive.read(old.transcript.id)).text == "old"


# changed


async def test_a_title_is_given_while_it_runs_and_afterwards(url: str, tmp_path: Path) -> None:
    async with started(tmp_path / "first", database_url=url) as first:
        script = Script(first.gateway.transcripts)
        script.say(INFO)
        await script.have(1)
        status, body = await asked(first, script.path, "PATCH", {"title": " Kites "})
        assert (status, body["title"], body["state"]) == (200, "Kites", "running")
        script.say(END)
        await script.have(2)
        await written(first)
        assert (await first.gateway.archive.read(script.transcript.id)).title == "Kites"
        assert (await asked(first, script.path, "PATCH", {"title": "ä" * 200}))[0] == 200
        assert (await asked(first, script.path))[1]["title"] == "ä" * 200
    async with started(tmp_path / "second", database_url=url) as second:
        assert (await asked(second, script.path))[1]["title"] == "ä" * 200
        assert (await asked(second, script.path, "PATCH", {"title": None}))[1]["title"] is None
        assert (await asked(second, script.path))[1]["title"] is None


@pytest.mark.parametrize(
    "body", [{}, {"title": "x" * 201}, {"title": 3}, {"state": "complete"}, {"state": None}]
)
async def test_what_cannot_be_changed_is_told(front: Front, body: object) -> None:
    script = await whole(front, "Hello", title="as it was")
    assert await asked(front, script.path, "PATCH", body) == (400, "VALIDATION_ERROR")
    assert (await asked(front, script.path))[1]["title"] == "as it was"
    assert await asked(front, "/transcripts/unknown", "PATCH", {"title": "x"}) == (404, "NOT_FOUND")


async def test_a_running_one_is_cancelled_and_says_so_afterwards(url: str, tmp_path: Path) -> None:
    async with started(tmp_path / "first", database_url=url) as first:
        script = Script(first.gateway.transcripts)
        script.say(INFO, segment(0))
        async with first.session.get(first.url + script.path + "/events") as response:
            status, body = await asked(first, script.path, "PATCH", {"state": "cancelled", "title": "Half"})
            assert (status, body["state"], body["title"]) == (200, "cancelled", "Half")
            last = (await response.read()).splitlines()[-1]
        assert b'"code":"CANCELLED"' in last
        assert await asked(first, script.path, "PATCH", {"state": "cancelled"}) == (409, "TRANSCRIPT_ENDED")
        before = await everything(first, script.path)
    async with started(tmp_path / "second", database_url=url) as second:
        assert await everything(second, script.path) == before
        assert (await asked(second, script.path))[1]["state"] == "cancelled"
        assert await asked(second, script.path, "PATCH", {"state": "cancelled"}) == (409, "TRANSCRIPT_ENDED")


async def test_what_is_deleted_is_nowhere_any_more(url: str, tmp_path: Path) -> None:
    async with started(tmp_path / "first", database_url=url) as first:
        running = Script(first.gateway.transcripts)
        running.say(INFO, segment(0, "unfinished"))
        await running.have(2)
        fresh, old = await whole(first, "fresh"), await whole(first, "old")
        for script in (running, fresh):  # one may not even have its row yet
            assert await asked(first, script.path, "DELETE") == (204, None)
            assert await asked(first, script.path) == (404, "NOT_FOUND")
            assert await asked(first, script.path, "DELETE") == (404, "NOT_FOUND")
        assert running.transcript.over
        await written(first)
        assert [one.id for one in (await first.gateway.archive.page()).items] == [old.transcript.id]
    async with started(tmp_path / "second", database_url=url) as second:
        assert await asked(second, old.path, "DELETE") == (204, None)
        assert await asked(second, old.path) == (404, "NOT_FOUND")
        assert not (await second.gateway.archive.page()).items
        assert not (await second.gateway.search.find("old")).items


# lists, for the operator


async def test_lists_are_the_operators(front: Front, start: Start) -> None:
    for path in ("/transcripts", "/transcripts?q=kite"):
        assert await asked(front, path) == (401, "API_KEY_INVALID")
        assert await asked(front, path, **{"X-API-Key": "another key of somebody"}) == (
            401,
            "API_KEY_INVALID",
        )
        assert (await asked(front, path, Authorization=f"Bearer {ADMIN}"))[0] == 200


async def test_without_keys_this_machine_lists_what_belongs_to_nobody(start: Start) -> None:
    front: Front = await start()
    script = await whole(front, "a red kite")
    await written(front)
    status, page = await asked(front, "/transcripts")
    assert (status, [one["id"] for one in page["transcripts"]]) == (200, [script.transcript.id])


async def test_the_list_is_of_all_newest_first_page_by_page(front: Front) -> None:
    scripts = [await whole(front, f"number {number}", title=f"T{number}") for number in range(5)]
    scripts.append(await ended(front, INFO, SpeechFailed()))
    await written(front)
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        status, page = await asked(front, f"/transcripts?limit=4{after}", **KEY)
        assert status == 200
        found += page["transcripts"]
        if page["next"] is None:
            break
        assert len(page["transcripts"]) == 4
        after = f"&after={page['next']}"
    assert [one["id"] for one in found] == [one.transcript.id for one in reversed(scripts)]
    assert (found[0]["state"], found[0]["error"]["code"]) == ("failed", "SPEECH_FAILED")
    assert (found[1]["state"], found[1]["title"], found[1]["error"]) == ("complete", "T4", None)
    _, single = await asked(front, f"/transcripts/{found[1]['id']}")
    assert {name: single[name] for name in found[1]} == found[1]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "after=nonsense", f"q={'x' * 1001}"])
async def test_a_list_that_makes_no_sense_is_told(front: Front, query: str) -> None:
    assert await asked(front, f"/transcripts?{query}", **KEY) == (400, "VALIDATION_ERROR")


async def test_what_was_said_is_found_with_its_time_in_any_script(url: str, tmp_path: Path) -> None:
    async with started(tmp_path / "first", database_url=url, admin_key=ADMIN, open="true") as front:
        kite = await ended(
            front, INFO, segment(0, " A red Kite."), segment(1, " The harbour."), END, title="K"
        )
        tokyo = await ended(front, INFO, segment(0, "これは東京の天気です。"), END)
        await written(front)
        for words, script, text in (
            ("kite RED", kite, " A red Kite."), ("東京", tokyo, "これは東京の天気です。"),
        ):  # fmt: skip
            status, found = await asked(front, f"/transcripts?q={words}", **KEY)
            assert (status, found["next"]) == (200, None)
            (hit,) = found["hits"]
            assert hit == {
                "id": script.transcript.id, "title": script.transcript.title, "segment": 0,
                "start": 0.0, "end": 0.9, "text": text,
            }  # fmt: skip
        for nothing in (",", "kite 東京", "%25", "windmill"):
            assert (await asked(front, f"/transcripts?q={nothing}", **KEY))[1]["hits"] == []


# a database that is away


async def test_the_database_of_a_gateway_is_there_from_its_start(start: Start, tmp_path: Path) -> None:
    front = await start(database_url=f"sqlite:///{tmp_path / 'none-yet.db'}")  # without the tables of others
    async with front.session.get(front.url + "/ready") as response:
        assert (await response.json())["database"] == "ok"


async def test_a_server_that_is_away_is_missed_by_those_only_who_need_it(
    server: Cluster, tmp_path: Path
) -> None:
    server.create("away")
    try:
        async with started(tmp_path, database_url=server.url("away"), admin_key=ADMIN, open="true") as front:
            old = await whole(front, "old")
            await written(front)
            front.gateway.transcripts.remove(old.transcript)
            server.stop()
            try:
                fresh = await whole(front, "fresh")
                assert (await asked(front, fresh.path))[1]["state"] == "complete"
                assert (await asked(front, fresh.path + ".json"))[1]["text"] == "fresh"
                for path, method, body in (
                    (old.path, "GET", None), (old.path + "/events", "GET", None),
                    (old.path + ".txt", "GET", None), ("/transcripts", "GET", None),
                    ("/transcripts?q=old", "GET", None), (old.path, "DELETE", None),
                    (old.path, "PATCH", {"title": "x"}), (fresh.path, "DELETE", None),
                ):  # fmt: skip
                    assert await asked(front, path, method, body, **KEY) == (503, "STORE_UNAVAILABLE")
                async with front.post("/transcribe", url=front.origin.url("captions")) as response:
                    assert (await response.read()).splitlines()[-1].startswith(b'{"type":"end"')
                front.gateway.transcripts.remove(fresh.transcript)  # it waits for its row, and is read there
                assert (await asked(front, fresh.path + ".json"))[1]["text"] == "fresh"
                status, body = await asked(front, fresh.path, "PATCH", {"title": "Fresh"})
                assert (status, body["title"]) == (200, "Fresh")
                async with front.session.get(front.url + "/ready") as response:
                    assert (await response.json())["database"] == "away"
            finally:
                server.start()
            await written(front)
            assert (await front.gateway.archive.read(fresh.transcript.id)).title == "Fresh"
            assert len((await asked(front, "/transcripts", **KEY))[1]["transcripts"]) == 3
            async with front.session.get(front.url + "/ready") as response:
                assert (await response.json())["database"] == "ok"
    finally:
        server.sql("DROP DATABASE away WITH (FORCE)")


async def test_a_server_that_is_away_at_start_gets_its_tables_once_it_is_there(
    server: Cluster, tmp_path: Path
) -> None:
    server.create("late")
    server.stop()
    try:
        async with started(tmp_path, database_url=server.url("late")) as front:
            script = await whole(front, "early")
            assert await asked(front, "/transcripts/unknown") == (503, "STORE_UNAVAILABLE")
            server.start()
            await written(front)
            assert await asked(front, "/transcripts/unknown") == (404, "NOT_FOUND")
            assert (await front.gateway.archive.read(script.transcript.id)).text == "early"
    finally:
        server.sql("DROP DATABASE late WITH (FORCE)")


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """The file while another process writes and does not end."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


async def test_what_ended_while_the_file_was_locked_is_written_at_shutdown(tmp_path: Path) -> None:
    file = tmp_path / "rows.db"
    async with started(tmp_path / "first", database_url=f"sqlite:///{file}") as first, locked(file):
        script = await whole(first, "patient")
        assert (await asked(first, script.path))[1]["state"] == "complete"
        assert len(first.gateway.writer) == 1
    async with started(tmp_path / "second", database_url=f"sqlite:///{file}") as second:
        assert (await asked(second, script.path + ".json"))[1]["text"] == "patient"


async def test_tables_of_another_version_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "rows.db"
    database = Database(f"sqlite:///{file}")
    await schema.upgrade(database)
    async with database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    await database.close()
    code, _, said = await run(tmp_path, "serve", DATABASE_URL=f"sqlite:///{file}", GATEWAY_PORT="0")
    assert code == 1
    assert "9999" in said


# every door


async def test_every_door_leads_to_a_row(start: Start, data_dir: Path, base_model: Path) -> None:
    front: Front = await start(data_dir=data_dir, model="base", workers=1, admin_key=ADMIN, open="true")
    await until(lambda: front.gateway.ready, 60)
    sound = (Path(__file__).parents[1] / "origin" / "clips" / "sound.mp3").read_bytes()
    headers = {"Content-Type": "audio/mpeg"}
    path = "/transcribe?words=true"
    async with front.session.post(front.url + path, data=sound, headers=headers) as response:
        upload, told = response.headers["Transcript-Id"], await response.read()
    form = aiohttp.FormData({"model": "whisper-1"})
    form.add_field("file", sound, filename="secret name.mp3")
    async with front.session.post(front.url + "/v1/audio/transcriptions", data=form) as response:
        text = (await response.json())["text"]
    async with front.post("/transcribe", url=front.origin.url("speech"), source="speech") as response:
        post, _ = response.headers["Transcript-Id"], await response.read()
    await written(front)
    rows = (await front.gateway.archive.page()).items
    assert [rows[0].id, rows[2].id] == [post, upload]
    assert rows[0].provenance.post_id is not None
    kept = b"".join(map(line, await front.gateway.archive.events(upload)))
    assert kept == b"".join(one for one in told.splitlines(True) if b'"type":"progress"' not in one)
    assert b'"words"' in kept
    for row in rows[1:]:
        provenance = row.provenance
        assert provenance.media_sha256 == hashlib.sha256(sound).hexdigest()
        assert (provenance.url, provenance.post_id, provenance.file_name) == (None, None, None)
        assert (await front.gateway.archive.read(row.id)).text == text
        assert row.options is not None
    assert rows[0].source == "speech"
