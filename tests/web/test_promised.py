"""What was promised with 202 outlives its process; what was read is paid; and what died says so."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import StoreUnavailable
from gateway.running import sweep_uploads
from gateway.store.codes import Change, Issued
from gateway.store.database import Database
from gateway.store.holds import Hold, Holds
from gateway.store.jobs import ATTEMPTS_MAX, Jobs
from gateway.store.register import Entry
from gateway.store.tables import codes, jobs, transcripts
from tests.speech import clips
from tests.store.conftest import cluster as cluster
from tests.store.conftest import file as file
from tests.store.conftest import url as url
from tests.store.making import lapse
from tests.web.conftest import Front, Start, started, until
from tests.web.script import INFO, Script, segment
from tests.web.test_credits import SILENCE, issued, rows, sent, state
from tests.web.test_uploads import CLIPS

Gateways = Callable[..., Any]
SECONDS = 180


@cache
def long() -> bytes:
    """Speech that takes longer to recognise than a test to do something meanwhile."""
    speech = clips.decoded(CLIPS / "speech.mp4")
    return clips.wav((speech * 10)[: 32_000 * SECONDS])


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
def gateways(tmp_path: Path, data_dir: Path, base_model: Path, url: str) -> Gateways:
    """Starts gateways that hear, one after the other or side by side, of one database and data folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(data_dir / "models")

    @asynccontextmanager
    async def gateway(**settings: Any) -> AsyncIterator[Front]:
        fields = {"workers": 1, "database_url": url, "shutdown_s": 0, "model": "base"} | settings
        async with started(tmp_path, **fields) as front:
            await until(lambda: front.gateway.ready, 60)
            yield front

    return gateway


async def promised(front: Front, one: Issued, data: bytes | None = None, query: str = "") -> str:
    status, told = await sent(front, one.code, data or long(), f"?wait=0{query}")
    assert status == 202, told
    id_: str = told["id"]
    return id_


async def looked(front: Front, id_: str) -> tuple[int, Any]:
    async with front.session.get(f"{front.url}/transcripts/{id_}") as response:
        return response.status, await response.json()


async def ended(front: Front, id_: str, seconds: float = 60) -> Any:
    """Where a transcript stands, once it does not run any more."""
    async with asyncio.timeout(seconds):
        while True:
            status, told = await looked(front, id_)
            assert status == 200, told
            if told["state"] not in ("pending", "running"):
                return told
            await asyncio.sleep(0.05)


async def changed(front: Front, id_: str, method: str = "PATCH") -> int:
    body = {"state": "cancelled"} if method == "PATCH" else None
    async with front.session.request(method, f"{front.url}/transcripts/{id_}", json=body) as response:
        return response.status


async def one_job(front: Front) -> Any:
    (row,) = [row for row in await rows(front, jobs) if row.kind != "transcript"]
    return row


def files(front: Front) -> list[str]:
    return list(front.gateway.uploads.ids())


async def swept(front: Front) -> None:
    """Nothing is left of media, here or in the folder."""
    await until(lambda: not files(front))
    assert await sweep_uploads(front.gateway) == 0


@asynccontextmanager
async def hooked() -> AsyncIterator[tuple[str, list[Any]]]:
    """A webhook, and what it was told."""
    told: list[Any] = []

    async def hear(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hear)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/hook", told


# Uploads


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_shutdown_hands_a_job_to_the_next_process(gateways: Gateways, kind: str) -> None:
    sound = clips.wav(clips.decoded(CLIPS / "speech.mp4"))
    async with hooked() as (hook, told):
        async with gateways(webhook_allow="127.0.0.1") as first:
            one = await issued(first)
            id_ = await promised(first, one, sound, f"&webhook={hook}")
        async with gateways(webhook_allow="127.0.0.1") as second:
            assert (await looked(second, id_))[1]["state"] in ("pending", "running", "complete")
            found = await ended(second, id_)
            assert (found["state"], found["duration"]) == ("complete", pytest.approx(23.2, abs=0.2))
            assert await state(second, one) == "used"
            job = await one_job(second)
            assert (job.state, job.attempts) == ("COMPLETE", 1)  # a shutdown is no failed try
            await swept(second)
            await until(lambda: len(told) == 1)
    assert told == [{"id": id_, "status": "complete", "error": None}]


async def test_a_shutdown_in_the_middle_gives_up_no_job_however_often(gateways: Gateways) -> None:
    id_, one = "", None
    for number in range(ATTEMPTS_MAX + 1):
        async with gateways() as front:
            if one is None:
                one = await issued(front)
                id_ = await promised(front, one)
            async with asyncio.timeout(30):
                while (await looked(front, id_))[1]["state"] != "running":
                    await asyncio.sleep(0.01)
            assert await state(front, one) == "held"
            job = await one_job(front)
            assert (job.state, job.attempts, job.waiting) == ("RUNNING", 1, False), number
            assert files(front) == [job.id]


async def test_a_gateway_with_another_folder_does_not_take_it_up(
    gateways: Gateways, tmp_path: Path, data_dir: Path, url: str
) -> None:
    async with gateways() as first:
        one = await issued(first)
        id_ = await promised(first, one)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    (elsewhere / "data" / "models").symlink_to(data_dir / "models")
    async with started(elsewhere, workers=1, model="base", database_url=url) as other:
        await until(lambda: other.gateway.ready, 60)
        assert await other.gateway.jobs.lease(["bought"]) is None
        status, told = await looked(other, id_)
        assert (status, told["state"], told["standing"]) == (200, "pending", None)
        async with other.session.get(f"{other.url}/transcripts/{id_}/events") as response:
            assert response.status == 503
        assert await state(other, one) == "held"  # for its lease
        assert await changed(other, id_) == 200  # but anybody may call it off
        assert (await looked(other, id_))[1]["state"] == "cancelled"
        assert await changed(other, id_) == 409
        assert await state(other, one) == "active"
    async with gateways() as back:
        assert (await ended(back, id_))["state"] == "cancelled"
        await swept(back)


async def handed_over(gateways: Gateways, data: bytes | None = None) -> tuple[Issued, str]:
    """A job that waits for a process."""
    async with gateways() as first:
        one = await issued(first)
        return one, await promised(first, one, data)


@pytest.mark.parametrize("how", ["gone", "cut"])
async def test_a_file_that_is_gone_fails_the_job_and_costs_nothing(
    gateways: Gateways, tmp_path: Path, how: str
) -> None:
    one, id_ = await handed_over(gateways)
    (left,) = [path for path in (tmp_path / "data" / "uploads").iterdir() if path.name != ".id"]
    left.unlink()
    if how == "cut":
        left.write_bytes(long()[:1000])
    async with gateways() as second:
        told = await ended(second, id_)
        assert (told["state"], told["error"]["code"]) == ("failed", "INTERRUPTED")
        assert "Send it again" in told["error"]["message"]
        async with asyncio.timeout(10):
            while await state(second, one) != "active":
                await asyncio.sleep(0.01)
        await swept(second)
    async with gateways() as third:
        assert (await ended(third, id_))["error"]["code"] == "INTERRUPTED"


@pytest.mark.parametrize("used", ["used", "revoked", "deleted"])
async def test_a_code_that_somebody_has_used_meanwhile_fails_the_job(
    gateways: Gateways, used: str, tmp_path: Path, data_dir: Path, url: str
) -> None:
    one, id_ = await handed_over(gateways)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    (elsewhere / "data" / "models").symlink_to(data_dir / "models")
    async with started(elsewhere, workers=1, model="base", database_url=url) as other:
        await until(lambda: other.gateway.ready, 60)
        await lapse(other.gateway.database)
        if used == "used":
            assert (await sent(other, one.code, SILENCE))[0] == 201
        elif used == "revoked":
            await other.gateway.codes.patch(one.id, Change(revoked=True))
        else:
            await other.gateway.codes.delete(one.id)
    async with gateways() as second:
        told = await ended(second, id_)
        wanted = {"used": "CODE_USED", "revoked": "CODE_REVOKED", "deleted": "CODE_UNKNOWN"}[used]
        assert (told["state"], told["error"]["code"]) == ("failed", wanted)
        await swept(second)
        assert len(await rows(second, transcripts)) == (used == "used")


async def test_a_code_whose_lease_was_over_is_taken_again(gateways: Gateways, url: str) -> None:
    one, id_ = await handed_over(gateways, SILENCE)
    database = Database(url)
    await lapse(database)
    assert await Holds(database).expire() == 1
    await database.close()
    async with gateways() as second:
        assert (await ended(second, id_))["state"] == "complete"
        assert await state(second, one) == "used"


async def test_a_code_whose_lease_was_over_at_the_end_is_taken_again_too(gateways: Gateways) -> None:
    """As of a machine that stood still: nobody has renewed it, and a sweep has given it back."""
    async with gateways(lease_s=3) as front:
        one, lost = await issued(front), Counter[str]()
        price = front.gateway.holds.price

        async def late(hold: Hold, ms: int) -> int:
            if not lost["times"]:
                lost["times"] += 1
                await lapse(front.gateway.database)
                await front.gateway.holds.expire()  # unless a sweep of the gateway's own was faster
                assert await state(front, one) == "active"
            return await price(hold, ms)

        front.gateway.holds.price = late  # type: ignore[method-assign]
        id_ = await promised(front, one, SILENCE)
        await until(lambda: lost["times"] > 0, 30)
        async with asyncio.timeout(30):
            while (await looked(front, id_))[1]["state"] != "complete":
                await asyncio.sleep(0.05)
        assert await state(front, one) == "used"
        assert (await one_job(front)).attempts == 2
        await swept(front)


async def test_a_database_that_is_away_while_a_job_is_taken_up(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once as it is settled, and then as it is taken up: a lease later it goes on."""
    async with gateways(lease_s=2) as front:
        one, failures = await issued(front), {"post": 0, "again": 0}
        posted, taken = front.gateway.holds.post, front.gateway.holds.again

        async def post(*what: Any) -> int:
            failures["post"] += 1
            if failures["post"] <= 3:  # all tries of one attempt
                raise StoreUnavailable
            return await posted(*what)

        async def again(*what: Any) -> Hold:
            failures["again"] += 1
            if failures["again"] == 1:
                raise StoreUnavailable
            return await taken(*what)

        monkeypatch.setattr(front.gateway.holds, "post", post)
        monkeypatch.setattr(front.gateway.holds, "again", again)
        id_ = await promised(front, one, SILENCE)
        async with asyncio.timeout(30):
            while (await looked(front, id_))[1]["state"] != "complete":
                await asyncio.sleep(0.05)
        assert (failures, await state(front, one)) == ({"post": 4, "again": 2}, "used")
        assert (await one_job(front)).attempts == ATTEMPTS_MAX
        await swept(front)


async def test_a_job_that_ends_its_process_each_time_is_given_up(gateways: Gateways) -> None:
    _, id_ = await handed_over(gateways)
    async with gateways(lease_s=3600) as second:
        await until(lambda: bool(second.gateway.transcripts.by_id(id_)), 30)
        dead = Jobs(second.gateway.database, "dead", folder=second.gateway.uploads.id)
        async with second.gateway.database.transaction() as tx:  # as if this were its last try
            await tx.execute(sa.update(jobs).values(attempts=ATTEMPTS_MAX, lease_owner="dead"))
        assert await dead.repair(["dead"]) == 1
        second.gateway.transcripts.by_id(id_).stop()  # type: ignore[union-attr]
        await until(lambda: id_ not in second.gateway.works)
        told = await ended(second, id_)
        assert (told["state"], told["error"]["code"]) == ("failed", "INTERRUPTED")
        assert await sweep_uploads(second.gateway) == 1
        assert files(second) == []


async def test_what_was_kept_is_bounded(gateways: Gateways) -> None:
    async with gateways(spool_bytes_max=8 << 20) as front:
        first, second = await issued(front), await issued(front)
        await promised(front, first)
        status, told = await sent(front, second.code, long(), "?wait=0")
        assert (status, told["error"]["code"]) == (503, "BUSY")
        async with asyncio.timeout(10):
            while await state(front, second) != "active":
                await asyncio.sleep(0.01)
        assert len(files(front)) == 1


# What was read


async def words(front: Front, id_: str, form: str = "ndjson") -> Any:
    """A follower that has read the first words, and stays."""
    async with asyncio.timeout(60):
        while True:
            response = await front.session.get(f"{front.url}/transcripts/{id_}/events?format={form}")
            if response.status != 503:
                break
            assert (await response.json())["error"]["code"] == "BUSY"  # its media have not come yet
            await asyncio.sleep(0.01)
        assert response.status == 200
        while b'"segment"' not in (line := await response.content.readline()):
            assert line
    return response


@pytest.mark.parametrize("how", ["PATCH", "DELETE"])
async def test_what_was_read_is_paid(gateways: Gateways, how: str) -> None:
    async with gateways() as front:
        one = await issued(front)
        id_ = await promised(front, one)
        follower = await words(front, id_)
        assert await changed(front, id_, how) == (200 if how == "PATCH" else 204)
        *_, last = (await follower.read()).splitlines()
        assert json.loads(last)["code"] == "CANCELLED"
        credit = (await front.gateway.codes.get(one.id)).credit
        assert credit.state == "used"  # by the time that is told
        assert 0 < credit.used_s < SECONDS
        job = [row for row in await rows(front, jobs) if row.kind != "transcript"]
        found = await rows(front, transcripts)
        if how == "PATCH":
            assert [row.state for row in job] == ["CANCELLED"]
            assert [(row.id, row.state, row.error_code) for row in found] == [(id_, "FAILED", "CANCELLED")]
            assert await front.gateway.archive.segments(id_)
        else:
            assert job == found == []
            assert (await looked(front, id_))[0] == 404
        await swept(front)
    async with gateways() as second:
        status, told = await looked(second, id_)
        assert (status, told.get("state")) == ((200, "cancelled") if how == "PATCH" else (404, None))


async def test_a_code_that_is_worth_too_little_pays_for_what_was_read(gateways: Gateways) -> None:
    async with gateways() as front:
        one = await issued(front, seconds=60)
        id_ = await promised(front, one)
        follower = await words(front, id_)
        *_, last = (await follower.read()).splitlines()
        assert json.loads(last)["code"] == "CREDIT_TOO_SMALL"
        await until(lambda: not front.gateway.works)
        credit = (await front.gateway.codes.get(one.id)).credit
        assert credit.state == "used"
        assert 0 < credit.used_s <= 60
        assert (await looked(front, id_))[1]["error"]["code"] == "CREDIT_TOO_SMALL"
        assert (await one_job(front)).state == "FAILED"
        await swept(front)


async def test_a_body_that_breaks_off_is_paid_as_far_as_it_was_read(gateways: Gateways) -> None:
    async with gateways() as front:
        one, more = await issued(front), asyncio.Event()
        named = {"Idempotency-Key": "once"}

        async def body() -> AsyncIterator[bytes]:
            yield long()
            await more.wait()

        sending = asyncio.create_task(sent(front, one.code, body(), **named))
        async with asyncio.timeout(30):
            while await state(front, one) == "active":
                await asyncio.sleep(0)
            while (again := await sent(front, one.code, long(), "?wait=0", **named))[0] != 202:
                await asyncio.sleep(0)
        follower = await words(front, again[1]["id"])
        sending.cancel()
        await asyncio.wait([sending])
        follower.close()
        await until(lambda: not front.gateway.works)
        credit = (await front.gateway.codes.get(one.id)).credit
        assert credit.state == "used"
        assert 0 < credit.used_s <= SECONDS


@pytest.mark.parametrize("how", ["PATCH", "DELETE"])
async def test_what_nobody_has_read_costs_nothing(gateways: Gateways, how: str) -> None:
    async with gateways() as front:
        one = await issued(front)
        id_ = await promised(front, one)
        await looked(front, id_)  # which says nothing of the words
        assert await changed(front, id_, how) == (200 if how == "PATCH" else 204)
        assert await state(front, one) == "active"
        assert not await rows(front, transcripts)
        await swept(front)


async def test_what_was_read_is_paid_after_a_restart_too(
    gateways: Gateways, tmp_path: Path, url: str
) -> None:
    async with gateways() as first:
        one = await issued(first)
        id_ = await promised(first, one)
        follower = await words(first, id_)
        follower.close()
    async with started(tmp_path / "elsewhere", database_url=url) as other:
        assert await changed(other, id_) == 200
        assert await state(other, one) == "used"
        assert (await looked(other, id_))[1]["state"] == "cancelled"
        assert (await one_job(other)).state == "CANCELLED"


async def test_who_cancels_elsewhere_is_heard_of_with_the_next_lease(
    gateways: Gateways, tmp_path: Path, url: str
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(gateways(lease_s=3))
        other = await stack.enter_async_context(started(tmp_path / "elsewhere", database_url=url))
        one, two = await issued(first), await issued(first)
        paid, free = await promised(first, one), await promised(first, two)
        follower = await words(first, paid)
        for id_ in (paid, free):
            assert (await looked(other, id_))[1]["state"] == "running"
            assert await changed(other, id_) == 200
        await until(lambda: not first.gateway.works)
        follower.close()
        assert (await state(first, one), await state(first, two)) == ("used", "active")
        assert (
            (await looked(other, paid))[1]["state"] == (await looked(other, free))[1]["state"] == "cancelled"
        )
        await swept(first)


# Posts


async def asked(front: Front, scenario: str, **more: Any) -> str:
    address = front.origin.url(scenario)
    async with front.post("/transcribe", url=address, wait=False, **more) as response:
        told = await response.json()
        assert response.status == 202, told
        assert (told["status"], response.headers["Location"]) == ("pending", f"/transcripts/{told['id']}")
        id_: str = told["id"]
        return id_


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_post_is_transcribed_while_nobody_waits(start: Start, url: str, kind: str) -> None:
    front: Front = await start(database_url=url, webhook_allow="127.0.0.1")
    async with hooked() as (hook, told):
        id_ = await asked(front, "captions", webhook=hook)
        assert (await ended(front, id_))["state"] == "complete"
        async with front.session.get(f"{front.url}/transcripts/{id_}/events") as response:
            first, *_, last = [json.loads(line) for line in (await response.text()).splitlines()]
        assert (first["id"], first["source"], last["type"]) == (id_, "captions", "end")
        await until(lambda: len(told) == 1)
        assert told == [{"id": id_, "status": "complete", "error": None}]
        stored = await front.gateway.archive.read(id_)
        assert (stored.state, stored.text, stored.source) == ("COMPLETE", stored.text, "captions")
        assert stored.provenance.post_id
        assert stored.title
        job = await one_job(front)
        assert (job.state, job.kind, job.folder) == ("COMPLETE", "post", None)
        assert await changed(front, id_) == 409
        assert await changed(front, id_, "DELETE") == 204
        assert (await looked(front, id_))[0] == 404


async def test_a_post_that_is_not_to_be_had_says_so_by_its_id(start: Start, tmp_path: Path) -> None:
    front: Front = await start(webhook_allow="127.0.0.1")
    async with hooked() as (hook, told):
        id_ = await asked(front, "private", webhook=hook)
        found = await ended(front, id_)
        assert (found["state"], found["error"]["code"]) == ("failed", "VIDEO_PRIVATE")
        await until(lambda: len(told) == 1)
        assert (told[0]["status"], told[0]["error"]["code"]) == ("failed", "VIDEO_PRIVATE")
    assert (await front.gateway.archive.read(id_)).error_code == "VIDEO_PRIVATE"


async def test_a_post_is_taken_up_by_any_process(tmp_path: Path, url: str) -> None:
    async with started(tmp_path / "first", database_url=url, shutdown_s=0) as first:
        id_ = await asked(first, "captions")
        gone = await asked(first, "captions")
        assert await changed(first, gone) == 200
    async with started(tmp_path / "second", database_url=url) as second:
        assert (await ended(second, id_))["state"] == "complete"
        assert (await ended(second, gone))["state"] == "cancelled"
        assert await changed(second, gone, "DELETE") == 204
        assert (await looked(second, gone))[0] == 404


async def test_a_wish_that_makes_no_sense_is_no_job(start: Start) -> None:
    front: Front = await start()
    address = front.origin.url("captions")
    for body, code in (
        ({"url": "https://example.com/", "wait": False}, "INVALID_URL"),
        ({"url": address, "wait": False, "webhook": "http://10.0.0.1/"}, "VALIDATION_ERROR"),
        ({"url": address, "webhook": "https://example.com/"}, "VALIDATION_ERROR"),
        ({"url": address, "wait": "no"}, "VALIDATION_ERROR"),
    ):
        async with front.post("/transcribe", **body) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, code)
    assert not await rows(front, jobs)


# What died


def registered(front: Front) -> Script:
    """A transcript that is a job, as those are that somebody asks for."""
    script = Script(front.gateway.transcripts)
    front.gateway.register.begin(Entry(script.transcript.id, script.transcript.created_at))
    return script


async def test_a_transcript_that_died_with_its_process_says_so(tmp_path: Path, url: str) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(started(tmp_path / "first", database_url=url))
        second = await stack.enter_async_context(started(tmp_path / "second", database_url=url))
        script = registered(first)
        script.say(INFO, segment(0))
        await script.have(2)
        await until(lambda: not len(first.gateway.register))
        async with asyncio.timeout(10):
            while (await looked(second, script.transcript.id))[0] == 404:
                await asyncio.sleep(0.01)
        assert (await looked(second, script.transcript.id))[1]["state"] == "running"
        async with first.gateway.database.transaction() as tx:
            await tx.execute(sa.update(jobs).values(lease_owner="dead"))
        assert await second.gateway.jobs.repair(["dead"]) == 1
        status, told = await looked(second, script.transcript.id)
        assert (status, told["state"], told["error"]["code"]) == (200, "failed", "INTERRUPTED")
        assert "Ask for it again" in told["error"]["message"]
        async with second.session.get(f"{second.url}{script.path}/events") as response:
            assert json.loads(await response.text())["code"] == "INTERRUPTED"
        async with second.session.get(f"{second.url}{script.path}.txt") as response:
            assert response.status == 503
        assert await changed(second, script.transcript.id, "DELETE") == 204
        assert (await looked(second, script.transcript.id))[0] == 404


async def test_one_that_a_shutdown_ended_says_so_to_the_next(tmp_path: Path, url: str) -> None:
    async with started(tmp_path / "first", database_url=url, shutdown_s=0) as first:
        script = registered(first)
        script.say(INFO, segment(0))
        await script.have(2)
    async with started(tmp_path / "second", database_url=url) as second:
        status, told = await looked(second, script.transcript.id)
        assert (status, told["state"], told["error"]["code"]) == (200, "failed", "INTERRUPTED")


async def test_every_transcript_is_a_job(start: Start) -> None:
    front: Front = await start()
    address = front.origin.url("captions")
    async with front.post("/transcribe", url=address) as response:
        await response.read()
        id_ = response.headers["Transcript-Id"]
    script = registered(front)
    script.say(INFO)
    await script.have(1)
    await script.transcript.cancel()
    await until(lambda: not len(front.gateway.register))
    async with asyncio.timeout(10):
        while len(found := {row.transcript_id: row for row in await rows(front, jobs)}) < 2:
            await asyncio.sleep(0.01)
    done, cancelled = found[id_], found[script.transcript.id]
    assert (done.state, done.owner, done.waiting, done.error_code) == ("COMPLETE", "anyone", True, None)
    assert done.payload["url"] in (await front.gateway.archive.read(id_)).provenance.url  # type: ignore[operator]
    assert done.created_at <= done.ended_at
    assert cancelled.state == "CANCELLED"
    assert [row.spent_at for row in await rows(front, codes)] == []
