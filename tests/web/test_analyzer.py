"""The documented API of the analyzer, row by row."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer, make_mocked_request

from gateway.media.exits import Exits
from gateway.settings import Settings
from gateway.store.limits import Verdict
from gateway.web.admission import VERDICT
from gateway.web.dialects.analyzer import models
from gateway.web.dialects.analyzer.answers import rate_limit_of
from gateway.web.dialects.analyzer.extraction import Extractions
from tests.origin.scenarios import MEMBER, SCENARIOS
from tests.vision.stand_in import ANALYSIS, Api, fails, hangs, says
from tests.web.conftest import Front, Start, shared, started, until

KEY = "a key of the tests"
LINES = {"Accept": "application/x-ndjson"}


async def extract(front: Front, name: str, **more: Any) -> tuple[int, Any]:
    return await asked(front, "/extract", url=front.origin.url(name), **more)


async def asked(front: Front, path: str, **body: Any) -> tuple[int, Any]:
    async with front.post(path, **body) as response:
        return response.status, await response.json()


async def got(front: Front, path: str) -> Any:
    async with front.session.get(front.url + path) as response:
        assert response.status == 200
        return await response.json()


async def stream(front: Front, urls: list[str], **more: Any) -> list[Any]:
    async with front.session.post(
        front.url + "/extract/batch", json={"urls": urls, **more}, headers=LINES
    ) as response:
        assert (response.status, response.content_type) == (200, LINES["Accept"])
        return [json.loads(line) async for line in response.content]


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    api = Api()
    async with TestServer(api.app()) as server:
        api.url = f"http://127.0.0.1:{server.port}/v1"
        yield api


def seeing(api: Api) -> dict[str, str]:
    """The settings of a gateway that looks at pictures."""
    return {"openai_api_key": "sk-of-tests", "openai_base_url": api.url}


# POST /extract


async def test_a_post_is_told_as_documented(front: Front) -> None:
    status, body = await extract(front, "video")
    assert status == 200
    models.Envelope[models.Video].model_validate_json(json.dumps(body))
    data, metadata = body["data"], body["metadata"]
    assert (body["success"], metadata["api_version"], metadata["rate_limit"]) == (True, "1.0.0", None)
    assert re.fullmatch("req_[0-9a-f]{8}", metadata["request_id"])
    assert datetime.fromisoformat(metadata["timestamp"]).tzinfo is not None
    told = {name: data[name] for name in data if not name.endswith(("_at", "_ms", "_url"))}
    assert told == {
        "url": front.origin.url("video"), "platform": "tiktok",
        "title": "A red kite over a quiet harbour #clipwire #demo",
        "description": "A red kite over a quiet harbour #clipwire #demo", "duration": 9,
        "view_count": 123_456, "like_count": 7_890, "comment_count": 45, "share_count": 321,
        "upload_date": "2024-03-10", "uploader": "clipwire.demo", "thumbnail_analysis": None,
        "cache_hit": False, "warnings": [],
    }  # fmt: skip
    assert data["thumbnail_url"].startswith("https://p16-sign.tiktokcdn-us.com/")
    assert 0 < data["processing_time_ms"] <= metadata["processing_time_ms"]


@shared
async def test_the_id_of_a_request_begins_that_of_the_log(lasting: Front) -> None:
    async with lasting.post("/extract", url="nonsense") as response:
        told = (await response.json())["metadata"]["request_id"]
        assert response.headers["X-Request-Id"].startswith(told.removeprefix("req_"))


@shared
@pytest.mark.parametrize("name", ["photo3", "short_photo"])
async def test_a_photo_post_is_a_post(lasting: Front, name: str) -> None:
    status, body = await extract(lasting, name)
    assert (status, body["data"]["title"]) == (200, "Three pictures #garden")
    assert body["data"]["thumbnail_url"]
    assert "slide_analyses" not in body["data"]


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("private", 422, "VIDEO_PRIVATE"), ("deleted", 422, "VIDEO_UNAVAILABLE"),
        ("geo", 422, "GEO_BLOCKED"), ("login", 422, "LOGIN_REQUIRED"), ("long", 422, "VIDEO_TOO_LONG"),
        ("no_formats", 422, "NOT_VIDEO_CONTENT"), ("waf_hard", 502, "IP_BLOCKED"),
        ("page_429", 502, "UPSTREAM_RATE_LIMITED"), ("page_503", 502, "EXTRACTION_FAILED"),
        ("short_dead", 400, "INVALID_URL"),
    ],
)  # fmt: skip
async def test_a_post_that_is_not_to_be_had_says_why(front: Front, name: str, status: int, code: str) -> None:
    told, body = await extract(front, name)
    models.Failure.model_validate_json(json.dumps(body))
    assert (told, body["success"], body["error"]["code"]) == (status, False, code)
    details = body["error"]["details"]
    assert details["url"] == front.origin.url(name)
    assert details["platform"] == (None if code == "INVALID_URL" else "tiktok")
    assert details["reason"]
    stats = (await got(front, "/stats"))["data"]
    assert stats["error_breakdown"] == {code: 1}


async def test_a_slow_site_is_a_timeout(start: Start) -> None:
    front = await start(extract_s=4)
    status, body = await extract(front, "page_hangs")
    assert (status, body["error"]["code"]) == (408, "TIMEOUT")


async def test_a_proxy_that_does_not_work_says_so(start: Start) -> None:
    front = await start(proxy_url="http://127.0.0.1:9")
    status, body = await extract(front, "video")
    assert (status, body["error"]["code"]) == (502, "PROXY_ERROR")


async def test_too_much_at_once_is_refused_with_a_time(start: Start) -> None:
    front = await start(extractions_max=1, extract_waiting_max=0)
    first = asyncio.create_task(extract(front, "page_hangs"))
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    async with front.post("/extract", url=front.origin.url("video")) as response:
        body = await response.json()
        assert (response.status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(response.headers["Retry-After"]) > 0
    front.origin.release()
    assert (await first)[0] == 200


async def test_those_who_wait_for_the_same_post_take_one_turn(start: Start) -> None:
    front = await start(extractions_max=2, extract_processes=2)
    same = [asyncio.create_task(extract(front, "page_hangs")) for _ in range(5)]
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    assert (await extract(front, "video"))[0] == 200
    front.origin.release()
    assert [status for status, _ in await asyncio.gather(*same)] == [200] * 5


async def test_at_most_so_many_are_extracted_at_once(start: Start) -> None:
    front = await start(extractions_max=2, extract_processes=4)
    names = ["video", "photo3", "captions", "big", "qualities"]
    running = most = 0
    find = front.gateway.extractor.find

    async def counted(text: str, *, since: float = 0.0) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await find(text, since=since)
        finally:
            running -= 1

    front.gateway.extractor.find = counted  # type: ignore[method-assign]
    answers = await asyncio.gather(*(extract(front, name) for name in names))
    assert [status for status, _ in answers] == [200] * len(names)
    assert most == 2


@shared
@pytest.mark.parametrize(
    "body",
    [{}, {"url": None}, {"url": ""}, {"url": 5}, {"url": "x" * 5000}, {"url": "x", "cache_ttl": -1}],
)
async def test_what_is_no_request_is_a_validation_error(lasting: Front, body: dict[str, Any]) -> None:
    status, told = await asked(lasting, "/extract", **body)
    assert (status, told["error"]["code"], told["error"]["details"]) == (400, "VALIDATION_ERROR", None)


@shared
@pytest.mark.parametrize("data", [b"", b"not json", b"[]", b"\xff"])
async def test_what_is_no_json_is_a_validation_error(lasting: Front, data: bytes) -> None:
    async with lasting.session.post(lasting.url + "/extract", data=data) as response:
        body = await response.json()
    assert (response.status, body["error"]["code"]) == (400, "VALIDATION_ERROR")


@shared
async def test_what_is_not_there_is_told_in_the_same_shape(lasting: Front) -> None:
    for method, path, status, code in (
        ("GET", "/extract", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/extract/nothing", 404, "NOT_FOUND"),
        ("POST", "/health", 405, "METHOD_NOT_ALLOWED"),
    ):
        async with lasting.session.request(method, lasting.url + path) as response:
            body = await response.json()
        assert (response.status, body["success"], body["error"]["code"]) == (status, False, code)


# who calls, and how often


async def test_a_key_is_needed_once_there_is_one(start: Start) -> None:
    front = await start(api_key=KEY)
    for path, body in (
        ("/extract", {"url": "x"}),
        ("/extract/batch", {"urls": ["x"]}),
        ("/extract-transcript", {"url": "x"}),
    ):  # fmt: skip
        for headers in ({}, {"X-API-Key": "another"}):
            async with front.session.post(front.url + path, json=body, headers=headers) as response:
                told = await response.json()
            models.Failure.model_validate_json(json.dumps(told))
            assert (response.status, told["error"]["code"]) == (401, "API_KEY_INVALID")
    for path in ("/health", "/supported-platforms", "/stats"):
        await got(front, path)


async def test_a_minute_has_so_many_calls(start: Start) -> None:
    front = await start(api_key=KEY, requests_per_minute_max=2)
    assert (await got(front, "/supported-platforms"))["data"]["limitations"]["rate_limit_per_minute"] == 2
    for left in (1, 0):
        async with front.session.post(
            front.url + "/extract", json={"url": front.origin.url("video")}, headers={"x-api-key": KEY}
        ) as response:
            rate = (await response.json())["metadata"]["rate_limit"]
        assert (response.status, rate["remaining"]) == (200, left)
        assert datetime.fromisoformat(rate["reset_at"]) > datetime.now(UTC)
    async with front.session.post(
        front.url + "/extract", json={"url": front.origin.url("video")}, headers={"x-api-key": KEY}
    ) as response:
        told = await response.json()
    assert (response.status, told["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert 0 < int(response.headers["Retry-After"]) <= 30
    assert told["metadata"]["rate_limit"]["remaining"] == 0


# the cache


async def test_a_young_extraction_comes_from_the_cache(front: Front) -> None:
    _, first = await extract(front, "video")
    _, second = await extract(front, "video")
    assert second["data"]["cache_hit"]
    assert second["data"]["extracted_at"] == first["data"]["extracted_at"]
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1
    _, third = await extract(front, "video", cache_ttl=0)
    assert not third["data"]["cache_hit"]
    assert third["data"]["extracted_at"] > first["data"]["extracted_at"]
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 2
    stats = (await got(front, "/stats"))["data"]["cache_stats"]
    assert (stats["hit_count"], stats["miss_count"], stats["hit_rate"]) == (1, 2, 0.3333)
    assert stats["total_entries"] == 1
    assert stats["memory_usage_mb"] > 0


async def test_an_extraction_that_is_too_old_is_made_anew(front: Front) -> None:
    await extract(front, "video")
    await asyncio.sleep(1.1)
    _, body = await extract(front, "video", cache_ttl=1)
    assert not body["data"]["cache_hit"]
    _, body = await extract(front, "video", cache_ttl=60)
    assert body["data"]["cache_hit"]


async def test_a_post_that_was_downloaded_is_known(front: Front) -> None:
    async with front.download("video") as response:
        await response.read()
    _, body = await extract(front, "video")
    assert body["data"]["cache_hit"]
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1


async def test_a_short_link_is_unfolded_once(front: Front) -> None:
    for _ in range(2):
        status, body = await extract(front, "short_vm")
        assert (status, body["data"]["url"]) == (200, front.origin.url("short_vm"))
    assert body["data"]["cache_hit"]
    assert front.origin.hits["short"] == 1


async def test_without_a_cache_everything_is_made_anew(start: Start) -> None:
    front = await start(cache_enabled=False)
    for _ in range(2):
        _, body = await extract(front, "video")
        assert not body["data"]["cache_hit"]
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 2
    assert (await got(front, "/stats"))["data"]["cache_stats"]["total_entries"] == 0


async def test_what_is_asked_for_at_once_is_read_once(front: Front) -> None:
    answers = await asyncio.gather(*(extract(front, "video") for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1


# pictures


async def test_a_thumbnail_is_analysed_and_kept(start: Start, api: Api) -> None:
    front = await start(**seeing(api))
    for hit in (False, True):
        status, body = await extract(front, "video")
        assert (status, body["data"]["cache_hit"]) == (200, hit)
        assert body["data"]["thumbnail_analysis"] == ANALYSIS
        assert body["data"]["warnings"] == []
    assert len(api.bodies) == 1
    _, body = await extract(front, "photo3", include_thumbnail_analysis=False)
    assert body["data"]["thumbnail_analysis"] is None
    assert len(api.bodies) == 1


@pytest.mark.parametrize("answer", [fails(500), fails(401), says("no analysis"), hangs()])
async def test_a_thumbnail_that_was_not_analysed_fails_nothing(start: Start, api: Api, answer: Any) -> None:
    api.answers = [answer]
    front = await start(**seeing(api), vision_s=2)
    status, body = await extract(front, "video")
    assert (status, body["data"]["thumbnail_analysis"]) == (200, None)
    assert body["data"]["warnings"] == ["THUMBNAIL_ANALYSIS_FAILED"]
    assert (await got(front, "/stats"))["data"]["service_stats"]["failed_extractions"] == 0


@pytest.mark.parametrize("value", [b"\xff", b"{}", b"[1, 2]", b'[{"x": 1}, null]', b'{"x":' + b"[" * 200_000])
async def test_what_is_kept_by_nobody_of_ours_is_found_anew(start: Start, api: Api, value: bytes) -> None:
    front = await start(**seeing(api))
    kept = front.gateway.cache._memory.values
    await extract(front, "short_vm")
    names = list(kept)
    assert {name.split()[0] for name in names} >= {"extraction", "short", "pictures"}
    for spoilt in (names, [name for name in names if name.startswith("pictures")]):
        for name in spoilt:
            await front.gateway.cache.put(name, value, 60)
        status, body = await extract(front, "short_vm")
        assert (status, body["data"]["thumbnail_analysis"]) == (200, ANALYSIS)


async def test_a_failed_analysis_is_tried_again(start: Start, api: Api) -> None:
    api.answers = [fails(401), says(json.dumps(ANALYSIS))]
    front = await start(**seeing(api))
    _, first = await extract(front, "video")
    _, second = await extract(front, "video")
    assert (first["data"]["warnings"], second["data"]["warnings"]) == (["THUMBNAIL_ANALYSIS_FAILED"], [])
    assert (second["data"]["cache_hit"], second["data"]["thumbnail_analysis"]) == (True, ANALYSIS)


async def test_slides_are_analysed_where_that_is_asked_for(start: Start, api: Api) -> None:
    front = await start(**seeing(api))
    _, body = await extract(front, "photo3", analyse_slides=True)
    assert body["data"]["slide_analyses"] == [ANALYSIS] * 3
    _, body = await extract(front, "photo3", analyse_slides=True)
    assert (body["data"]["cache_hit"], body["data"]["slide_analyses"]) == (True, [ANALYSIS] * 3)
    _, body = await extract(front, "video", analyse_slides=True)
    assert body["data"]["slide_analyses"] is None


async def test_a_slide_that_is_not_to_be_had_is_null(start: Start, api: Api) -> None:
    front = await start(**seeing(api))
    _, body = await extract(front, "photo_dies", analyse_slides=True)
    assert None in body["data"]["slide_analyses"]
    assert ANALYSIS in body["data"]["slide_analyses"]
    assert body["data"]["warnings"] == ["THUMBNAIL_ANALYSIS_FAILED"]


async def test_a_language_that_is_not_there_is_told_before_anything_is_read(start: Start, api: Api) -> None:
    front = await start(**seeing(api))
    status, body = await extract(front, "video", language="xx")
    assert (status, body["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert not front.origin.hits
    status, _ = await extract(front, "video", language="id")
    assert status == 200


# POST /extract/batch


async def test_a_batch_has_each_url_in_order(front: Front) -> None:
    urls = [front.origin.url(name) for name in ("video", "private", "photo3")]
    status, body = await asked(front, "/extract/batch", urls=urls)
    assert status == 200
    models.Envelope[models.Batch].model_validate_json(json.dumps(body))
    data = body["data"]
    assert [(one["url"], one["status"], one["error"]) for one in data["processed"]] == [
        (urls[0], "success", None), (urls[2], "success", None),
    ]  # fmt: skip
    assert [one["data"]["url"] for one in data["processed"]] == [urls[0], urls[2]]
    (failed,) = data["failed"]
    assert (failed["url"], failed["status"], failed["data"]) == (urls[1], "failed", None)
    assert (failed["error"]["code"], failed["error"]["details"]["url"]) == ("VIDEO_PRIVATE", urls[1])
    summary = data["summary"]
    assert (summary["total_requested"], summary["successful"], summary["failed"]) == (3, 2, 1)


@shared
async def test_a_batch_of_which_nothing_is_to_be_had_is_an_answer(lasting: Front) -> None:
    urls = [lasting.origin.url("private"), "https://example.com/", lasting.origin.url("deleted")]
    status, body = await asked(lasting, "/extract/batch", urls=urls)
    assert (status, body["success"], body["data"]["processed"]) == (200, True, [])
    assert [one["error"]["code"] for one in body["data"]["failed"]] == [
        "VIDEO_PRIVATE", "INVALID_URL", "VIDEO_UNAVAILABLE",
    ]  # fmt: skip


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("cache", [True, False])
async def test_equal_posts_are_extracted_once(start: Start, parallel: bool, cache: bool) -> None:
    front = await start(cache_enabled=cache)
    urls = [front.origin.url("video"), front.origin.url("short_vm"), front.origin.url("video")]
    _, body = await asked(front, "/extract/batch", urls=urls, parallel_processing=parallel)
    assert [one["url"] for one in body["data"]["processed"]] == urls
    assert [one["data"]["url"] for one in body["data"]["processed"]] == urls
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1
    assert (await got(front, "/stats"))["data"]["service_stats"]["total_extractions"] == 1


@shared
@pytest.mark.parametrize("urls", [[], ["x"] * 4, "x", [None], None])
async def test_a_batch_has_one_to_three_urls(lasting: Front, urls: Any) -> None:
    status, body = await asked(lasting, "/extract/batch", urls=urls)
    assert (status, body["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_one_after_the_other_where_that_is_asked_for(start: Start) -> None:
    front = await start(extract_processes=2)
    urls = [front.origin.url(name) for name in ("page_hangs", "video")]
    work = asyncio.create_task(asked(front, "/extract/batch", urls=urls, parallel_processing=False))
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    await asyncio.sleep(0.3)
    assert not front.origin.hits[f"page:{SCENARIOS['video'].id}"]
    front.origin.release()
    _, body = await work
    assert body["data"]["summary"]["successful"] == 2


async def test_the_cache_serves_batches(front: Front) -> None:
    await extract(front, "video")
    _, body = await asked(front, "/extract/batch", urls=[front.origin.url("video")])
    assert body["data"]["processed"][0]["data"]["cache_hit"]


# the same in lines


async def test_lines_come_as_they_are_ready(start: Start) -> None:
    front = await start(extract_processes=2)
    urls = [front.origin.url(name) for name in ("page_hangs", "video", "private")]
    async with front.session.post(
        front.url + "/extract/batch", json={"urls": urls}, headers=LINES
    ) as response:
        first = [json.loads(await response.content.readline()) for _ in range(2)]
        assert {(one["index"], one["status"]) for one in first} == {(1, "success"), (2, "failed")}
        await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0, 30)
        front.origin.release()
        third, last = [json.loads(line) async for line in response.content]
    assert (third["index"], third["url"], third["status"]) == (0, urls[0], "success")
    models.Last.model_validate_json(json.dumps(last))
    assert (last["summary"]["successful"], last["summary"]["failed"]) == (2, 1)


async def test_there_may_be_many_lines(start: Start) -> None:
    front = await start(batch_urls_max=6)
    urls = [front.origin.url(name) for name in ("video", "photo3", "big", "video", "private", "captions")]
    lines = await stream(front, urls)
    assert sorted(one["index"] for one in lines[:-1]) == list(range(6))
    assert all(urls[one["index"]] == one["url"] for one in lines[:-1])
    assert lines[-1]["summary"]["total_requested"] == 6
    for wrong in ([], ["x"] * 7):
        async with front.session.post(
            front.url + "/extract/batch", json={"urls": wrong}, headers=LINES
        ) as response:
            body = await response.json()
        assert (response.status, body["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_site_that_dies_is_a_line(start: Start) -> None:
    front = await start(extract_processes=2)
    front.origin.block(503)
    lines = await stream(front, [front.origin.url("video"), front.origin.url("photo3")])
    assert [one["error"]["code"] for one in lines[:-1]] == ["EXTRACTION_FAILED"] * 2
    assert lines[-1]["summary"]["failed"] == 2


async def test_a_worker_that_dies_is_replaced(front: Front) -> None:
    await extract(front, "photo3")
    (process,) = front.gateway.extractor._processes._all
    work = asyncio.create_task(stream(front, [front.origin.url("page_hangs"), front.origin.url("video")]))
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    child = process._child()
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 1)
    front.origin.release()
    lines = await work
    assert lines[-1]["summary"]["successful"] == 2


async def test_who_leaves_takes_the_work_with_him(front: Front) -> None:
    async with front.session.post(
        front.url + "/extract/batch",
        json={"urls": [front.origin.url("page_hangs"), front.origin.url("page_trickles")]},
        headers=LINES,
    ):
        await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
        # leaving closes the connection, for the answer has not been read
    await until(lambda: not any("extract" in task.get_name() and task.get_name().split()[0] == "extract"
                                for task in asyncio.all_tasks()))  # fmt: skip
    assert (await extract(front, "video"))[0] == 200
    assert (await got(front, "/stats"))["data"]["service_stats"]["total_extractions"] == 1


async def test_a_full_queue_is_a_line(start: Start) -> None:
    front = await start(extractions_max=1, extract_waiting_max=0)
    first = asyncio.create_task(extract(front, "page_hangs"))
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    lines = await stream(front, [front.origin.url("video")])
    assert lines[0]["error"]["code"] == "SERVICE_UNAVAILABLE"
    front.origin.release()
    assert (await first)[0] == 200


async def test_a_server_that_stops_cuts_the_lines(tmp_path: Path) -> None:
    async with started(tmp_path, shutdown_s=0, extract_processes=2) as front:
        reader, writer = await front.connect()
        data = json.dumps({"urls": [front.origin.url("private"), front.origin.url("page_hangs")]}).encode()
        writer.write(
            b"POST /extract/batch HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
        )
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}}\n\r\n")
    with suppress(ConnectionError):
        assert b"summary" not in await reader.read()
    writer.close()


# POST /extract-transcript


@shared
async def test_captions_are_told_with_what_else_there_is(lasting: Front) -> None:
    status, body = await asked(
        lasting, "/extract-transcript", url=lasting.origin.url("captions"), preferred_language="es"
    )
    assert status == 200
    models.Envelope[models.Captions].model_validate_json(json.dumps(body))
    data = body["data"]
    assert (data["source"], data["language"]) == ("translated", "es")
    assert data["text"] == " ".join(one["text"] for one in data["segments"])
    assert data["available"] == [
        {"language": "en", "source": "recognised"}, {"language": "es", "source": "translated"},
    ]  # fmt: skip
    for language in (None, "fr"):  # a preference, and no more
        _, body = await asked(
            lasting, "/extract-transcript", url=lasting.origin.url("captions"), preferred_language=language
        )
        assert (body["data"]["source"], body["data"]["language"]) == ("recognised", "en")


@shared
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("video", 422, "CAPTIONS_UNAVAILABLE"), ("photo3", 422, "CAPTIONS_UNAVAILABLE"),
        ("captions_empty", 422, "CAPTIONS_UNAVAILABLE"), ("captions_404", 502, "UPSTREAM_FAILED"),
        ("private", 422, "VIDEO_PRIVATE"),
    ],
)  # fmt: skip
async def test_captions_that_are_not_to_be_had_say_why(
    lasting: Front, name: str, status: int, code: str
) -> None:
    told, body = await asked(lasting, "/extract-transcript", url=lasting.origin.url(name))
    assert (told, body["error"]["code"]) == (status, code)
    assert body["error"]["details"]["url"] == lasting.origin.url(name)


# the service itself


async def test_health_is_told_without_an_envelope(front: Front) -> None:
    await until(lambda: front.gateway.database_state == "ok")
    await extract(front, "video")
    await extract(front, "video")
    body = await got(front, "/health")
    models.Health.model_validate_json(json.dumps(body))
    assert body["status"] == "degraded"  # there is no speech model
    assert body["dependencies"] == {
        "yt_dlp": "healthy", "openai": "not_configured", "redis": "not_configured", "database": "healthy",
        "whisper": "unhealthy",
    }  # fmt: skip
    assert (body["metrics"]["requests_processed"], body["metrics"]["cache_hit_rate"]) == (2, 0.5)


async def test_a_vision_api_that_fails_is_unhealthy(start: Start, api: Api) -> None:
    api.answers = [fails(401)]
    front = await start(**seeing(api))
    assert (await got(front, "/health"))["dependencies"]["openai"] == "healthy"
    await extract(front, "video")
    assert (await got(front, "/health"))["dependencies"]["openai"] == "unhealthy"


async def test_the_platform_and_its_limits_are_told(start: Start) -> None:
    front = await start(video_duration_max=600)
    body = await got(front, "/supported-platforms")
    models.Envelope[models.Platforms].model_validate_json(json.dumps(body))
    (platform,) = body["data"]["platforms"]
    assert (platform["name"], platform["domain"]) == ("TikTok", "tiktok.com")
    assert body["data"]["limitations"]["max_urls_per_batch"] == 3
    assert body["data"]["limitations"]["max_video_duration"] == 600


async def test_totals_outlive_a_restart(url: str, tmp_path: Path) -> None:
    async with started(tmp_path / "first", database_url=url) as first:
        await extract(first, "video")
        await extract(first, "private")
        before = (await got(first, "/stats"))["data"]
        models.Stats.model_validate_json(json.dumps(before))
    assert before["service_stats"]["total_extractions"] == 2
    assert before["service_stats"]["success_rate"] == 0.5
    assert before["service_stats"]["avg_processing_time_ms"] > 0
    async with started(tmp_path / "second", database_url=url) as second:
        after = (await got(second, "/stats"))["data"]
        assert after["service_stats"] == before["service_stats"]
        assert (after["platform_breakdown"], after["error_breakdown"]) == (
            {"tiktok": 2},
            {"VIDEO_PRIVATE": 1},
        )
        assert after["cache_stats"]["miss_count"] == 0  # of this process
        await extract(second, "video")
        again = (await got(second, "/stats"))["data"]
        assert again["service_stats"]["total_extractions"] == 3


async def test_a_database_that_is_away_leaves_totals_since_the_start(front: Front) -> None:
    await extract(front, "video")
    front.gateway.database.away = True
    stats = (await got(front, "/stats"))["data"]["service_stats"]
    assert (stats["total_extractions"], stats["success_rate"]) == (1, 1.0)


def test_what_is_left_to_a_caller_is_told() -> None:
    request = make_mocked_request("POST", "/extract")
    assert rate_limit_of(request) is None
    request[VERDICT] = Verdict(True, 60, 59, 0.4)
    told = rate_limit_of(request)
    assert told is not None
    assert told.remaining == 59
    assert timedelta(0) < told.reset_at - datetime.now(UTC) <= timedelta(seconds=1)


async def test_what_a_login_sees_is_found_by_its_own_gateway_only(start: Start, tmp_path: Path) -> None:
    front = await start()
    same, other = Extractions(front.gateway), Extractions(front.gateway)
    assert same._name("1") == other._name("1")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(f".tiktok.com\tTRUE\t/\tTRUE\t0\tsessionid\t{MEMBER}\n")
    async with started(tmp_path / "member", cookies_file=cookies) as member:
        assert (await extract(member, "members"))[0] == 200
        assert Extractions(member.gateway)._name("1") != Extractions(member.gateway)._name("1")


# the settings


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]


def test_a_key_of_scraperapi_makes_the_proxy_unless_another_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().proxies == ()
    monkeypatch.setenv("SCRAPERAPI_KEY", "a/key")
    found = settings()
    assert found.proxies == ("http://scraperapi:a%2Fkey@proxy-server.scraperapi.com:8001",)
    assert "a/key" not in repr(found)
    assert "key" not in repr(Exits(found.proxies).order()) + repr(Exits(found.proxies).places)
    assert settings(proxy_url="http://127.0.0.1:9").proxies == ("http://127.0.0.1:9",)


def test_debug_mode_is_a_level_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(log_level="warning").least_level == "warning"
    monkeypatch.setenv("DEBUG_MODE", "true")
    assert settings(log_level="warning").least_level == "debug"


async def test_debug_mode_tells_callers_nothing_more(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    front = await start(debug_mode=True)

    async def broken(text: str, *, since: float = 0.0) -> Any:
        raise RuntimeError("words of the inside")

    monkeypatch.setattr(front.gateway.extractor, "find", broken)
    async with front.post("/extract", url=front.origin.url("video")) as response:
        text = await response.text()
    assert response.status == 500
    assert "inside" not in text
    assert json.loads(text)["error"]["code"] == "INTERNAL_ERROR"
    lines = await stream(front, [front.origin.url("video")])
    assert lines[0]["error"]["code"] == "INTERNAL_ERROR"
    assert "inside" not in json.dumps(lines)
