"""The documented signed API, as its clients use it."""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from clipwire import signed

from tests.redis import Server
from tests.store.conftest import crowded
from tests.web.callers import ADMIN, asked
from tests.web.conftest import Front, Start, shared, started, until
from tests.web.script import Script

SECRET, KEY = "a secret of both sides", "key-of-the-bot"
SET = {
    "api_secret": SECRET, "api_keys_json": json.dumps({KEY: "bot", "another": "site"}),
    "admin_key": ADMIN, "workers": 1,
}  # fmt: skip
PATH = "/api/transcribe"


@pytest.fixture
async def heard(start: Start, data_dir: Path, base_model: Path, tmp_path: Path) -> Front:
    """A gateway that hears, of a caller who signs."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(data_dir / "models")
    front: Front = await start(model="base", **SET)
    await until(lambda: front.gateway.ready, 60)
    return front


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ears(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path
) -> AsyncIterator[Front]:
    """The same for all tests that look at their own call only."""
    folder = tmp_path_factory.mktemp("ears")
    (folder / "data").mkdir()
    (folder / "data" / "models").symlink_to(data_dir / "models")
    async with started(folder, model="base", **SET) as front:
        await until(lambda: front.gateway.ready, 60)
        yield front


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mute(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """One without a model for all of those."""
    async with started(tmp_path_factory.mktemp("mute"), **SET, rate_limit_capacity=1000) as front:
        yield front


@pytest.fixture
async def silent(start: Start) -> Front:
    """The same without a model."""
    front: Front = await start(**SET)
    return front


def now_ms(off_ms: int = 0) -> int:
    return round(time.time() * 1000) + off_ms


async def call(
    front: Front, body: bytes | dict[str, Any], *, key: str = KEY, off_ms: int = 0, **changed: str | None
) -> tuple[int, Any]:
    """A signed call, some of whose headers are others or none."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers: dict[str, Any] = signed(key, SECRET, data, now_ms(off_ms))
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    sent = {name: value for name, value in headers.items() if value is not None}
    async with front.session.post(front.url + PATH, data=data, headers=sent) as response:
        return response.status, json.loads(await response.read())


async def test_a_post_is_heard_and_known_from_then_on(heard: Front) -> None:
    wish = {"url": heard.origin.url("speech")}
    status, told = await call(heard, wish)
    assert status == 200, told
    assert told["status"] == "ok"
    assert told["billed_tokens"] == 1
    assert told["lang"] == "en"
    assert len(told["transcript"].split()) > 5
    assert told["transcript_sha256"] == hashlib.sha256(told["transcript"].encode()).hexdigest()
    assert told["duration_sec"] > 1
    assert re.fullmatch(r"https://www\.tiktok\.com/@[^/]+/video/[0-9]+", told["source"]["canonical_url"])
    assert told["source"]["video_id"] in told["source"]["canonical_url"]
    assert uuid.UUID(told["request_id"]) != uuid.UUID(told["job_id"])
    assert told["elapsed_ms"] > 0
    assert told["ts"].endswith("Z")
    assert abs(datetime.fromisoformat(told["ts"]).timestamp() - time.time()) < 30
    read = heard.gateway.extractor.asked

    status, again = await call(heard, wish)
    assert (status, again["billed_tokens"]) == (200, 0)
    same = ("lang", "duration_sec", "transcript", "transcript_sha256", "source")
    assert {name: again[name] for name in same} == {name: told[name] for name in same}
    assert heard.gateway.extractor.asked == read  # no page is wanted for it

    # the calls are jobs of their owner, newest first, and no transcript is one beside them
    bot = {"Authorization": f"Bearer {ADMIN}"}
    status, listed = await asked(heard, "GET", "/jobs", **bot)
    assert status == 200
    assert {name: listed[name] for name in ("total", "pending", "running", "complete", "failed")} == {
        "total": 2, "pending": 0, "running": 0, "complete": 2, "failed": 0,
    }  # fmt: skip
    newest, first = listed["recent"]
    assert (first["job_id"], newest["job_id"]) == (told["job_id"], again["job_id"])
    assert (first["cache_hit"], newest["cache_hit"]) == (False, True)
    assert {one["url"] for one in (first, newest)} == {wish["url"]}
    assert first["elapsed_ms"] == told["elapsed_ms"]
    assert abs(first["created_at"] - time.time()) < 60
    assert (first["status"], first["error"]) == ("COMPLETE", None)


async def test_what_was_heard_outlives_a_restart_and_costs_nothing(
    tmp_path: Path, data_dir: Path, base_model: Path
) -> None:
    async with started(tmp_path / "first", data_dir=data_dir, model="base", **SET) as first:
        database = first.gateway.settings.database_url
        assert database is not None
        await until(lambda: first.gateway.ready, 60)
        url = first.origin.url("speech")
        _, told = await call(first, {"url": url})
        await until(lambda: not len(first.gateway.writer), 10)
    kept = SET | {"database_url": database.get_secret_value(), "data_dir": data_dir, "model": "base"}
    async with started(tmp_path / "second", **kept) as second:
        status, again = await call(second, {"url": url})
        assert (status, again["billed_tokens"], again["transcript"]) == (200, 0, told["transcript"])
        assert second.gateway.extractor.asked == 0
        status, jobs = await asked(second, "GET", "/jobs", X_API_Key=ADMIN)
        assert (status, jobs["complete"]) == (200, 2)


# refused, in the documented order


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no key": ({"X_API_Key": None}, 401, "Missing or unknown X-API-Key header"),
    "an unknown key": ({"key": "nobody's"}, 401, "Missing or unknown X-API-Key header"),
    "no timestamp": ({"X_Timestamp": None}, 401, "Missing X-Timestamp or X-Signature header"),
    "no signature": ({"X_Signature": None}, 401, "Missing X-Timestamp or X-Signature header"),
    "a timestamp in words": ({"X_Timestamp": "noon"}, 400, "Invalid timestamp header"),
    "a timestamp with a point": ({"X_Timestamp": "1.5"}, 400, "Invalid timestamp header"),
    "a huge timestamp": ({"X_Timestamp": "9" * 40}, 400, "Invalid timestamp header"),
    "too old": ({"off_ms": -301_000}, 403, "Timestamp skew too large"),
    "too new": ({"off_ms": 301_000}, 403, "Timestamp skew too large"),
    "a wrong signature": ({"X_Signature": "0" * 64}, 403, "Invalid signature"),
    "a signature in capitals": ({"X_Signature": "ABCDEF"}, 403, "Invalid signature"),
    "a signature that is not ASCII": ({"X_Signature": "ä" * 32}, 403, "Invalid signature"),
}


@shared
@pytest.mark.parametrize("case", REFUSED)
async def test_a_call_that_is_not_signed_as_it_should_is_refused(mute: Front, case: str) -> None:
    changed, status, words = REFUSED[case]
    assert await call(mute, {"url": "not looked at"}, **changed) == (status, {"detail": words})


@shared
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"url": "\xff"}', "Malformed body encoding"),
        (b"{", "Malformed JSON body"),
        (b"", "Malformed JSON body"),
        (b'["url"]', "Malformed JSON body"),
        (b"{}", "Malformed JSON body"),
        (b'{"url": 3}', "Malformed JSON body"),
        (b'{"url": null}', "Malformed JSON body"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_after_its_signature(
    mute: Front, body: bytes, words: str
) -> None:
    assert await call(mute, body) == (400, {"detail": words})
    assert await call(mute, body, X_Signature="0" * 64) == (403, {"detail": "Invalid signature"})


@shared
async def test_checks_come_in_their_order(mute: Front) -> None:
    async def detail(**changed: Any) -> str:
        _, told = await call(mute, b"{", **changed)
        return str(told["detail"])

    wrong: dict[str, Any] = {"X_Signature": "0", "X_Timestamp": "noon", "X_API_Key": None}
    assert await detail(**wrong) == "Missing or unknown X-API-Key header"
    wrong["X_API_Key"] = KEY
    assert await detail(**wrong) == "Invalid timestamp header"
    wrong["X_Timestamp"] = str(now_ms(-400_000))
    assert await detail(**wrong) == "Timestamp skew too large"
    wrong["X_Timestamp"] = str(now_ms())
    assert await detail(**wrong) == "Invalid signature"


@shared
async def test_clocks_may_differ_by_five_minutes(mute: Front) -> None:
    for off_ms in (-290_000, 290_000):
        status, told = await call(mute, {"url": "no post"}, off_ms=off_ms)
        assert (status, told["code"]) == (400, "INVALID_URL")


@shared
async def test_a_signature_is_answered_once_and_a_refused_call_may_come_again(ears: Front) -> None:
    gone = json.dumps({"url": ears.origin.url("deleted")}).encode()
    headers = signed(KEY, SECRET, gone, now_ms())
    for _ in range(2):
        async with ears.session.post(ears.url + PATH, data=gone, headers=headers) as response:
            assert response.status == 422
    good = json.dumps({"url": ears.origin.url("speech")}).encode()
    headers = signed(KEY, SECRET, good, now_ms())
    answers = []
    for _ in range(2):
        async with ears.session.post(ears.url + PATH, data=good, headers=headers) as response:
            answers.append((response.status, await response.json()))
    assert answers[0][0] == 200
    assert answers[1] == (403, {"detail": "Signature already used"})
    headers["X-API-Key"] = "another"  # which is no part of what is signed
    async with ears.session.post(ears.url + PATH, data=good, headers=headers) as response:
        assert (response.status, await response.json()) == answers[1]


@shared
async def test_one_signature_sent_many_times_at_once_is_answered_once(ears: Front) -> None:
    body = json.dumps({"url": ears.origin.url("speech")}).encode()
    headers = signed(KEY, SECRET, body, now_ms())

    async def one() -> int:
        async with ears.session.post(ears.url + PATH, data=body, headers=headers) as response:
            return response.status

    assert sorted(await asyncio.gather(*(one() for _ in range(5)))) == [200, 403, 403, 403, 403]


async def test_who_cannot_be_told_from_a_replay_is_asked_to_come_again(
    start: Start, redis_server: Server, redis_prefix: str
) -> None:
    front: Front = await start(**SET, redis_url=redis_server.url, redis_prefix=redis_prefix)
    redis, body = front.gateway.redis, json.dumps({"url": "no post"}).encode()
    assert redis is not None
    headers = signed(KEY, SECRET, body, now_ms())
    async with (
        crowded(redis),
        front.session.post(front.url + PATH, data=body, headers=headers) as response,
    ):
        assert (response.status, (await response.json())["code"]) == (503, "BUSY")
        assert int(response.headers["Retry-After"]) > 0
    assert redis.state == "ok"
    async with front.session.post(front.url + PATH, data=body, headers=headers) as response:
        assert response.status == 400


async def test_replays_may_be_allowed(start: Start) -> None:
    front: Front = await start(**SET, replay_refused=False)
    await front.gateway.seen.add("never asked", 1)
    body = json.dumps({"url": "no post"}).encode()
    headers = signed(KEY, SECRET, body, now_ms())
    for _ in range(2):
        async with front.session.post(front.url + PATH, data=body, headers=headers) as response:
            assert response.status == 400


async def test_an_empty_bucket_is_told_with_the_time_until_a_token_is_there(start: Start) -> None:
    front: Front = await start(**SET, rate_limit_capacity=2, rate_limit_refill_per_sec=0.1)
    for _ in range(2):
        assert (await call(front, {"url": "no post"}))[0] == 400
    data = b'{"url": "no post"}'
    headers = signed(KEY, SECRET, data, now_ms())
    async with front.session.post(front.url + PATH, data=data, headers=headers) as response:
        words = {"error": "Rate limit exceeded", "detail": "Rate limit exceeded"}
        assert (response.status, await response.json()) == (429, words)
        assert 9 <= int(response.headers["Retry-After"]) <= 10
    assert (await call(front, {"url": "no post"}, key="another"))[0] == 400  # another owner's bucket
    assert await call(front, {"url": "no post"}, X_Signature="0") == (403, {"detail": "Invalid signature"})


@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("deleted", 422, "VIDEO_UNAVAILABLE"),
        ("private", 422, "VIDEO_PRIVATE"),
        ("geo", 422, "GEO_BLOCKED"),
        ("login", 422, "LOGIN_REQUIRED"),
        ("page_403", 422, "IP_BLOCKED"),
        ("page_hangs", 408, "UPSTREAM_TIMEOUT"),
    ],
)
async def test_a_post_that_is_not_to_be_had_is_told(
    start: Start, scenario: str, status: int, code: str
) -> None:
    front: Front = await start(**SET, extract_s=3)
    got, told = await call(front, {"url": front.origin.url(scenario)})
    assert (got, told["code"]) == (status, code)
    assert set(told) == {"detail", "code", "request_id"}
    uuid.UUID(told["request_id"])
    _, jobs = await asked(front, "GET", "/jobs/failed", X_API_Key=ADMIN)
    (job,) = jobs["jobs"]
    assert (job["status"], job["error"]) == ("FAILED", told["detail"])


async def test_without_room_or_a_model_the_server_is_busy(silent: Front) -> None:
    data = json.dumps({"url": silent.origin.url("speech")}).encode()
    headers = signed(KEY, SECRET, data, now_ms())
    async with silent.session.post(silent.url + PATH, data=data, headers=headers) as response:
        told = await response.json()
        assert (response.status, told["code"]) == (503, "BUSY")
        assert int(response.headers["Retry-After"]) > 0


async def test_a_full_queue_is_told_with_the_time_to_come_again(start: Start) -> None:
    front: Front = await start(**SET, transcripts_max=1)
    Script(front.gateway.transcripts)  # at work, for as long as the test goes on
    data = json.dumps({"url": front.origin.url("speech")}).encode()
    headers = signed(KEY, SECRET, data, now_ms())
    async with front.session.post(front.url + PATH, data=data, headers=headers) as response:
        told = await response.json()
        assert (response.status, told["code"]) == (503, "BUSY")
        assert set(told) == {"detail", "code", "request_id"}
        assert int(response.headers["Retry-After"]) > 0


@shared
async def test_media_that_break_off_are_told(ears: Front) -> None:
    status, told = await call(ears, {"url": ears.origin.url("cdn_dies")})
    assert (status, told["code"]) == (502, "UPSTREAM_FAILED")
    assert set(told) == {"detail", "code", "request_id"}


async def test_a_failure_not_foreseen_is_told_without_what_it_was(
    silent: Front, capfd: pytest.CaptureFixture[str]
) -> None:
    silent.gateway.extractor._posts = None  # type: ignore[assignment]  # as a bug would
    body = json.dumps({"url": silent.origin.url("speech")}).encode()
    for _ in range(2):  # and its signature is not used up by it
        status, told = await call(silent, body)
        assert status == 500
        assert set(told) == {"detail", "request_id"}
        assert not any(word in told["detail"] for word in ("Traceback", "NoneType", "/", ".py"))
        uuid.UUID(told["request_id"])
    assert told["request_id"] in "".join(capfd.readouterr())  # in the log, where the operator finds the rest
    _, jobs = await asked(silent, "GET", "/jobs/failed", X_API_Key=ADMIN)
    assert [job["error"] for job in jobs["jobs"]] == [told["detail"]] * 2


async def test_without_a_secret_nobody_signs(start: Start) -> None:
    front: Front = await start(api_keys_json=SET["api_keys_json"])
    assert await call(front, {"url": ""}) == (401, {"detail": "Missing or unknown X-API-Key header"})


# who sees which jobs


async def test_keys_for_signed_calls_open_nothing_else_and_jobs_are_ones_own(silent: Front) -> None:
    await call(silent, {"url": silent.origin.url("deleted")})
    await call(silent, {"url": silent.origin.url("deleted")}, key="another")
    assert (await asked(silent, "GET", "/jobs", X_API_Key=KEY))[0] == 401
    assert (await asked(silent, "GET", "/jobs"))[0] == 401
    made = await silent.gateway.accounts.create("bot", ("transcribe",))
    _, own = await asked(silent, "GET", "/jobs", X_API_Key=made.key)
    _, all_ = await asked(silent, "GET", "/jobs", X_API_Key=ADMIN)
    assert (own["failed"], all_["failed"]) == (1, 2)
    assert (await call(silent, {"url": "no post"}, key=made.key))[1]["code"] == "INVALID_URL"
    other = await silent.gateway.accounts.create("bot", ("download",))
    assert (await call(silent, {"url": "no post"}, key=other.key))[0] == 403
    assert await asked(silent, "POST", "/jobs/repair", X_API_Key=ADMIN) == (
        200, {"status": "ok", "repaired": 0},
    )  # fmt: skip


async def test_a_call_whose_client_leaves_ends_its_job(heard: Front) -> None:
    data = json.dumps({"url": heard.origin.url("page_hangs")}).encode()
    leaving = asyncio.create_task(call(heard, data))
    await until(lambda: bool(heard.gateway.register._running), 10)
    leaving.cancel()
    await asyncio.wait([leaving])
    await until(lambda: not heard.gateway.register._running, 10)
    _, jobs = await asked(heard, "GET", "/jobs", X_API_Key=ADMIN)
    assert (jobs["failed"], jobs["recent"][0]["error"]) == (1, "Cancelled.")


# the server


async def test_the_server_tells_what_it_is(start: Start) -> None:
    front: Front = await start(**SET, git_sha="abc123", build_time="2026-11-20T10:00:00Z")
    status, health = await asked(front, "GET", "/api/health")
    assert (status, health["status"]) == (200, "ok")
    assert health["build"] == {"git_sha": "abc123", "time": "2026-11-20T10:00:00Z"}
    for path in ("/version", "/api/version"):
        status, version = await asked(front, "GET", path)
        assert status == 200
        assert set(version) == {"git_sha", "started_at", "build_time", "version"}
        assert abs(datetime.fromisoformat(version["started_at"]).timestamp() - time.time()) < 60
    status, told = await asked(front, "GET", "/api/nothing")
    assert (status, told["code"]) == (404, "NOT_FOUND")


async def test_the_queue_tells_how_many_wait_and_run(silent: Front) -> None:
    _, idle = await asked(silent, "GET", "/queue/status")
    assert idle["queue"] == {
        "queue_size": 0, "active_jobs": 0, "estimated_wait_time": 0.0, "status": "idle",
    }  # fmt: skip
    assert (idle["msg"], idle["event_id"], idle["rank"], idle["rank_eta"]) == ("estimation", None, 0, 0.0)


async def test_the_queue_is_busy_while_something_is_heard(heard: Front) -> None:
    calls = [
        asyncio.create_task(call(heard, {"url": heard.origin.url(name)})) for name in ("speech", "video")
    ]
    seen = 0
    while not all(one.done() for one in calls):
        _, told = await asked(heard, "GET", "/queue/status")
        queue = told["queue"]
        assert queue["queue_size"] == told["queue_size"]
        assert (queue["status"] == "busy") == (queue["active_jobs"] + queue["queue_size"] > 0)
        seen = max(seen, queue["active_jobs"] + queue["queue_size"])
        await asyncio.sleep(0.05)
    assert seen >= 1
    assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200]


# the papers' own words


EXAMPLES = re.findall(
    r"```(sh|python)\n(.*?)```",
    (Path(__file__).parents[2] / "docs/api.md").read_text("utf-8").split("### Signing")[-1].split("\n## ")[0],
    re.S,
)


@shared
@pytest.mark.parametrize(("language", "script"), EXAMPLES, ids=[language for language, _ in EXAMPLES])
async def test_the_examples_of_the_papers_work_as_written(
    ears: Front, language: str, script: str, tmp_path: Path
) -> None:
    file = tmp_path / f"example.{language}"
    file.write_text(script)
    program = {"sh": "sh", "python": sys.executable}[language]
    told = os.environ | {
        "CLIPWIRE": ears.url, "API_KEY": KEY, "API_SECRET": SECRET, "POST": ears.origin.url("speech"),
    }  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, [program, str(file)], env=told, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok", answer
    assert len(answer["transcript"].split()) > 5


def test_there_are_examples_for_a_shell_and_for_python() -> None:
    assert [language for language, _ in EXAMPLES] == ["sh", "python"]
