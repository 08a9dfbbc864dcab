"""GET /metrics, as an operator's Prometheus reads it."""

import asyncio
import json
import os
import signal
import time
from typing import Any

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from gateway.check.sound import tone
from gateway.store.accounts import Account
from gateway.web.auth import CALLER, Caller
from gateway.web.health import health
from gateway.web.keys import GATEWAY
from gateway.web.middleware import NATIVE, OPEN, Requests, edge
from tests.web.conftest import Front, Start, until

KEY = "an admin key of length"


async def scraped(front: Front, **headers: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample's value by its name and the values of its labels."""
    async with front.session.get(front.url + "/metrics", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        said = await response.text()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }


async def test_a_download_is_counted_all_the_way(front: Front) -> None:
    for _ in range(2):
        async with front.download("video") as response:
            body = await response.read()
    found = await scraped(front)
    assert found["clipwire_requests_total", ("ttsave", "POST /download", "200")] == 2
    assert found["clipwire_request_duration_seconds_count", ("ttsave", "POST /download")] == 2
    assert found["clipwire_sent_bytes_total", ()] >= 2 * len(body) - 100
    assert found["clipwire_spool_misses_total", ()] == 1
    assert found["clipwire_spool_hits_total", ()] == 1
    assert 0 < found["clipwire_spool_bytes", ()] < found["clipwire_spool_limit_bytes", ()]
    assert found["clipwire_extractions_total", ("ok",)] == 1
    assert found["clipwire_extraction_seconds_total", ()] > 0
    assert (found["clipwire_post_misses_total", ()], found["clipwire_post_hits_total", ()]) == (1, 1)
    assert found["clipwire_resident_bytes", ("gateway",)] > 1 << 20
    assert found["clipwire_resident_bytes", ("extractor",)] > 1 << 20
    assert found["clipwire_database_up", ()] == 1
    assert found["clipwire_jobs", ("running",)] == 0
    assert found["clipwire_workers_wanted", ()] >= 1
    assert health(front.gateway).requests == 3
    assert health(front.gateway).cache_hit_rate == 0.5


async def test_a_post_that_is_refused_is_counted_by_its_code(front: Front) -> None:
    async with front.download("private") as response:
        await response.read()
    found = await scraped(front)
    assert found["clipwire_extractions_total", ("VIDEO_PRIVATE",)] == 1
    assert found["clipwire_requests_total", ("ttsave", "POST /download", str(response.status))] == 1


async def test_what_callers_make_up_is_no_label(front: Front) -> None:
    for path in ("/nothing/a", "/nothing/b", "/transcripts/made-up", "/transcripts/other"):
        async with front.session.get(front.url + path) as response:
            assert response.status == 404
    found = await scraped(front)
    assert found["clipwire_requests_total", ("native", "other", "404")] == 2
    assert found["clipwire_requests_total", ("native", "GET /transcripts/{id}", "404")] == 2
    assert not any("made-up" in str(sample) for sample in found)


async def test_bytes_of_an_open_stream_count_while_it_is_open(front: Front) -> None:
    front.origin.pace(200_000)
    async with front.download("video") as response:
        await response.content.readany()
        first = await scraped(front)
        await response.content.readany()
        second = await scraped(front)
        assert second["clipwire_streams_open", ()] == 1
        assert second["clipwire_requests_open", ()] == 2  # that and the scrape itself
        assert 0 < first["clipwire_sent_bytes_total", ()] <= second["clipwire_sent_bytes_total", ()]
        front.origin.pace(None)
        await response.read()
    await until(lambda: front.gateway.metrics.requests >= 3)
    last = await scraped(front)
    assert last["clipwire_streams_open", ()] == 0
    assert last["clipwire_sent_bytes_total", ()] >= second["clipwire_sent_bytes_total", ()]


async def test_with_an_admin_key_metrics_need_it(start: Start) -> None:
    front: Front = await start(admin_key=KEY)
    async with front.session.get(front.url + "/metrics") as response:
        assert response.status == 401
    await scraped(front, **{"X-API-Key": KEY})
    await scraped(front, Authorization=f"Bearer {KEY}")


async def test_without_one_they_are_for_this_machine_and_not_for_who_comes_through_a_proxy(
    front: Front,
) -> None:
    await scraped(front)
    async with front.session.get(
        front.url + "/metrics", headers={"X-Forwarded-For": "127.0.0.1"}
    ) as response:
        assert response.status == 403


async def test_metrics_can_be_turned_off(start: Start) -> None:
    front: Front = await start(enable_metrics=False)
    async with front.session.get(front.url + "/metrics") as response:
        assert response.status == 404


async def test_a_database_that_is_away_is_told_and_hides_nothing_else(front: Front) -> None:
    front.gateway.database.ready = False  # or whoever asks it next would find it well
    front.gateway.database.away = True
    found = await scraped(front)
    assert found["clipwire_database_up", ()] == 0
    assert ("clipwire_jobs", ("running",)) not in found
    assert health(front.gateway).database == "unhealthy"
    assert not health(front.gateway).healthy


async def test_speech_is_counted_by_window_and_by_end(speaking: Front) -> None:
    sound = tone(3)
    async with speaking.session.post(
        speaking.url + "/transcribe", data=sound, headers={"Content-Type": "audio/wav"}
    ) as response:
        lines = (await response.text()).splitlines()
    assert '"end"' in lines[-1]
    found = await scraped(speaking)
    assert found["clipwire_transcripts_total", ("ok",)] == 1
    assert found["clipwire_transcripts_running", ()] == 0
    assert found["clipwire_workers", ()] == 1
    assert found["clipwire_resident_bytes", ("speech",)] > 1 << 20
    assert found["clipwire_windows_total", ()] == speaking.gateway.pool.windows
    assert health(speaking.gateway).whisper == "healthy"


async def test_a_transcript_has_one_line_with_what_it_cost_and_none_of_its_words(speaking: Front) -> None:
    with capture_logs(processors=[merge_contextvars]) as logged:
        wish = {"url": speaking.origin.url("speech"), "source": "speech"}
        async with speaking.post("/transcribe", **wish) as response:
            told = [json.loads(line) for line in (await response.text()).splitlines()]
            id_, request_id = response.headers["Transcript-Id"], response.headers["X-Request-Id"]
        async with speaking.post("/transcribe", **wish) as response:  # from memory: it cost nothing more
            await response.read()
    (line,) = [one for one in logged if one["event"] == "transcript"]
    assert (line["id"], line["request_id"], line["end"]) == (id_, request_id, "ok")
    assert (line["source"], line["model"], line["language"]) == ("speech", "base", "en")
    assert line["bytes"] == len(speaking.origin.clip("speech"))
    assert line["audio_s"] == told[-1]["duration"]
    assert line["windows"] >= 1
    assert 0 < line["worker_s"] < 60
    assert 0 <= line["queue_s"] < 60
    said = str(logged)
    assert not any(event["text"].strip() in said for event in told if event["type"] == "segment")
    assert "http" not in said


async def test_captions_cost_no_worker_anything(front: Front) -> None:
    with capture_logs() as logged:
        async with front.post("/transcribe", url=front.origin.url("captions")) as response:
            await response.read()
    (line,) = [one for one in logged if one["event"] == "transcript"]
    assert (line["source"], line["model"], line["worker_s"], line["windows"]) == ("captions", None, 0, 0)


async def test_a_request_s_line_has_who_called(front: Front) -> None:
    async def handler(request: web.Request) -> web.Response:
        request[CALLER] = Caller(Account("1", "somebody", frozenset()), "192.0.2.1", stranger=False)
        return web.Response(text="well")

    app = web.Application(middlewares=[edge(lambda path: NATIVE)])
    app[GATEWAY], app[OPEN] = front.gateway, Requests()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with capture_logs() as logged:
        async with front.session.get(site.name) as response:
            assert response.status == 200
    await runner.cleanup()
    (line,) = [one for one in logged if one["event"] == "request"]
    assert (line["account"], line["address"], line["bytes"]) == ("somebody", "192.0.2.1", 4)


async def test_a_worker_that_dies_is_counted(speaking: Front) -> None:
    (pid,) = speaking.gateway.pool.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: speaking.gateway.pool.restarts["lost"] == 1)
    await until(lambda: bool(speaking.gateway.pool.pids), 60)
    found = await scraped(speaking)
    assert found["clipwire_worker_restarts_total", ("lost",)] == 1


async def test_who_left_a_transcript_is_an_end_too(speaking: Front) -> None:
    speaking.origin.pace(1000)  # slower than anybody waits
    wish: dict[str, Any] = {"url": speaking.origin.url("speech"), "source": "speech"}
    asking = asyncio.ensure_future(speaking.session.post(speaking.url + "/transcribe", json=wish))
    await until(lambda: len(speaking.gateway.transcripts) == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: speaking.gateway.transcripts.ends["left"] == 1)


async def test_the_loop_s_lag_is_measured(front: Front) -> None:
    front.gateway.lag._late.clear()
    await asyncio.sleep(0.05)
    time.sleep(0.7)  # what must never happen
    await until(lambda: len(front.gateway.lag._late) > 0)
    assert (await scraped(front))["clipwire_loop_lag_seconds", ()] > 0.1
