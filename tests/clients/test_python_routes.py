"""The Python client's other routes, against a real gateway; what it sends again; what it signs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from clipwire import Client, Cut, End, Event, Malformed, Refused, Segment, Unreachable, signed

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


async def test_a_short_answer_that_is_cut_says_so() -> None:
    handler = stand_in.stream({"Content-Type": "text/plain"}, b"Welcome", ending=stand_in.cut)
    async with gateway(handler) as url, Client(url) as client:
        with pytest.raises(Cut):
            await client.transcripts.file("3f")
        with pytest.raises(Unreachable):
            await client.transcripts.get("3f")


def test_a_signature_is_the_documented_one() -> None:
    # printf 'POST\n/api/transcribe\n{"url":"..."}\n1730000000000' | openssl dgst -sha256 -hmac topsecret
    assert signed("k", "topsecret", b'{"url":"https://www.tiktok.com/@someone/video/7"}', 1730000000000) == {
        "X-API-Key": "k",
        "X-Timestamp": "1730000000000",
        "X-Signature": "4241b76e507dfe30c35e3e65ced31ae1e34a46b4f324315526ac2f1eacc3e84f",
    }
