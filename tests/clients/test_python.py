"""The Python client against a stand-in that speaks the wire format, badly where a test asks for it."""

import asyncio
import pickle
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from clipwire import (
    Answer,
    BlockingClient,
    Client,
    ClipwireError,
    Cut,
    End,
    Event,
    Info,
    Malformed,
    Part,
    Progress,
    Refused,
    Segment,
    TranscriptFailed,
    Unreachable,
)

from tests.vectors import load

from . import stand_in
from .stand_in import CLOSING, clean, cut, gateway, part, reset, silence

URL = "https://www.tiktok.com/@someone/video/7"
PAUSE_S = 0.001  # before another try
README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
TWO = (part("a.mp4", b"first" * 1000, first=True), part("b.mp3", b"second", length=None), CLOSING)


# parts


async def test_parts_come_in_order_with_their_bytes() -> None:
    async with downloading(stand_in.parts(*TWO, meta=("Grüße", "🎬"))) as answer:
        found = [(p.name, p.media_type, p.length, await read(p)) async for p in answer]
        assert (answer.title, answer.desc) == ("Grüße", "🎬")
    assert found == [
        ("a.mp4", "video/mp4", 5000, b"first" * 1000),
        ("b.mp3", "video/mp4", None, b"second"),
    ]


async def test_asking_for_the_next_part_drains_the_one_before() -> None:
    async with downloading(stand_in.parts(*TWO)) as answer:
        parts = [one async for one in answer]
        assert [one.name for one in parts] == ["a.mp4", "b.mp3"]
        with pytest.raises(RuntimeError):
            await read(parts[0])


async def test_a_part_half_read_is_drained_too() -> None:
    async with downloading(stand_in.parts(*TWO)) as answer:
        first = await anext(answer)
        await anext(first)
        second = await anext(answer)
        assert await read(second) == b"second"
        assert await read(second) == b""
        with pytest.raises(StopAsyncIteration):
            await anext(answer)


async def test_the_request_is_as_documented() -> None:
    seen: list[tuple[str, str, dict[str, str], Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path, dict(request.headers), await request.json()))
        return await stand_in.parts(*TWO)(request)

    async with gateway(answer) as url, Client(url, key="secret") as client, client.download(URL, "ORIGINAL"):
        pass
    (method, path, headers, body) = seen[0]
    assert (method, path) == ("POST", "/api/v3/download")
    assert body == {"url": URL, "download_content_type": "ORIGINAL"}
    assert headers["X-API-Key"] == "secret"
    assert headers["Accept-Encoding"] == "identity"


async def test_a_gateway_below_a_path_is_reached() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="pong" if request.path == "/below/api/v3/ping" else "no")

    async with gateway(answer) as url, Client(f"{url}below/") as client:
        assert await client.ping() > 0


async def test_leaving_early_closes_the_connection_and_the_client_goes_on() -> None:
    left = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await stand_in.parts(TWO[0], ending=silence)(request)
        finally:
            left.set()

    async with gateway(answer) as url, Client(url) as client:
        for _ in range(2):
            async with client.download(URL) as found:
                assert (await anext(found)).name == "a.mp4"
            await asyncio.wait_for(left.wait(), 30)
            left.clear()


async def test_a_whole_answer_leaves_the_connection_for_the_next() -> None:
    peers: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return await stand_in.parts(*TWO)(request)

    async with gateway(answer) as url, Client(url) as client:
        for _ in range(3):
            async with client.download(URL) as found:
                async for _part in found:
                    pass
    assert len(set(peers)) == 1


async def test_a_session_that_was_given_stays_open() -> None:
    async with gateway(stand_in.parts(*TWO)) as url, aiohttp.ClientSession() as session:
        async with Client(url, session=session) as client, client.download(URL) as answer:
            assert (await anext(answer)).name == "a.mp4"
        assert not session.closed


async def test_the_habits_of_a_given_session_do_not_change_errors() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with gateway(answer) as url, aiohttp.ClientSession(raise_for_status=True) as session:
        with pytest.raises(Refused):
            await Client(url, session=session).ping()


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client("http://127.0.0.1:1").ping()


@pytest.mark.parametrize("key", ["secret\nabc", "secret\r", "secret\0", "secret\ud800"])
def test_a_key_that_no_header_can_have_is_misuse_and_not_told(key: str) -> None:
    for kind in (Client, BlockingClient):
        with pytest.raises(ValueError, match="key") as caught:
            kind("http://127.0.0.1:1", key=key)
        assert "secret" not in str(caught.value)


async def test_who_is_not_reached_is_told_without_a_password(unused_tcp_port: int) -> None:
    async def told(url: str, **more: Any) -> str:
        async with Client(url, **more) as client:
            with pytest.raises(Unreachable) as caught:
                await client.ping()
        return str(caught.value)

    there = f"127.0.0.1:{unused_tcp_port}"
    assert await told(f"http://me:hunter2@{there}/below/") == f"http://{there}/below: refused"
    assert "ssl" not in await told(f"http://localhost:{unused_tcp_port}")
    assert await told("http://me:hunter2@no-such.invalid") == "http://no-such.invalid: the host is not found"
    assert await told("http://me:hunter2@[") == "http://[: that is no address"
    async with gateway(silence) as url:
        open_ = url.replace("//", "//me:hunter2@")
        assert await told(open_, stall_s=0.05) == f"{url.rstrip('/')}: timed out"
        safe = open_.replace("http:", "https:")
        assert (await told(safe)).startswith(f"https:{url.rstrip('/')[5:]}: no safe connection: ")


# bad endings


@pytest.mark.parametrize("ending", [clean, cut, reset])
@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"--simple",),
        (part("a.mp4", b"x" * 10, first=True, length=99),),
        (part("a.mp4", b"x" * 10, first=True, length=None),),
        (part("a.mp4", b"x" * 10, first=True),),
        (part("a.mp4", b"x", first=True), CLOSING[:-4]),
        (part("a.mp4", b"x", first=True), CLOSING[:-1]),
    ],
)
async def test_an_answer_without_its_end_is_cut(
    pieces: tuple[bytes, ...], ending: stand_in.Ending, tmp_path: Path
) -> None:
    async with gateway(stand_in.parts(*pieces, ending=ending)) as url, Client(url) as client:
        # with a reset, even the head may be lost on its way
        with pytest.raises((Cut, Unreachable) if ending is reset else Cut):
            async with client.download(URL) as answer:
                async for one in answer:
                    await one.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("torn", [False, True])
async def test_without_chunks_only_the_closing_delimiter_makes_it_whole(torn: bool, tmp_path: Path) -> None:
    """HTTP/1.0: the body ends where the connection does."""
    told = "".join(f"{name}: {value}\r\n" for name, value in stand_in.headers("t", "d").items())
    head = f"HTTP/1.0 200 OK\r\n{told}\r\n".encode()
    body = part("a.mp4", b"x" * 1000, first=True, length=None)

    async def save(url: str) -> None:
        async with Client(url) as client, client.download(URL) as answer:
            async for one in answer:
                await one.save(tmp_path)

    async with stand_in.raw(head + body, torn=torn) as url:
        with pytest.raises((Cut, Unreachable) if torn else Cut):
            await save(url)
    assert not list(tmp_path.iterdir())
    async with stand_in.raw(head + body + CLOSING) as url:
        await save(url)
    assert (tmp_path / "a.mp4").read_bytes() == b"x" * 1000


async def test_a_second_answer_written_into_the_body_is_never_whole() -> None:
    told = "".join(f"{name}: {value}\r\n" for name, value in stand_in.headers("t", "d").items())
    head = f"HTTP/1.1 200 OK\r\n{told}Transfer-Encoding: chunked\r\n\r\n".encode()
    body = part("a.mp4", b"x", first=True, length=99)
    second = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    async with stand_in.raw(head + b"%x\r\n%s\r\n" % (len(body), body) + second) as url:
        # what aiohttp has read at once, it refuses at once
        with pytest.raises((Cut, Malformed)):
            async with Client(url) as client, client.download(URL) as answer:
                async for one in answer:
                    await read(one)


async def test_an_answer_that_is_not_http_is_malformed() -> None:
    async with stand_in.raw(b"SSH-2.0-hello\r\n\r\n") as url, Client(url) as client:
        with pytest.raises(Malformed):
            await client.ping()


async def test_a_cut_is_told_again_when_asked_again() -> None:
    async with downloading(stand_in.parts(part("a.mp4", b"x", first=True, length=9))) as answer:
        one = await anext(answer)
        for _ in range(3):
            with pytest.raises(Cut):
                await read(one)


async def test_the_parts_before_a_cut_are_whole(tmp_path: Path) -> None:
    handler = stand_in.parts(TWO[0], part("b.mp4", b"x", length=9), ending=cut)
    async with gateway(handler) as url, Client(url) as client:
        with pytest.raises(Cut):
            async with client.download(URL) as answer:
                async for one in answer:
                    await one.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"first" * 1000


async def test_a_silent_gateway_is_given_up() -> None:
    async with gateway(stand_in.parts(TWO[0], ending=silence)) as url, Client(url, stall_s=0.2) as client:
        with pytest.raises((Cut, Unreachable)):  # on a busy machine the head is late as well
            async with client.download(URL) as answer:
                async for one in answer:
                    await read(one)

    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with gateway(never) as url, Client(url, stall_s=0.2) as client:
        with pytest.raises(Unreachable):
            await client.ping()


async def test_a_gateway_that_is_not_there_is_unreachable() -> None:
    async with gateway(stand_in.parts()) as url:
        pass
    async with Client(url) as client:
        with pytest.raises(Unreachable):
            async with client.download(URL):
                pass


async def test_a_connection_that_goes_before_the_answer_is_unreachable() -> None:
    async def gone(request: web.Request) -> web.Response:
        await cut(request)
        return web.Response()

    async with gateway(gone) as url, Client(url) as client:
        with pytest.raises(Unreachable):
            await client.ping()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": "multipart/x-mixed-replace; boundary=a"},
        {"Content-Type": "multipart/x-mixed-replace; boundary=a", "Content-Meta": "!"},
        {"Content-Type": "multipart/x-mixed-replace", "Content-Meta": "eyJ0aXRsZSI6IiIsImRlc2MiOiIifQ=="},
    ],
)
async def test_an_answer_that_is_no_parts_is_malformed(headers: dict[str, str]) -> None:
    async with gateway(stand_in.stream(headers, b"hello")) as url, Client(url) as client:
        with pytest.raises(Malformed):
            async with client.download(URL):
                pass


async def test_another_server_is_malformed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>pong</html>")

    async with gateway(answer) as url, Client(url) as client:
        with pytest.raises(Malformed):
            await client.ping()
        with pytest.raises(Malformed):
            async with client.transcribe(URL):
                pass


# refusals


@pytest.mark.parametrize("example", load.refusals(), ids=str)
async def test_every_shape_of_refusal_is_read(example: load.Refusal) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=example.body, status=example.status, headers=example.headers)

    async with gateway(answer) as url, Client(url, tries=0) as client:
        for attempt in (client.download(URL), client.transcribe(URL)):
            with pytest.raises(Refused) as caught:
                async with attempt:
                    pass
            for name in ("status", "code", "message", "retry_after_s", "request_id"):
                assert getattr(caught.value, name) == getattr(example, name)


@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway</html>", b"\xff\xfe", b"[" * 60_000, b"[" * 100_000, b'"a"']
)
async def test_a_refusal_by_somebody_else_is_still_one(body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, status=502, headers={"X-Request-Id": "proxy"})

    async with gateway(answer) as url, Client(url) as client:
        with pytest.raises(Refused) as caught:
            await client.ping()
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (502, None, "proxy")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("soon", None), ("-1", None), ("²", None), ("9" * 5000, None), (None, None)],
)
async def test_retry_after_is_read_in_seconds(value: str | None, seconds: int | None) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": value} if value else {})

    async with gateway(answer) as url, Client(url) as client:
        with pytest.raises(Refused) as caught:
            await client.ping()
    assert caught.value.retry_after_s == seconds


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with gateway(answer) as url, Client(url, key="secret") as client:
        with pytest.raises(Refused) as caught:
            await client.ping()
    assert caught.value.status == 307
    assert seen == ["/api/v3/ping"]


@pytest.mark.parametrize(
    "error", [Refused(429, "BUSY", "later", 3, "r"), TranscriptFailed("A", "b"), Cut("c"), Malformed("d")]
)
def test_errors_survive_pickling(error: ClipwireError) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert vars(found) == vars(error)
    assert str(found) == str(error)


# files


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x", "CON.mp4", "", "..", ".bashrc", "a" * 300 + ".mp4", "Grüße 🎬.mp4"]
)
async def test_a_part_of_any_name_is_saved_in_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    handler = stand_in.parts(part(name, b"payload", first=True), CLOSING)
    async with downloading(handler) as answer:
        one = await anext(answer)
        assert one.name == name
        path = await one.save(folder)
    assert path.parent == folder
    assert path.read_bytes() == b"payload"
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]
    assert not path.name.startswith(".")


async def test_save_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    async with downloading(stand_in.parts(*TWO)) as answer:
        async for one in answer:
            await one.save(tmp_path, progress=lambda done, whole: seen.append((done, whole)))
    first = [done for done, whole in seen if whole == 5000]
    second = [done for done, whole in seen if whole is None]
    assert (first[0], first[-1]) == (0, 5000)
    assert (second[0], second[-1]) == (0, 6)
    assert sorted(first) == first


async def test_save_replaces_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    async with downloading(stand_in.parts(*TWO)) as answer:
        await (await anext(answer)).save(str(tmp_path))
    assert (tmp_path / "a.mp4").read_bytes() == b"first" * 1000


async def test_a_part_that_was_begun_is_not_saved(tmp_path: Path) -> None:
    async with downloading(stand_in.parts(*TWO)) as answer:
        one = await anext(answer)
        await anext(one)
        with pytest.raises(RuntimeError):
            await one.save(tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_failing_progress_leaves_no_file(tmp_path: Path) -> None:
    def failing(done: int, whole: int | None) -> None:
        if done:
            raise ZeroDivisionError

    async with gateway(stand_in.parts(*TWO)) as url, Client(url) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.download(URL) as answer:
                await (await anext(answer)).save(tmp_path, progress=failing)
    assert not list(tmp_path.iterdir())


async def test_a_cancelled_save_leaves_no_file_and_no_connection(tmp_path: Path) -> None:
    left, saving = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            unfinished = part("a.mp4", b"x" * 5000, first=True, length=9999)
            return await stand_in.parts(unfinished, ending=silence)(request)
        finally:
            left.set()

    async def save(client: Client) -> None:
        async with client.download(URL) as found:
            one = await anext(found)
            await one.save(tmp_path, progress=lambda done, whole: saving.set() if done else None)

    async with gateway(answer) as url, Client(url) as client:
        task = asyncio.create_task(save(client))
        await asyncio.wait_for(saving.wait(), 30)
        assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)
        assert not list(tmp_path.iterdir())
        await asyncio.wait_for(left.wait(), 30)


# links


PAYLOAD = bytes(range(256)) * 100
LINK = "/media/t.s/a.mp4"


class Linked:
    """Answers a download that is cut after `had` bytes, and its link with what is given in turn."""

    def __init__(self, had: int, *answers: stand_in.Handler, length: int | None = len(PAYLOAD)) -> None:
        self.asked: list[dict[str, str]] = []
        self._answers = list(answers)
        body = part("a.mp4", PAYLOAD[:had], first=True, length=length, link=LINK)
        self._download = stand_in.parts(body, ending=cut)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return await self._download(request)
        assert (request.method, request.path) == ("GET", LINK)
        self.asked.append(dict(request.headers))
        return await self._answers.pop(0)(request)


def ranged(
    data: bytes = PAYLOAD, *, etag: str = '"a"', most: int | None = None, status: int = 206
) -> stand_in.Handler:
    """The range asked for; cut after `most` bytes of it. As an answer with status 200: the whole."""

    async def answer(request: web.Request) -> web.StreamResponse:
        start = request.http_range.start if status == 206 else 0
        headers = {"ETag": etag, "Content-Length": str(len(data) - start)}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        await response.write(data[start:][:most])
        if most is not None:
            await cut(request)
        return response

    return answer


async def busy(request: web.Request) -> web.StreamResponse:
    told = {"error": {"code": "BUSY", "message": "later"}}
    return web.json_response(told, status=503, headers={"Retry-After": "0"})


async def refusing(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"code": "LINK_EXPIRED", "message": "over"}}, status=410)


@pytest.mark.parametrize("had", [0, 1, 5000, len(PAYLOAD)])
@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("length", [len(PAYLOAD), None])
async def test_a_cut_part_is_gone_on_with(had: int, status: int, length: int | None, tmp_path: Path) -> None:
    seen: list[int] = []
    handler = Linked(had, ranged(status=status), length=length)
    async with downloading(handler) as answer:
        paths = [
            await one.save(tmp_path, progress=lambda done, whole: seen.append(done)) async for one in answer
        ]
    assert [path.read_bytes() for path in paths] == [PAYLOAD]
    assert (seen[0], seen[-1]) == (0, len(PAYLOAD))
    assert sorted(seen) == seen
    start = int(handler.asked[0]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert max(0, had - 8192) <= start <= had  # a part of untold length may have given less of its end


async def test_a_rest_that_is_cut_too_is_gone_on_with_if_it_is_the_same(tmp_path: Path) -> None:
    handler = Linked(5000, ranged(most=6000), busy, ranged())
    async with downloading(handler) as answer:
        path = await (await anext(answer)).save(tmp_path)
    assert path.read_bytes() == PAYLOAD
    assert [one.get("If-Range") for one in handler.asked] == [None, '"a"', '"a"']
    assert handler.asked[1]["Range"] == f"bytes={5000 + 6000 - 2 * 4096}-"


async def test_a_rest_with_another_tag_is_another_file(tmp_path: Path) -> None:
    handler = Linked(5000, ranged(most=6000), ranged(etag='"b"', status=200))
    async with gateway(handler) as url, Client(url, pause_s=PAUSE_S) as client:
        with pytest.raises(Cut):
            async with client.download(URL) as answer:
                await (await anext(answer)).save(tmp_path, tries=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        ranged(PAYLOAD[::-1]),
        ranged(PAYLOAD[::-1], status=200),
        ranged(PAYLOAD + b"more"),
        ranged(PAYLOAD[:-1]),
        ranged(PAYLOAD[:3000], status=200),
        refusing,
        ranged(most=10),
    ],
)
async def test_another_file_is_never_put_behind_a_cut(other: stand_in.Handler, tmp_path: Path) -> None:
    async with gateway(Linked(5000, other)) as url, Client(url, pause_s=PAUSE_S) as client:
        with pytest.raises(Cut):
            async with client.download(URL) as answer:
                await (await anext(answer)).save(tmp_path, tries=1)
    assert not list(tmp_path.iterdir())


async def test_a_cut_is_left_alone_where_no_tries_are_wanted(tmp_path: Path) -> None:
    handler = Linked(5000)
    async with gateway(handler) as url, Client(url) as client:
        with pytest.raises(Cut):
            async with client.download(URL) as answer:
                await (await anext(answer)).save(tmp_path, tries=0)
    assert not handler.asked


async def test_parts_that_were_to_come_after_a_cut_are_missed(tmp_path: Path) -> None:
    async with gateway(Linked(5000, ranged())) as url, Client(url, pause_s=PAUSE_S) as client:
        with pytest.raises(Cut):
            async with client.download(URL, "ORIGINAL") as answer:
                async for one in answer:
                    await one.save(tmp_path)
    assert (tmp_path / "a.mp4").read_bytes() == PAYLOAD


@pytest.mark.parametrize(
    ("told", "link"),
    [
        (LINK, f"/below{LINK}"),
        ("http://elsewhere.example/a", None),
        ("@elsewhere.example/a", None),
        ("//elsewhere.example/a", "/below//elsewhere.example/a"),
        ("", None),
        (None, None),
    ],
)
async def test_a_link_never_leads_away_from_the_gateway(told: str | None, link: str | None) -> None:
    handler = stand_in.parts(part("a.mp4", b"x", first=True, link=told), CLOSING)
    async with gateway(handler) as url, Client(f"{url}below/") as client, client.download(URL) as answer:
        found = (await anext(answer)).link
    assert found == (None if link is None else url.rstrip("/") + link)


# transcripts


def told(*kinds: str) -> bytes:
    """The first example of each kind, as lines."""
    examples = {one.event["type"]: one.line for one in reversed(load.events())}
    return b"".join(examples[kind] for kind in kinds)


async def test_events_come_as_values() -> None:
    body = told("progress", "info", "segment", "segment", "end")
    async with transcribing(stand_in.lines(body)) as events:
        found = [event async for event in events]
    assert [type(event) for event in found] == [Progress, Info, Segment, Segment, End]
    segment = found[2]
    assert isinstance(segment, Segment)
    assert (segment.start, segment.end, segment.text, segment.words) == (0.0, 4.2, " Hello there.", None)


async def test_words_come_when_asked_for() -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers["Accept"], await request.json()))
        return await stand_in.lines(*(one.line for one in load.events()[:6]))(request)

    async with gateway(answer) as url, Client(url) as client:
        wish = client.transcribe(URL, language="de", task="translate", words=True, source="speech")
        async with wish as events:
            words = [event.words async for event in events if isinstance(event, Segment)]
    assert words[1] is not None
    assert words[1][0].word == " Grüße,"
    told = {"url": URL, "language": "de", "task": "translate", "words": True, "source": "speech"}
    assert seen == [("/transcribe", "application/x-ndjson", told)]


async def test_captions_and_reasons_are_told_by_newer_gateways_only() -> None:
    async def found(body: bytes) -> list[Event]:
        async with transcribing(stand_in.lines(body)) as events:
            return [event async for event in events]

    newer = load.events()[6:]
    info, segment, end = await found(newer[0].line + newer[1].line + newer[4].line)
    assert isinstance(info, Info)
    assert (info.model, info.source, info.captions) == (None, "captions", "creator")
    assert isinstance(segment, Segment)
    assert (segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio) == (None, None, None)
    assert isinstance(end, End)
    assert (end.speech, end.reasons) == ("none", ("silence",))
    info, segment, end = await found(told("info", "segment", "end"))
    assert isinstance(info, Info)
    assert info.captions is None
    assert isinstance(end, End)
    assert end.reasons == ()


async def test_only_what_is_asked_for_is_sent() -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(await request.json())
        return await stand_in.lines(told("info", "end"))(request)

    async with gateway(answer) as url, Client(url) as client:
        async with client.transcribe(URL) as events:
            assert len([event async for event in events]) == 2
        async with client.transcribe(URL, source="captions", prompt="Names: Ann.") as events:
            assert len([event async for event in events]) == 2
    plain = {"url": URL, "task": "transcribe", "words": False}
    assert seen == [plain, plain | {"source": "captions", "prompt": "Names: Ann."}]


@pytest.mark.parametrize(
    ("after", "last"), [({}, None), ({"after": -1}, None), ({"after": 0}, "0"), ({"after": 7}, "7")]
)
async def test_a_transcript_is_followed_by_its_id(after: dict[str, int], last: str | None) -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        names = ("Accept", "X-API-Key", "Last-Event-ID")
        seen.append((request.method, request.raw_path, *(request.headers.get(name) for name in names)))
        return await stand_in.lines(told("segment", "progress", "end"))(request)

    async with (
        gateway(answer) as url,
        Client(url, key="secret") as client,
        client.follow("n2GP/é", **after) as events,
    ):
        assert [type(event) async for event in events] == [Segment, Progress, End]
    path = "/transcripts/n2GP%2F%C3%A9/events"
    assert seen == [("GET", path, "application/x-ndjson", "secret", last)]


async def test_a_transcript_of_which_all_has_come_has_no_more_events() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=204)

    async with gateway(answer) as url, Client(url) as client, client.follow("n2GP", after=9) as events:
        assert [event async for event in events] == []


async def test_a_transcript_that_is_gone_is_refused_and_one_that_failed_raises() -> None:
    async def gone(request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "NOT_FOUND", "message": "no"}}, status=404)

    async with gateway(gone) as url, Client(url) as client:
        with pytest.raises(Refused) as caught:
            async with client.follow("n2GP"):
                pass
    assert caught.value.code == "NOT_FOUND"
    for body, failure in ((told("error"), TranscriptFailed), (told("segment"), Cut)):
        async with gateway(stand_in.lines(body)) as url, Client(url, pause_s=PAUSE_S) as client:
            with pytest.raises(failure):
                async with client.follow("n2GP", after=0) as events:
                    async for _ in events:
                        pass


async def test_an_event_is_told_while_the_next_is_not_there() -> None:
    go_on = asyncio.Event()

    async def later(request: web.Request) -> None:
        await go_on.wait()

    async with gateway(stand_in.lines(told("info", "segment"), ending=later)) as url, Client(url) as client:
        async with client.transcribe(URL) as events:
            assert isinstance(await anext(events), Info)
            assert isinstance(await anext(events), Segment)
        go_on.set()


async def test_a_failed_transcript_raises_after_its_segments() -> None:
    seen = []
    async with gateway(stand_in.lines(told("info", "segment", "error"))) as url, Client(url) as client:
        with pytest.raises(TranscriptFailed) as caught:
            async with client.transcribe(URL) as events:
                async for event in events:
                    seen.append(type(event))
    assert seen == [Info, Segment]
    assert caught.value.code == "SPEECH_FAILED"
    assert caught.value.message


@pytest.mark.parametrize("ending", [clean, cut, reset])
@pytest.mark.parametrize(
    "body", [b"", told("info"), told("info", "segment"), told("info", "end")[:-1], told("info", "error")[:-9]]
)
async def test_a_transcript_without_its_last_line_is_cut(body: bytes, ending: stand_in.Ending) -> None:
    async with gateway(stand_in.lines(body, ending=ending)) as url, Client(url, pause_s=PAUSE_S) as client:
        with pytest.raises((Cut, Unreachable) if ending is reset else Cut):
            async with client.transcribe(URL) as events:
                async for _ in events:
                    pass


@pytest.mark.parametrize("body", [b"hello\n", told("info", "end", "info"), told("error", "error")])
async def test_lines_outside_the_format_are_malformed(body: bytes) -> None:
    async with gateway(stand_in.lines(body)) as url, Client(url) as client:
        with pytest.raises(
            (Malformed, TranscriptFailed) if body.startswith(b'{"type":"error"') else Malformed
        ):
            async with client.transcribe(URL) as events:
                async for _ in events:
                    pass


# the README


async def test_the_examples_of_the_readme_are_true(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/transcripts/7"):
            return web.Response(text="1\n") if "srt" in request.path else await lines(request)
        if request.path == "/transcripts":
            assert request.headers["X-Auth-Code"] == "code"
            return web.json_response(begun, status=202)
        if request.method == "GET":
            assert (request.path_qs, request.headers["Last-Event-ID"]) == ("/transcripts/3f/events", "1")
            return await stand_in.lines(told("segment", "end"))(request)
        wish = await request.json()
        assert wish["url"] == URL
        if request.path == "/transcribe":
            return await stand_in.lines(told("info", "segment", "end"))(request)
        return await stand_in.parts(*TWO)(request)

    lines = stand_in.lines(told("info", "segment", "end"))
    begun = {"id": "7", "status": "running", "duration_s": None, "charged_s": None, "text": None}
    names: dict[str, Callable[..., Any]] = {}
    for code in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S):
        exec(compile(code, str(README), "exec"), names)
    async with gateway(answer) as url:
        await names["save"](url, URL, tmp_path)
        await names["words"](url, URL)
        await names["rest"](url, "3f", 1)
        assert await names["buy"](url, "code", b"ID3") == "1\n"
        saved = await asyncio.to_thread(names["save_all"], url, URL, tmp_path / "all")
        assert [path.name for path in saved] == ["a.mp4", "b.mp3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "all", "b.mp3"]
    assert "Hello there." in capsys.readouterr().out


@asynccontextmanager
async def downloading(handler: stand_in.Handler) -> AsyncIterator[Answer]:
    async with (
        gateway(handler) as url,
        Client(url, pause_s=PAUSE_S) as client,
        client.download(URL) as answer,
    ):
        yield answer


@asynccontextmanager
async def transcribing(handler: stand_in.Handler) -> AsyncIterator[AsyncIterator[Event]]:
    async with gateway(handler) as url, Client(url) as client, client.transcribe(URL) as events:
        yield events


async def read(part: Part) -> bytes:
    return b"".join([chunk async for chunk in part])
