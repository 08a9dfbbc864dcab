"""The documented API of TTSave, row by row."""

import ast
import asyncio
import base64
import io
import json
import os
import re
import signal
from collections import Counter
from typing import Any

import aiohttp
import av
import pytest

from gateway.wire import multipart
from tests.origin.cdn import Fault
from tests.web.conftest import Front, Start, shared, until

NOTHING = "No files available for download"
NOT_SAVED = "Failed to save the file"


@shared
@pytest.mark.parametrize("path", ["/ping", "/api/v3/ping"])
async def test_ping_answers_whatever_the_body(lasting: Front, path: str) -> None:
    for answer in (
        lasting.session.get(lasting.url + path),
        lasting.session.post(lasting.url + path),
        lasting.session.post(lasting.url + path, json={"a": 1}),
        lasting.session.post(lasting.url + path, data=b"\xff\x00 not json"),
    ):
        async with answer as response:
            assert (response.status, await response.text()) == (200, "pong")
            assert response.content_type == "text/plain"


@shared
@pytest.mark.parametrize("path", ["/download", "/api/v3/download"])
@pytest.mark.parametrize("field", ["content_type", "download_content_type"])
async def test_both_paths_and_both_field_names_answer(lasting: Front, path: str, field: str) -> None:
    async with lasting.post(path, url=lasting.origin.url("video"), **{field: "VIDEO_ONLY"}) as response:
        assert response.status == 200
        body = await response.read()
    boundary = re.fullmatch(
        r"multipart/x-mixed-replace; boundary=(simple_boundary[0-9a-f]{32})", response.headers["Content-Type"]
    )
    assert boundary
    (part,) = multipart.parts(body, boundary[1])
    assert [part.body] == lasting.origin.parts("video")
    link = part.headers["content-location"]
    assert re.fullmatch(r"/media/[\w-]+\.[\w-]{43}/clipwire\.demo_7400000000000000001\.mp4", link)
    assert part.headers == {
        "content-type": "video/mp4",
        "content-length": str(len(part.body)),
        "content-location": link,
        "content-disposition": 'attachment; filename="clipwire.demo_7400000000000000001.mp4"',
    }


@shared
async def test_content_meta_is_base64_of_json_that_python_literals_read(lasting: Front) -> None:
    for name in ("video", "hostile_text", "hostile_photos", "hostile_surrogate"):
        async with lasting.download(name) as response:
            assert response.status == 200
            meta = response.headers["Content-Meta"]
            await response.read()
        text = base64.b64decode(meta, validate=True).decode()
        assert len(meta) <= 8000
        assert ast.literal_eval(text) == json.loads(text)
        assert set(json.loads(text)) == {"title", "desc"}


@shared
async def test_a_photo_post_is_its_photos_in_order_and_its_sound(lasting: Front) -> None:
    async with lasting.download("photo3") as response:
        body = await response.read()
        boundary = response.headers["Content-Type"].rpartition("=")[2]
    parts = list(multipart.parts(body, boundary))
    assert [part.body for part in parts] == lasting.origin.parts("photo3")
    names = [part.headers["content-disposition"].partition("filename=")[2].strip('"') for part in parts]
    stem = "clipwire.demo_7400000000000000010"
    assert names == [f"{stem}_01.jpg", f"{stem}_02.jpg", f"{stem}_03.jpg", f"{stem}.mp3"]


@shared
@pytest.mark.parametrize(("name", "count"), [("photo35", 36), ("photo_silent", 3), ("photo_webp", 4)])
async def test_photo_posts_of_every_sort_come_whole(lasting: Front, name: str, count: int) -> None:
    async with lasting.download(name) as response:
        body = await response.read()
        boundary = response.headers["Content-Type"].rpartition("=")[2]
    parts = list(multipart.parts(body, boundary))
    assert [part.body for part in parts] == lasting.origin.parts(name)
    assert len({part.headers["content-disposition"] for part in parts}) == len(parts) == count


@shared
@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        ({}, 400, {"detail": "URL is required"}),
        ({"url": ""}, 400, {"detail": "URL is required"}),
        ({"url": "  "}, 400, {"detail": "URL is required"}),
        ({"url": None, "content_type": "nonsense"}, 400, {"detail": "URL is required"}),
        ({"url": "x"}, 400, {"detail": "Invalid content type"}),
        ({"url": "x", "content_type": None}, 400, {"detail": "Invalid content type"}),
        ({"url": "x", "content_type": "video_only"}, 400, {"detail": "Invalid content type"}),
    ],
)
async def test_missing_fields_are_told_in_the_documented_words(
    lasting: Front, body: dict[str, Any], status: int, answer: dict[str, str]
) -> None:
    async with lasting.session.post(lasting.url + "/download", json=body) as response:
        assert (response.status, await response.json()) == (status, answer)


@shared
@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"", ["body"]), (b"not json", ["body"]), (b"[]", ["body"]), (b"1", ["body"]),
        (b"\xff\xfe", ["body"]),
        (b"[" * 50_000, ["body"]), (b'{"url": 5}', ["body", "url"]), (b'{"url": ["x"]}', ["body", "url"]),
        (b'{"url": "x", "content_type": 5}', ["body", "content_type"]),
        (b'{"url": "x", "download_content_type": {}}', ["body", "download_content_type"]),
    ],
)  # fmt: skip
async def test_wrong_bodies_are_a_validation_error(lasting: Front, data: bytes, at: list[str]) -> None:
    async with lasting.session.post(lasting.url + "/download", data=data) as response:
        body = await response.json()
        assert response.status == 422
    assert body["message"] == "Validation Error"
    (fault,) = body["detail"]
    assert fault["loc"] == at
    assert fault["msg"]
    assert fault["type"]


@shared
@pytest.mark.parametrize(
    "url",
    [
        "hello", "https://example.com/", "https://eviltiktok.com/@u/video/7400000000000000001",
        "https://www.tiktok.com@127.0.0.1/@u/video/7400000000000000001", "https://127.0.0.1/x",
        "https://www.tiktok.com:8443/@u/video/7400000000000000001",
        "https://ｗｗｗ.tiktok.com/@u/video/7400000000000000001",
    ],
)  # fmt: skip
async def test_what_is_no_post_is_refused_without_a_request_to_anybody(lasting: Front, url: str) -> None:
    hits = Counter(lasting.origin.hits)
    async with lasting.post("/download", url=url, content_type="ORIGINAL") as response:
        body = await response.json()
        assert (response.status, body["detail"], body["code"]) == (400, NOTHING, "INVALID_URL")
    assert lasting.origin.hits == hits
    assert not lasting.origin.refused_hosts


@shared
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("private", "VIDEO_PRIVATE"), ("private_self", "VIDEO_PRIVATE"), ("deleted", "VIDEO_UNAVAILABLE"),
        ("geo", "GEO_BLOCKED"), ("login", "LOGIN_REQUIRED"), ("login_status", "LOGIN_REQUIRED"),
        ("login_redirect", "LOGIN_REQUIRED"), ("long", "VIDEO_TOO_LONG"), ("no_formats", "NOT_VIDEO_CONTENT"),
        ("waf_hard", "IP_BLOCKED"), ("page_403", "IP_BLOCKED"), ("page_429", "UPSTREAM_RATE_LIMITED"),
        ("page_503", "EXTRACTION_FAILED"), ("short_away", "INVALID_URL"), ("short_dead", "INVALID_URL"),
        ("short_broken", "INVALID_URL"),
    ],
)  # fmt: skip
async def test_a_post_that_is_not_to_be_had_says_why(lasting: Front, name: str, code: str) -> None:
    async with lasting.download(name) as response:
        body = await response.json()
    assert (response.status, body["detail"], body["code"]) == (400, NOTHING, code)
    assert body["message"]
    assert not lasting.origin.refused_hosts


@pytest.mark.parametrize("name", ["page_hangs", "page_trickles"])
async def test_a_page_that_does_not_end_is_given_up_and_the_next_post_works(start: Start, name: str) -> None:
    front = await start(extract_s=4)  # a process starts anew within it, on a busy machine too
    async with front.download(name) as response:
        body = await response.json()
    assert (response.status, body["detail"], body["code"]) == (500, NOT_SAVED, "UPSTREAM_TIMEOUT")
    async with front.download("video") as response:
        assert response.status == 200
        await response.read()


@shared
@pytest.mark.parametrize(
    "name", ["waf", "short_vm", "short_vt", "short_t", "redirect_media", "cdn_slow", "cdn_untold"]
)
async def test_detours_lead_to_the_same_bytes(lasting: Front, name: str) -> None:
    async with lasting.download(name) as response:
        body = await response.read()
        boundary = response.headers["Content-Type"].rpartition("=")[2]
    assert [part.body for part in multipart.parts(body, boundary)] == lasting.origin.parts(name)


@shared
async def test_a_short_link_to_photos_leads_there(lasting: Front) -> None:
    async with lasting.download("short_photo") as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    assert [part.body for part in parts] == lasting.origin.parts("photo3")


@shared
@pytest.mark.parametrize("name", ["cdn_403", "cdn_404", "cdn_empty", "cdn_html"])
async def test_media_that_cannot_be_fetched_are_an_error_before_the_head(lasting: Front, name: str) -> None:
    async with lasting.download(name) as response:
        body = await response.json()
    assert (response.status, body["detail"], body["code"]) == (500, NOT_SAVED, "UPSTREAM_FAILED")


@shared
@pytest.mark.parametrize("name", ["expired", "cdn_dies_once", "cdn_dies_expired", "cdn_ignores_range"])
async def test_what_can_be_healed_is_not_noticed(lasting: Front, name: str) -> None:
    async with lasting.download(name) as response:
        assert response.status == 200
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    assert [part.body for part in parts] == lasting.origin.parts(name)


@shared
async def test_a_file_that_changes_is_never_mixed(lasting: Front) -> None:
    async with lasting.download("cdn_changes") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@shared
@pytest.mark.parametrize("name", ["evil_media", "evil_metadata", "redirect_evil"])
async def test_links_that_lead_elsewhere_are_not_followed(lasting: Front, name: str) -> None:
    async with lasting.download(name) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (500, "UPSTREAM_FAILED")
    assert not lasting.origin.refused_hosts


@shared
async def test_a_slide_has_alternates(lasting: Front) -> None:
    async with lasting.download("photo_alternate") as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    assert [part.body for part in parts] == lasting.origin.parts("photo_alternate")


async def test_a_dead_proxy_is_told(start: Start) -> None:
    front = await start(proxy_url="http://127.0.0.1:9")
    async with front.download("video") as response:
        body = await response.json()
    assert (response.status, body["code"]) == (400, "PROXY_ERROR")


@shared
@pytest.mark.parametrize("more", [{}, {"render": "stream"}, {"slide_s": 1, "fade_s": 0.4}])
@pytest.mark.parametrize("name", ["photo3", "photo_silent", "photo_webp", "photo_alternate"])
async def test_a_photo_post_is_rendered_to_a_video(lasting: Front, name: str, more: dict[str, Any]) -> None:
    url = lasting.origin.url(name)
    async with lasting.post("/download", url=url, content_type="VIDEO_ONLY", **more) as response:
        assert response.status == 200
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        (part,) = multipart.parts(await response.read(), boundary)
    assert part.headers["content-type"] == "video/mp4"
    assert ("content-length" in part.headers) == (more.get("render") != "stream")
    with av.open(io.BytesIO(part.body)) as film:
        assert [stream.codec_context.name for stream in film.streams] == ["h264", "aac"]
        frames = list(film.decode(video=0))
        seconds = float(frames[-1].pts * frames[-1].time_base)
    assert 3 * more.get("slide_s", 2.5) - 1 < seconds < 3 * 5
    assert not lasting.gateway.slideshows.running


async def test_a_film_is_rendered_once_for_all_who_ask(front: Front) -> None:
    async def once() -> bytes:
        async with front.download("photo3", "VIDEO_ONLY") as response:
            return (await response.read()).split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]

    films = await asyncio.gather(*(once() for _ in range(4)))
    assert len(set(films)) == 1
    assert front.origin.hits["media:photo3.0"] == 1


async def test_a_client_that_leaves_ends_the_render(front: Front) -> None:
    asking = asyncio.ensure_future(front.download("photo35", "VIDEO_ONLY").__aenter__())
    await until(lambda: bool(front.gateway.slideshows.running))
    asking.cancel()
    await until(lambda: not front.gateway.slideshows.running)
    await until(lambda: front.origin.open_reads == 0)


@shared
async def test_wishes_for_a_film_are_checked(lasting: Front) -> None:
    for more in ({"render": "slowly"}, {"slide_s": 0.01}, {"fade_s": -1}, {"slide_s": "long"}):
        async with lasting.post("/download", url="x", content_type="VIDEO_ONLY", **more) as response:
            assert response.status == 422
            assert (await response.json())["detail"][0]["loc"][1] in more


async def test_a_full_queue_is_busy(start: Start) -> None:
    front = await start(extract_waiting_max=0, extract_s=5)
    async with front.download("video") as response:
        await response.read()
    hanging = front.session.post(
        front.url + "/download", json={"url": front.origin.url("page_hangs"), "content_type": "ORIGINAL"}
    )
    task = asyncio.ensure_future(hanging.__aenter__())
    await until(lambda: front.origin.hits["page:7400000000000000076"] > 0)
    async with front.download("speech") as response:
        body = await response.json()
    assert (response.status, body["code"]) == (503, "BUSY")
    assert int(response.headers["Retry-After"]) > 0
    task.cancel()


async def test_no_room_is_busy(start: Start) -> None:
    front = await start(spool_bytes_max=1 << 20)
    async with front.download("big") as response:
        body = await response.json()
    assert (response.status, body["code"]) == (503, "BUSY")
    async with front.download("video") as response:
        assert response.status == 200
        await response.read()


async def test_too_large_a_file_is_refused(start: Start) -> None:
    front = await start(part_bytes_max=1 << 20)
    async with front.download("big") as response:
        body = await response.json()
    assert (response.status, body["code"]) == (500, "UPSTREAM_FAILED")


@shared
async def test_other_errors_take_the_dialects_shape(lasting: Front) -> None:
    async with lasting.session.get(lasting.url + "/download") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["code"] == "METHOD_NOT_ALLOWED"
    async with lasting.session.get(lasting.url + "/api/v3/nothing") as response:
        assert response.status == 404
        assert set(await response.json()) == {"detail", "code"}
    async with lasting.session.post(lasting.url + "/download", data=b" " * 100_000) as response:
        assert response.status == 413
        assert (await response.json())["code"] == "BODY_TOO_LARGE"


@shared
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-unknown"])
async def test_compressed_bodies_are_refused_unread(lasting: Front, coding: str) -> None:
    reader, writer = await lasting.connect()
    writer.write(
        b"POST /download HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 5\r\nContent-Encoding: %s\r\n\r\nhello" % coding.encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 415 " in head.split(b"\r\n")[0]
    writer.close()


@shared
async def test_a_body_whose_framing_breaks_is_told(lasting: Front) -> None:
    reader, writer = await lasting.connect()
    writer.write(b"POST /download HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.split(b" ")[1] in (b"400", b"422")
    writer.close()


@shared
async def test_an_expectation_that_is_not_known_is_answered(lasting: Front) -> None:
    for path in (b"/ping", b"/nothing"):
        reader, writer = await lasting.connect()
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n" % path
        )
        assert b" 417 " in await reader.readline()
        writer.close()


async def test_extractor_processes_that_died_idle_cost_nobody_an_error(front: Front) -> None:
    for process in list(front.gateway.extractor._processes._all):
        child = await process.start()
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
    async with front.download("video") as response:
        assert response.status == 200
        await response.read()


async def test_an_extractor_that_dies_at_work_is_tried_on_another(start: Start) -> None:
    front = await start(extract_s=20)
    asking = asyncio.ensure_future(front.download("page_hangs").__aenter__())
    await until(lambda: front.origin.hits["page:7400000000000000076"] > 0)
    (process,) = front.gateway.extractor._processes._all
    os.kill((await process.start()).pid, signal.SIGKILL)
    await until(lambda: front.origin.hits["page:7400000000000000076"] > 1)
    asking.cancel()


async def test_a_film_that_lacks_a_slide_for_a_while_is_not_kept(front: Front) -> None:
    front.origin.faults(lambda part, size: Fault(refused=part == "photo3.0"))
    async with front.download("photo3", "VIDEO_ONLY") as response:
        assert response.status == 200
        short = await response.read()
    front.origin.faults(None)
    async with front.download("photo3", "VIDEO_ONLY") as response:
        assert len(await response.read()) > len(short)
