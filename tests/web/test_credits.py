"""POST /transcripts for a code, and /codes: a real server, the real model and a real database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import StoreUnavailable
from gateway.store.codes import Change, Codes, Issued
from gateway.store.database import Database
from gateway.store.tables import codes, holds, jobs, transcripts
from gateway.wire.events import End
from tests.speech import clips
from tests.store.conftest import cluster as cluster
from tests.store.conftest import file as file
from tests.store.conftest import url as url
from tests.web.conftest import Front, Start, shared, started, until
from tests.web.test_uploads import (
    AUDIO,
    FORM,
    SAID,
    SOUND,
    SPEECH,
    VIDEO,
    alike,
    form,
    nothing_left,
    pieces,
    raw,
)

ADMIN = "an admin key of tests"
FORMED = {"Content-Type": FORM}
KEY = {"X-API-Key": ADMIN}
SILENCE = clips.wav(bytes(32_000 * 3))

FIELDS: dict[str, Any] = {
    "model": "base", "workers": 1, "admin_key": ADMIN, "open": "true",
    "streams_max": 200, "rate_limit_capacity": 10_000,
}  # fmt: skip

Listening = Callable[..., Any]


@pytest.fixture
def kind() -> str:
    """Most are of one database; what the other might do otherwise says so."""
    return "sqlite"


@pytest.fixture
async def listening(start: Start, tmp_path: Path, data_dir: Path, base_model: Path, url: str) -> Listening:
    """Starts a gateway that hears, with a database of its own."""

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(data_dir / "models")  # the uploads are of this database only

    async def listening(**settings: Any) -> Front:
        front: Front = await start(**(FIELDS | {"database_url": url} | settings))
        await until(lambda: front.gateway.ready, 60)
        return front

    return listening


@pytest.fixture
async def front(listening: Listening) -> AsyncIterator[Front]:
    found: Front = await listening()
    yield found
    await kept_books(found)


@asynccontextmanager
async def laid(folder: Path, data_dir: Path, **settings: Any) -> AsyncIterator[Front]:
    (folder / "data").mkdir()
    (folder / "data" / "models").symlink_to(data_dir / "models")
    async with started(folder, **(FIELDS | settings)) as front:
        await until(lambda: front.gateway.ready, 60)
        yield front


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ledger(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path
) -> AsyncIterator[Front]:
    """One for all that look at their own codes only, and do not hear all of the clip that others leave."""
    async with laid(tmp_path_factory.mktemp("ledger"), data_dir) as front:
        yield front


@pytest_asyncio.fixture(loop_scope="module")
async def till(ledger: Front) -> AsyncIterator[Front]:
    yield ledger
    await kept_books(ledger)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path
) -> AsyncIterator[Front]:
    """One that takes little."""
    folder = tmp_path_factory.mktemp("narrow")
    async with laid(folder, data_dir, video_duration_max=12, upload_bytes_max=600_000) as front:
        yield front


async def issued(front: Front, seconds: float = 3600, **more: Any) -> Issued:
    (one,) = await front.gateway.codes.issue(1, seconds=seconds, **more)
    return one


async def sent(
    front: Front, code: str | None, data: Any = SILENCE, query: str = "", **headers: str
) -> tuple[int, dict[str, Any]]:
    sending = {"Content-Type": "audio/wav"} | headers | ({} if code is None else {"X-Auth-Code": code})
    async with front.session.post(front.url + "/transcripts" + query, data=data, headers=sending) as response:
        return response.status, await response.json()


async def refused(front: Front, code: str | None, *what: Any, **headers: str) -> tuple[int, str]:
    status, answer = await sent(front, code, *what, **headers)
    return status, answer["error"]["code"]


async def state(front: Front, one: Issued) -> str:
    found: str = (await front.gateway.codes.get(one.id)).credit.state
    return found


async def back(front: Front, one: Issued) -> None:
    """The code is as it was, and nothing is left of what was tried with it."""
    async with asyncio.timeout(10):
        while await state(front, one) != "active":
            await asyncio.sleep(0.01)
    await nothing_left(front)
    await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith("code ")])


async def rows(front: Front, table: sa.Table) -> list[Any]:
    async with front.gateway.database.reading() as tx:
        return list((await tx.execute(sa.select(table))).all())


async def kept_books(front: Front) -> None:
    """A code is spent if and only if a hold on it was posted, and its transcript and job are complete."""
    spent = {row.id: row.transcript_id for row in await rows(front, codes) if row.spent_at is not None}
    posted = {row.code_id: row.transcript_id for row in await rows(front, holds) if row.state == "POSTED"}
    assert spent == posted
    bought = [row for row in await rows(front, jobs) if row.kind == "bought"]
    ended = {row.transcript_id for row in bought if row.state == "COMPLETE"}
    assert ended == set(spent.values())
    whole = {row.id for row in await rows(front, transcripts) if row.state == "COMPLETE"}
    begun = {row.transcript_id for row in bought}
    assert whole & begun == ended  # others were made without a code
    assert all(row.state not in ("PENDING", "RUNNING") for row in bought)
    assert all(row.state != "HELD" for row in await rows(front, holds))


# Codes


async def test_codes_are_issued_looked_at_changed_and_taken_back(front: Front) -> None:
    session, at = front.session, front.url + "/codes"
    async with session.post(at, json={"count": 2, "seconds": 90.5}, headers=KEY) as response:
        assert response.status == 201
        (first, second) = (await response.json())["codes"]
    async with session.get(f"{at}?limit=1", headers=KEY) as response:
        page = await response.json()
    async with session.get(f"{at}?after={page['next']}", headers=KEY) as response:
        rest = await response.json()
    assert {page["codes"][0]["id"], rest["codes"][0]["id"]} == {first["id"], second["id"]}
    assert rest["next"] is None
    assert first["code"] not in json.dumps([page, rest])
    async with session.get(f"{at}/{first['id']}", headers=KEY) as response:
        told = await response.json()
    assert (told["seconds"], told["credit_s"], told["state"]) == (90.5, 90.5, "active")
    change = {"seconds": 60, "expires_at": "2040-01-01T00:00:00+01:00"}
    async with session.patch(f"{at}/{first['id']}", json=change, headers=KEY) as response:
        assert (await response.json())["expires_at"] == "2039-12-31T23:00:00+00:00"
    async with session.patch(f"{at}/{first['id']}", json={"state": "revoked"}, headers=KEY) as response:
        assert (await response.json())["seconds"] == 60
    async with session.get(f"{at}/{first['id']}/credit") as response:  # its id is enough
        assert await response.json() == {"credit_s": 0, "held_s": 0, "used_s": 0, "state": "revoked"}
    async with session.delete(f"{at}/{first['id']}", headers=KEY) as response:
        assert response.status == 204
    for path in (f"/codes/{first['id']}", f"/codes/{first['id']}/credit", "/codes/none"):
        async with session.get(front.url + path, headers=KEY) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", ""), ("GET", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x")],
)
async def test_codes_are_the_operators(start: Start, url: str, method: str, path: str) -> None:
    front = await start(database_url=url, admin_key=ADMIN, open="true")
    for headers in ({}, {"X-API-Key": "another key, as long"}):
        async with front.session.request(method, f"{front.url}/codes{path}", headers=headers) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, "API_KEY_INVALID")


@pytest.mark.parametrize(
    "body",
    [{"count": 0}, {"count": 10_001}, {"count": "1"}, {"seconds": -1}, {"seconds": 1e10}, {"seconds": "x"},
     {"expires_at": "2040-01-01T00:00:00"}, {"expires_at": "soon"}],
)  # fmt: skip
async def test_an_order_of_codes_that_makes_no_sense(start: Start, url: str, body: Any) -> None:
    front = await start(database_url=url, admin_key=ADMIN, open="true")
    async with front.session.post(front.url + "/codes", json=body, headers=KEY) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert not await rows(front, codes)


# Spent


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_code_pays_for_one_transcript(front: Front, kind: str) -> None:
    """However it is sent: beside the media, before the file, after it."""
    ways: list[Callable[[str], tuple[str | None, Any, dict[str, str]]]] = [
        lambda code: (code, SOUND, AUDIO),
        lambda code: (code, pieces(SOUND), AUDIO),
        lambda code: (code, form(("file", SOUND)), {"Content-Type": FORM}),
        lambda code: (None, form(("code", code.encode()), ("file", SOUND)), {"Content-Type": FORM}),
        lambda code: (None, form(("file", SOUND), ("code", code.encode())), {"Content-Type": FORM}),
    ]
    for way in ways:
        one = await issued(front)
        code, data, headers = way(one.code)
        status, told = await sent(front, code, data, **headers)
        assert (status, told["status"]) == (201, "complete"), told
        assert alike(told["text"], SAID)
        assert told["duration_s"] == told["charged_s"] == pytest.approx(10, abs=0.2)
        credit = (await front.gateway.codes.get(one.id)).credit
        assert (credit.state, credit.used_s) == ("used", told["charged_s"])
        stored = await front.gateway.archive.read(told["id"])
        assert (stored.state, stored.text) == ("COMPLETE", told["text"])
        assert await refused(front, one.code) == (409, "CODE_USED")
    await nothing_left(front)


async def test_a_video_is_heard_for_a_code_too(front: Front) -> None:
    status, told = await sent(front, (await issued(front)).code, SPEECH, **VIDEO)
    assert (status, told["duration_s"]) == (201, pytest.approx(23.2, abs=0.2))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_of_fifty_who_race_for_one_code_one_gets_it(front: Front, kind: str) -> None:
    one = await issued(front)
    answers = await asyncio.gather(*(sent(front, one.code) for _ in range(50)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [201] + [409] * 49
    assert {told["error"]["code"] for status, told in answers if status == 409} <= {"CODE_HELD", "CODE_USED"}
    assert len(await rows(front, transcripts)) == 1


@shared
async def test_a_second_of_padding_is_forgiven_and_not_charged(till: Front) -> None:
    sound = clips.wav(bytes(32_000 * 4 - 3200))  # 3.9 s
    status, told = await sent(till, (await issued(till, seconds=3)).code, sound)
    assert (status, told["duration_s"], told["charged_s"]) == (201, 3.9, 3)


async def test_an_idempotency_key_makes_one_transcript_of_two_requests(front: Front) -> None:
    one, other = await issued(front), await issued(front)
    key = {"Idempotency-Key": "a"}
    first, second = [await sent(front, one.code, **key) for _ in range(2)]
    assert first[0] == 201
    assert second == first
    assert (await sent(front, other.code, **key))[1]["id"] != first[1]["id"]  # it is the code's
    assert await refused(front, one.code, **{"Idempotency-Key": "b"}) == (409, "CODE_USED")
    two = await issued(front)
    together = await asyncio.gather(*(sent(front, two.code, **key) for _ in range(16)))
    assert {status for status, _ in together} <= {201, 202}
    assert len({told["id"] for _, told in together}) == 1
    assert [status for status, told in together if told["status"] == "complete"]
    assert len(await rows(front, transcripts)) == 3


@shared
async def test_a_key_whose_request_failed_is_good_for_another_try(till: Front) -> None:
    one = await issued(till)
    key = {"Idempotency-Key": "a"}
    assert await refused(till, one.code, b"not a sound", **key) == (415, "NOT_AUDIO")
    assert (await sent(till, one.code, **key))[0] == 201


async def test_who_does_not_wait_follows_it_by_its_id(front: Front) -> None:
    one = await issued(front)
    key = {"Idempotency-Key": "a"}
    status, told = await sent(front, one.code, SPEECH, "?wait=0", **VIDEO, **key)
    assert (status, told["status"], told["text"]) == (202, "running", None)
    assert await state(front, one) == "held"
    assert (await sent(front, one.code, SPEECH, "?wait=0", **VIDEO, **key))[1]["id"] == told["id"]
    async with front.session.get(f"{front.url}/transcripts/{told['id']}/events") as response:
        *_, end = (await response.text()).splitlines()
    assert json.loads(end)["type"] == "end"
    assert await state(front, one) == "used"  # before anybody was told of the end
    status, again = await sent(front, one.code, SPEECH, **VIDEO, **key)
    assert (status, again["id"], again["charged_s"]) == (201, told["id"], pytest.approx(23.2, abs=0.2))
    await nothing_left(front)


async def test_work_that_nobody_waits_for_is_done_all_the_same(front: Front) -> None:
    one = await issued(front)
    _, told = await sent(front, one.code, SOUND, "?wait=0", **AUDIO)
    async with front.session.get(f"{front.url}/transcripts/{told['id']}/events") as response:
        await response.content.readany()  # and leaves
    async with asyncio.timeout(30):
        while await state(front, one) != "used":
            await asyncio.sleep(0.05)
    await nothing_left(front)


async def test_who_sends_the_same_media_without_a_code_does_not_fail_with_it(front: Front) -> None:
    one = await issued(front, seconds=20)
    async with raw(front, "/transcripts", f"X-Auth-Code: {one.code}") as first, raw(front) as second:
        first.send(SPEECH)
        await until(lambda: len(front.gateway.transcripts) > 0)
        second.send(SPEECH)
        for request in (first, second):
            request.finish()
        status, error = await first.error()
        assert (status, error["code"]) == (402, "CREDIT_TOO_SMALL")
        assert (await second.head())[0] == 200
        assert isinstance(await second.last(), End)
    await back(front, one)


async def test_a_webhook_is_told_how_it_ended(listening: Listening) -> None:
    told: list[Any] = []

    async def hear(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hear)
    front = await listening(webhook_allow="127.0.0.1")
    async with TestServer(app) as server:
        hook = f"http://127.0.0.1:{server.port}/hook"
        one, two = await issued(front), await issued(front, seconds=1)
        _, whole = await sent(front, one.code, SILENCE, f"?wait=0&webhook={hook}")
        body = form(
            ("code", two.code.encode()), ("webhook", hook.encode()), ("wait", b"0"), ("file", SILENCE)
        )
        _, short = await sent(front, None, body, **FORMED)
        await until(lambda: len(told) == 2)
        (good,) = [one for one in told if one["id"] == whole["id"]]
        assert good == {"id": whole["id"], "status": "complete", "error": None}
        (bad,) = [one for one in told if one["id"] == short["id"]]
        assert (bad["status"], bad["error"]["code"]) == ("failed", "CREDIT_TOO_SMALL")
        async with asyncio.timeout(10):
            while [row.webhook_state for row in await rows(front, jobs)] != ["TOLD"] * 2:
                await asyncio.sleep(0.01)
    for query in (f"?webhook={hook}", "?wait=0&webhook=http://10.0.0.1/"):
        assert await refused(front, two.code, SILENCE, query) == (400, "VALIDATION_ERROR")
    await back(front, two)


# Refused


@shared
async def test_codes_that_cannot_be_used(till: Front) -> None:
    spent, revoked = await issued(till), await issued(till)
    expired = await issued(till, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    held = await issued(till)
    await till.gateway.codes.patch(revoked.id, Change(revoked=True))
    await sent(till, spent.code)
    hold = await till.gateway.holds.hold(held.code)
    for code, wanted in (
        (None, (401, "CODE_UNKNOWN")), ("", (401, "CODE_UNKNOWN")), ("AAAAA" * 5, (401, "CODE_UNKNOWN")),
        (spent.code, (409, "CODE_USED")), (revoked.code, (409, "CODE_REVOKED")),
        (expired.code, (409, "CODE_EXPIRED")), (held.code, (409, "CODE_HELD")),
    ):  # fmt: skip
        assert await refused(till, code) == wanted
        fields = () if code is None else (("code", code.encode()),)
        for body in (form(*fields, ("file", SILENCE)), form(("file", SILENCE), *fields)):
            assert await refused(till, None, body, **{"Content-Type": FORM}) == wanted
        if code:  # before the client is told to send anything
            more = ("Expect: 100-continue", f"X-Auth-Code: {code}")
            async with raw(till, "/transcripts", *more, media="audio/wav") as request:
                status, error = await request.error()
            assert (status, error["code"]) == wanted
    await nothing_left(till)
    assert await till.gateway.holds.void(hold)


@shared
@pytest.mark.parametrize(
    ("seconds", "data", "headers", "wanted"),
    [
        (3, SOUND, AUDIO, (402, "CREDIT_TOO_SMALL")),
        (3600, SPEECH, VIDEO, (413, "AUDIO_TOO_LONG")),
        (3600, bytes(600_001), AUDIO, (413, "BODY_TOO_LARGE")),
        (3600, b"These are words.\n" * 1000, AUDIO, (415, "NOT_AUDIO")),
        (3600, b"\x89PNG\r\n\x1a\n" + bytes(1000), AUDIO, (415, "NOT_AUDIO")),
        (3600, SOUND, {"Content-Type": "text/plain"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (3600, SOUND, {**AUDIO, "Content-Encoding": "gzip"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (3600, bytes(range(256)) * 50, AUDIO, (422, "MEDIA_UNDECODABLE")),
        (3600, SPEECH[:3000], VIDEO, (422, "MEDIA_UNDECODABLE")),
        (3600, b"", AUDIO, (400, "VALIDATION_ERROR")),
        (3600, form(*[("x", b"")] * 1000, ("file", SOUND)), FORMED, (400, "VALIDATION_ERROR")),
        (3600, form(("file", SOUND), ("words", b"maybe")), FORMED, (400, "VALIDATION_ERROR")),
        (3600, b"no form at all", FORMED, (400, "VALIDATION_ERROR")),
    ],
)  # fmt: skip
async def test_what_fails_costs_nothing(
    narrow: Front, seconds: float, data: bytes, headers: dict[str, str], wanted: tuple[int, str]
) -> None:
    one = await issued(narrow, seconds=seconds)
    assert await refused(narrow, one.code, data, **headers) == wanted
    assert await state(narrow, one) == "active"  # when it is told, and not some time later
    await back(narrow, one)
    await kept_books(narrow)
    if data:
        async with asyncio.timeout(10):
            chunked = await refused(narrow, one.code, pieces(data), **headers)
        assert chunked == wanted
        await back(narrow, one)


@shared
async def test_a_field_after_the_file_comes_too_late_where_the_code_came_first(till: Front) -> None:
    one = await issued(till)
    late = form(("code", one.code.encode()), ("file", SOUND), ("language", b"en"))
    assert await refused(till, None, late, **FORMED) == (400, "VALIDATION_ERROR")
    await back(till, one)
    rightly = form(("file", SOUND), ("language", b"en"), ("code", one.code.encode()))
    assert (await sent(till, None, rightly, **FORMED))[0] == 201


@shared
async def test_a_truncated_mp3_costs_what_there_is_of_it(till: Front) -> None:
    status, told = await sent(till, (await issued(till)).code, SOUND[: len(SOUND) // 2], **AUDIO)
    assert status == 201
    assert told["charged_s"] == pytest.approx(5, abs=0.3)


@shared
async def test_a_header_that_lies_of_its_length_does_not_help(till: Front) -> None:
    """A WAV that says it is 1 s and goes on, and one that says it is an hour and is short."""
    one = await issued(till, seconds=1)
    long = clips.wav(bytes(32_000 * 10))
    assert (await refused(till, one.code, long)) == (402, "CREDIT_TOO_SMALL")
    data = bytearray(SILENCE)
    data[40:44] = (32_000 * 3600).to_bytes(4, "little")
    status, told = await sent(till, (await issued(till, seconds=5)).code, bytes(data))
    assert (status, told["charged_s"]) == (201, 3)


async def test_a_slow_body_is_given_up(listening: Listening) -> None:
    front = await listening(upload_stall_s=0.5)
    one = await issued(front)
    for media, body in (("audio/mpeg", SOUND[:2000]), (FORM, form(("file", SOUND))[:-20])):
        async with raw(front, "/transcripts", f"X-Auth-Code: {one.code}", media=media) as request:
            request.send(body)
            status, error = await request.error()
            assert (status, error["code"]) == (408, "REQUEST_TIMEOUT")
        await back(front, one)
    await kept_books(front)


@shared
@pytest.mark.parametrize("share", [0, 0.3, 0.75, 1])
@pytest.mark.parametrize("media", ["video/mp4", FORM])
async def test_a_client_that_leaves_has_its_code_back(till: Front, share: float, media: str) -> None:
    """Before the body, in its middle, and while the words are recognised."""
    one = await issued(till)
    body = SPEECH if media == "video/mp4" else form(("code", one.code.encode()), ("file", SPEECH))
    code = (f"X-Auth-Code: {one.code}",) if media == "video/mp4" else ()
    async with raw(till, "/transcripts", *code, media=media) as request:
        request.send(body[: int(len(body) * share)] or b"--")
        if share or code:
            async with asyncio.timeout(10):
                while await state(till, one) == "active":
                    await asyncio.sleep(0.005)
        request.writer.transport.abort()
    await back(till, one)
    assert (await sent(till, one.code))[0] == 201


async def test_a_transcript_that_is_stopped_gives_its_code_back(front: Front) -> None:
    one = await issued(front)
    _, told = await sent(front, one.code, SPEECH, "?wait=0", **VIDEO)
    transcript = front.gateway.transcripts.by_id(told["id"])
    assert transcript is not None
    transcript.stop()
    await back(front, one)
    assert [row.state for row in await rows(front, jobs)] == ["CANCELLED"]


async def test_a_code_that_is_revoked_at_work_stops_it(listening: Listening) -> None:
    front = await listening(lease_s=1)
    one = await issued(front)
    async with raw(front, "/transcripts", f"X-Auth-Code: {one.code}") as request:
        request.send(SPEECH[: len(SPEECH) // 2])  # and no more: until it is stopped
        await until(lambda: len(front.gateway.transcripts) > 0)
        await front.gateway.codes.patch(one.id, Change(revoked=True))
        status, error = await request.error()
    assert (status, error["code"]) == (409, "CODE_REVOKED")
    await nothing_left(front)
    await kept_books(front)


async def test_a_hold_is_renewed_as_long_as_its_work_goes_on(listening: Listening) -> None:
    front = await listening(lease_s=3)
    one = await issued(front)
    async with raw(front, "/transcripts", f"X-Auth-Code: {one.code}") as request:
        for at in range(8):
            request.send(SPEECH[at * len(SPEECH) // 8 : (at + 1) * len(SPEECH) // 8])
            await asyncio.sleep(0.6)
            assert await state(front, one) == "held"
        request.finish()
        status, _ = await request.head()
    assert status == 201
    await kept_books(front)


# The store


async def test_a_store_that_fails_at_the_end_costs_nothing(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await issued(front)
    kept = front.gateway.archive.save

    async def failing(*what: Any) -> bool:
        await kept(*what)  # all but the commit
        raise StoreUnavailable

    monkeypatch.setattr(front.gateway.archive, "save", failing)
    assert await refused(front, one.code) == (503, "STORE_UNAVAILABLE")
    await back(front, one)
    assert not await rows(front, transcripts)
    monkeypatch.undo()
    assert (await sent(front, one.code))[0] == 201


@shared
@pytest.mark.parametrize("lost", [False, True])
async def test_a_store_that_fails_once_at_the_end_is_asked_again(
    till: Front, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Also where it had done what it was asked, and only the answer was lost."""
    one = await issued(till)
    posted, completed, times = till.gateway.holds.post, till.gateway.jobs.complete, 0

    async def failing(tx: Any, *what: Any) -> int:
        nonlocal times
        times += 1
        if times == 2:
            return await posted(tx, *what)
        if lost:
            await posted(tx, *what)
            (job,) = [row for row in await rows(till, jobs) if row.state == "RUNNING"]
            await completed(tx, job.id)
            await tx.commit()
        raise StoreUnavailable

    monkeypatch.setattr(till.gateway.holds, "post", failing)
    status, told = await sent(till, one.code)
    assert (status, told["charged_s"], times) == (201, 3, 2)


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_a_store_that_is_away_is_told_before_the_body(front: Front, cluster: Any, kind: str) -> None:
    one = await issued(front)
    cluster.stop()
    try:
        for code, media in ((f"X-Auth-Code: {one.code}", "audio/wav"), ("X-None: x", FORM)):
            more = ("Expect: 100-continue", code)
            async with raw(front, "/transcripts", *more, media=media) as request:
                status, error = await request.error()
            assert (status, error["code"]) == (503, "STORE_UNAVAILABLE")
    finally:
        cluster.start()
    async with asyncio.timeout(10):
        while (await sent(front, one.code))[0] != 201:
            await asyncio.sleep(0.1)


async def test_a_shutdown_gives_the_codes_of_those_who_wait_back(
    tmp_path: Path, data_dir: Path, base_model: Path, url: str
) -> None:
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(
            started(tmp_path, data_dir=data_dir, model="base", workers=1,
                    database_url=url, shutdown_s=0)
        )  # fmt: skip
        await until(lambda: front.gateway.ready, 60)
        waiting = await issued(front)
        request = await stack.enter_async_context(raw(front, "/transcripts", f"X-Auth-Code: {waiting.code}"))
        request.send(SPEECH[:100_000])
        async with asyncio.timeout(10):
            while await state(front, waiting) != "held":
                await asyncio.sleep(0.01)
    database = Database(url)
    assert (await Codes(database).get(waiting.id)).credit.state == "active"
    await database.close()


async def test_forms_without_a_code_yet_keep_nobody_from_a_transcript(start: Start) -> None:
    front: Front = await start(transcripts_max=2)
    lines = [
        "POST /transcripts HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=b",
        "Content-Length: 100000", "", "--b", 'Content-Disposition: form-data; name="file"; filename="a.mp3"',
        "", "some bytes",
    ]  # fmt: skip
    connections = [await front.connect() for _ in range(4)]
    for _, writer in connections:
        writer.write("\r\n".join(lines).encode())
    await until(lambda: len(front.gateway.spools._entries) == 4)
    assert front.gateway.transcripts.room
    for _, writer in connections:
        writer.close()
    await until(lambda: not front.gateway.spools._entries)
