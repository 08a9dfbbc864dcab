"""The Python client's other routes, against a real gateway; what it sends again; what it signs."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from clipwire import (
    BlockingClient,
    Choice,
    Client,
    Cut,
    End,
    Event,
    Failed,
    Malformed,
    Refused,
    Segment,
    Unreachable,
    signed,
)
from clipwire.client import ABOUT
from clipwire.connection import JSON_BYTES_MAX
from clipwire.transcripts import FILE_BYTES_MAX

from tests.web.conftest import Front, started, until

from . import stand_in
from .stand_in import gateway

ADMIN = "an admin key of tests"
URL = "https://www.tiktok.com/@someone/video/7"
SAID = "keeper opens the blue door"


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with started(tmp_path, admin_key=ADMIN, open="true") as front:
        yield front


async def code_of(refusing: object) -> tuple[int, str | None]:
    with pytest.raises(Refused) as caught:
        await refusing  # type: ignore[misc]
    return caught.value.status, caught.value.code


async def logged(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events if type(event).__name__ != "Progress"]


async def test_a_download_comes_as_it_was_planned(front: Front, tmp_path: Path) -> None:
    posts = [front.origin.url("video"), front.origin.url("photo3")]
    async with Client(front.url) as client:
        plan = await client.plan(posts, "ORIGINAL", quality="720p", codec="h264", thumbnail=True)
        async with client.download(posts, "ORIGINAL", quality="720p", codec="h264", thumbnail=True) as answer:
            paths = [await part.save(tmp_path / "saved") async for part in answer]
    assert [post.kind for post in plan.posts] == ["video", "photo"]
    assert len(paths) == sum(len(post.parts) for post in plan.posts)
    photos = [path.read_bytes() for path in paths if path.name.endswith(("_01.jpg", "_02.jpg", "_03.jpg"))]
    assert photos == front.origin.parts("photo3")[:3]


async def test_a_sound_is_downloaded(front: Front, tmp_path: Path) -> None:
    async with (
        Client(front.url) as client,
        client.download(front.origin.url("video"), "AUDIO_ONLY") as answer,
    ):
        assert [part.media_type async for part in answer] == ["audio/mp4"]


async def test_a_transcript_is_read_renamed_found_and_removed(front: Front) -> None:
    async with Client(front.url) as client, Client(front.url, key=ADMIN) as operator:
        async with client.transcribe(front.origin.url("captions"), source="captions") as events:
            info, *_, end = await logged(events)
        assert isinstance(end, End)
        name = info.id  # type: ignore[union-attr]
        assert (await client.transcripts.get(name)).state == "complete"
        assert SAID in await client.transcripts.file(name)
        assert (await client.transcripts.file(name, "vtt")).startswith("WEBVTT\n")
        assert (await client.transcripts.rename(name, "The kite")).title == "The kite"
        assert await code_of(client.transcripts.cancel(name)) == (409, "TRANSCRIPT_ENDED")
        page = await operator.transcripts.list(limit=5)
        assert ([one.id for one in page.transcripts], page.next) == ([name], None)
        assert [one.id for one in (await operator.transcripts.search(SAID)).hits] == [name]
        await client.transcripts.delete(name)
        assert await code_of(client.transcripts.get(name)) == (404, "NOT_FOUND")


async def test_codes_are_issued_looked_at_changed_and_forgotten(front: Front) -> None:
    expires = datetime(2090, 1, 1, tzinfo=UTC)
    async with Client(front.url) as client, Client(front.url, key=ADMIN) as operator:
        issued = await operator.codes.issue(2, seconds=60, expires_at=expires)
        name = issued.codes[0].id
        assert len({one.code for one in issued.codes}) == 2
        assert len((await operator.codes.list(limit=1)).codes) == 1
        assert datetime.fromisoformat((await operator.codes.get(name)).expires_at or "") == expires
        assert (await client.codes.credit(name)).credit_s == 60
        assert (await operator.codes.change(name, seconds=90, state="revoked")).state == "revoked"
        await operator.codes.delete(name)
        assert await code_of(client.codes.credit(name)) == (404, "NOT_FOUND")
        assert await code_of(client.codes.issue()) == (401, "API_KEY_INVALID")
        assert await code_of(client.submit(b"RIFF", "AAAAA-AAAAA")) == (401, "CODE_UNKNOWN")


async def test_uploads_are_heard_and_paid_for(tmp_path: Path, data_dir: Path, base_model: Path) -> None:
    settings = {"data_dir": data_dir, "model": "base", "workers": 1, "admin_key": ADMIN, "open": "true"}
    async with started(tmp_path, **settings) as front, Client(front.url, key=ADMIN) as client:
        await until(lambda: front.gateway.ready, 60)
        clip = tmp_path / "speech.mp4"
        clip.write_bytes(front.origin.parts("speech")[0])
        async with client.transcribe(clip, language="en", media_type="video/mp4") as events:
            told = [event async for event in events if isinstance(event, Segment)]
        assert SAID in " ".join(one.text.strip() for one in told)
        (one, other) = (await client.codes.issue(2)).codes

        async def pieces() -> AsyncIterator[bytes]:
            data = clip.read_bytes()
            for at in range(0, len(data), 50_000):
                yield data[at : at + 50_000]

        done = await client.submit(pieces(), one.code, language="en", media_type="video/mp4")
        assert SAID in (done.text or "")
        assert await code_of(client.submit(clip, one.code)) == (409, "CODE_USED")
        begun = await client.submit(clip, other.code, wait=False, idempotency_key="k", media_type="video/mp4")
        assert begun.text is None
        async with client.follow(begun.id) as events:
            assert isinstance((await logged(events))[-1], End)
        assert (await client.codes.credit(other.id)).state == "used"


# what is sent again


def refusing(times: int, after: str | None, then: stand_in.Handler) -> tuple[stand_in.Handler, list[bytes]]:
    """Refuses so many requests, telling when to come again; and their bodies."""
    asked: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(await request.read())
        if len(asked) > times:
            return await then(request)
        headers = {"Retry-After": after} if after else {}
        return web.json_response({"error": {"code": "BUSY", "message": "later"}}, status=503, headers=headers)

    return answer, asked


PARTS = stand_in.parts(stand_in.part("a.mp4", b"x", first=True), stand_in.CLOSING)
LINES = stand_in.lines(b'{"type":"error","code":"A","message":"b"}\n')


async def test_who_is_told_when_to_come_again_comes_again(tmp_path: Path) -> None:
    handler, asked = refusing(2, "0", PARTS)
    async with gateway(handler) as url, Client(url) as client, client.download(URL) as answer:
        assert [part.name async for part in answer] == ["a.mp4"]
    assert len(asked) == 3
    file = tmp_path / "clip"
    file.write_bytes(b"RIFF")
    for media in (file, b"RIFF"):
        handler, asked = refusing(2, "0", LINES)
        async with gateway(handler) as url, Client(url) as client, client.transcribe(media):
            pass
        assert asked == [b"RIFF"] * 3


@pytest.mark.parametrize(("after", "tries", "count"), [("0", 2, 3), ("0", 0, 1), ("61", 3, 1), (None, 3, 1)])
async def test_a_refusal_is_told_in_the_end(after: str | None, tries: int, count: int) -> None:
    handler, asked = refusing(99, after, PARTS)
    async with gateway(handler) as url, Client(url, tries=tries) as client:
        assert await code_of(client.plan(URL)) == (503, "BUSY")
    assert len(asked) == count


async def test_a_stream_is_sent_once() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"RIFF"

    handler, asked = refusing(99, "0", LINES)
    async with gateway(handler) as url, Client(url) as client:
        assert await code_of(client.submit(pieces(), "code")) == (503, "BUSY")
    assert asked == [b"RIFF"]


# short answers


async def test_a_short_answer_that_is_another_is_malformed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"id": 7})

    async with gateway(answer) as url, Client(url) as client:
        with pytest.raises(Malformed):
            await client.transcripts.get("3f")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_that_is_longer_than_any_is_malformed(encoding: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        json = b'{"status": "ok", "more": "' + b"x" * JSON_BYTES_MAX + b'"}'
        body = b"x" * (FILE_BYTES_MAX + 1) if request.path.startswith("/transcripts") else json
        body = gzip.compress(body, 1) if encoding == "gzip" else body
        return web.Response(body=body, headers={"Content-Encoding": encoding})

    async with gateway(answer) as url, Client(url) as client:
        for asked in (client.live(), client.about("version"), client.transcripts.file("3f")):
            with pytest.raises(Malformed, match="longer"):
                await asked


async def test_what_is_no_text_and_tells_no_status_is_malformed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"\xff") if "transcripts" in request.path else web.json_response({})

    async with gateway(answer) as url, Client(url) as client:
        for asked in (client.live(), client.transcripts.file("3f")):
            with pytest.raises(Malformed):
                await asked


async def test_a_short_answer_that_is_cut_says_so() -> None:
    handler = stand_in.stream({"Content-Type": "text/plain"}, b"Welcome", ending=stand_in.cut)
    async with gateway(handler) as url, Client(url) as client:
        with pytest.raises(Cut):
            await client.transcripts.file("3f")
        with pytest.raises(Unreachable):
            await client.transcripts.get("3f")


# the rest of the routes


async def test_a_gateway_tells_of_itself(front: Front) -> None:
    async with Client(front.url, key=ADMIN) as client:
        assert await client.live()
        ready = await client.ready()
        assert (ready.status, ready.database) == ("not ready", "ok")
        found = {what: await client.about(what) for what in ABOUT}
    assert found["live"] == {"status": "ok"}
    assert found["version"]["version"]
    assert found["queue"]["queue"]["active_jobs"] == 0
    assert found["health"]["dependencies"]["database"] == "healthy"
    assert found["platforms"]["platforms"][0]["domain"] == "tiktok.com"  # without its envelope
    assert "total_extractions" in found["stats"].get("service_stats", {})
    assert found["models"]["data"]


async def test_jobs_are_listed_and_repaired(front: Front) -> None:
    async with Client(front.url, key=ADMIN) as client:
        begun = await client.begin(front.origin.url("captions"), source="captions")
        assert (begun.status, begun.text) == ("pending", None)
        async with asyncio.timeout(60):
            while (await client.transcripts.get(begun.id)).state in ("pending", "running"):
                await asyncio.sleep(0.05)
        jobs = await client.jobs.list()
        assert jobs.total == len(jobs.recent) == jobs.complete > 0
        assert await client.jobs.failed() == ()
        assert await client.jobs.repair() == 0


async def test_posts_say_what_they_are(front: Front) -> None:
    async with Client(front.url, key=ADMIN) as client:
        video, private = front.origin.url("captions"), front.origin.url("private")
        post = await client.analyzer.extract(video, thumbnail=False, cache_ttl=600)
        assert (post.platform, post.uploader is None, post.cache_hit) == ("tiktok", False, False)
        batch = await client.analyzer.batch([video, private], thumbnail=False, slides=True, language="en")
        assert [one.data.title for one in batch.processed if one.data] == [post.title]
        assert [one.error.code for one in batch.failed if one.error] == ["VIDEO_PRIVATE"]
        assert batch.summary["total_requested"] == 2
        captions = await client.analyzer.captions(video, "en")
        assert SAID in captions.text
        assert captions.segments[0].end > 0
        assert await code_of(client.analyzer.extract(private)) == (422, "VIDEO_PRIVATE")


async def test_a_film_is_rendered_as_it_is_wished(front: Front, tmp_path: Path) -> None:
    film: Choice = {"render": "stream", "slide_s": 0.5, "fade_s": 0.1}
    async with Client(front.url) as client:
        async with client.download(front.origin.url("photo3"), **film) as answer:
            (path,) = [await part.save(tmp_path) async for part in answer]
        assert b"moof" in path.read_bytes()  # fragments
        assert len((await client.plan(front.origin.url("photo3"), **film)).posts) == 1


async def test_a_part_is_had_by_its_link(front: Front, tmp_path: Path) -> None:
    (whole,) = front.origin.parts("video")
    async with Client(front.url) as client:
        async with client.download(front.origin.url("video")) as answer:
            link = (await anext(answer)).link
            assert link is not None
        async with client.media(link) as part:
            path = await part.save(tmp_path)
            assert (part.media_type, part.length) == ("video/mp4", len(whole))
        assert path.name.endswith(".mp4")
        assert path.read_bytes() == whole
        async with client.media(link, start=1000, stop=3000) as part:
            assert b"".join([chunk async for chunk in part]) == whole[1000:3000]
        head = await client.media_head(link)
        assert (head.media_type, head.length) == ("video/mp4", len(whole))
        assert await code_of(client.media_head(link[:-9] + "other.mp4")) == (403, None)


async def test_words_come_between_the_media_of_a_download(
    tmp_path: Path, data_dir: Path, base_model: Path
) -> None:
    settings = {"data_dir": data_dir, "model": "base", "workers": 1}
    said: list[Event | Failed] = []
    async with started(tmp_path, **settings) as front, Client(front.url) as client:
        await until(lambda: front.gateway.ready, 60)
        async with client.download(front.origin.url("speech"), heard=said.append) as answer:
            paths = [await part.save(tmp_path / "saved") async for part in answer]
        assert [path.read_bytes() for path in paths] == front.origin.parts("speech")
    assert isinstance(said[-1], End)
    assert SAID in " ".join(one.text.strip() for one in said if isinstance(one, Segment))


async def test_a_signed_call_is_what_was_signed() -> None:
    seen: list[tuple[bytes, dict[str, str]]] = []
    told = {
        "request_id": "r", "status": "ok", "lang": "en", "duration_sec": 1.0, "transcript": "hello",
        "transcript_sha256": "x", "source": {"canonical_url": URL, "video_id": "7"}, "billed_tokens": 1,
        "elapsed_ms": 1, "ts": "2026-11-02T09:30:00.000Z", "job_id": "j",
    }  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        assert request.path == "/api/transcribe"
        seen.append((await request.read(), dict(request.headers)))
        return web.json_response(told)

    async with gateway(answer) as url:
        async with Client(url, key="k", secret="topsecret") as client:
            assert (await client.signed_transcribe(URL)).transcript == "hello"
        async with Client(url, key="k") as client:
            with pytest.raises(ValueError):
                await client.signed_transcribe(URL)
    ((body, headers),) = seen
    again = signed("k", "topsecret", body, int(headers["X-Timestamp"]))
    assert {name: headers[name] for name in again} == again
    assert headers["Content-Type"] == "application/json"


def test_the_blocking_client_has_all_that_the_other_has() -> None:
    def public(one: object) -> set[str]:
        return {name for name in dir(one) if not name.startswith("_")}

    client, blocking = Client("http://127.0.0.1:1"), BlockingClient("http://127.0.0.1:1")
    assert public(client) == public(blocking)
    for room in ("transcripts", "codes", "jobs", "analyzer"):
        assert public(getattr(client, room)) == public(getattr(blocking, room))
