"""A walk through gateways that are well, and through ones that are not."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from gateway.check import run
from gateway.check.finding import Finding, exit_code, fails, skipped, works
from gateway.check.visit import Visit
from gateway.check.walk import Walk
from gateway.settings import Settings
from gateway.store.tables import segments
from tests.origin.origin import Origin
from tests.web.conftest import Front, Start, start, until

__all__ = ["start"]  # a fixture

KEY = "an admin key of length"


def by_what(findings: Any) -> dict[str, Finding]:
    return {one.what: one for one in findings}


async def walked(server: str, **more: Any) -> dict[str, Finding]:
    key = more.pop("key", None)
    async with aiohttp.ClientSession() as session:
        return by_what(await Walk(Visit(session, server, key), url=more.pop("url", None), **more).findings())


async def test_all_of_a_gateway_that_is_well_works(start: Start, data_dir: Path, base_model: Path) -> None:
    front: Front = await start(data_dir=data_dir, model="base", workers=1, admin_key=KEY)
    await until(lambda: front.gateway.ready, 60)
    found = await walked(front.url, key=KEY, url=front.origin.url("photo3"))
    assert {what: one.state for what, one in found.items()} == {
        "health": "works", "speech": "works", "database": "works", "site": "skipped", "keys": "works",
        "key": "works", "limits": "works", "download": "works", "link": "works", "transcript": "works",
        "cache of media": "works", "cache of transcripts": "works", "job": "works", "stored texts": "works",
    }, found  # fmt: skip
    assert exit_code(list(found.values())) == 0
    assert "4 parts" in found["download"].detail
    async with front.session.get(front.url + "/transcripts", headers={"X-API-Key": KEY}) as response:
        assert (await response.json())["transcripts"] == []  # what it made it removed
    async with front.session.get(front.url + "/codes", headers={"X-API-Key": KEY}) as response:
        assert (await response.json())["codes"] == []


async def test_a_stored_text_that_was_changed_is_found(
    start: Start, data_dir: Path, base_model: Path
) -> None:
    front: Front = await start(data_dir=data_dir, model="base", workers=1, admin_key=KEY, open="true")
    await until(lambda: front.gateway.ready, 60)
    async with front.post("/transcribe", url=front.origin.url("captions")) as response:
        id_ = response.headers["Transcript-Id"]
        assert '"end"' in await response.text()
    await until(lambda: len(front.gateway.writer) == 0)
    front.gateway.transcripts.remove(front.gateway.transcripts.by_id(id_))  # type: ignore[arg-type]
    assert await run._texts(front.gateway) == (1, [])
    async with front.gateway.database.transaction() as tx:
        await tx.execute(
            segments.update().where(segments.c.number == 0).values(text=sa.literal("Other words."))
        )
    assert await run._texts(front.gateway) == (1, [id_])
    found = await walked(front.url, key=KEY)
    assert found["stored texts"].state == "fails"
    assert id_ in found["stored texts"].detail
    assert exit_code(list(found.values())) == 1


async def test_without_a_key_what_needs_one_is_skipped(start: Start) -> None:
    front: Front = await start(admin_key=KEY)
    found = await walked(front.url, ready_s=0)
    assert found["stored texts"].state == "skipped"
    assert found["speech"].state == "fails"  # there is no model
    assert found["job"].state == found["transcript"].state == "skipped"
    assert "key" not in found


async def test_a_wrong_key_is_told(start: Start) -> None:
    front: Front = await start(admin_key=KEY)
    found = await walked(front.url, key="another key than that", ready_s=0)
    assert found["key"].state == "fails"
    assert "API_KEY_INVALID" in found["key"].detail


async def test_a_key_is_not_told_and_not_handed_on(unused_tcp_port_factory: Callable[[], int]) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"status": "ok"})

    async def leads_away(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{other}{request.path}")

    here, other = unused_tcp_port_factory(), unused_tcp_port_factory()
    async with served(elsewhere, other), served(leads_away, here):
        found = await walked(f"http://127.0.0.1:{here}", key=KEY, ready_s=0)
    assert not seen
    assert KEY not in str(found)
    assert exit_code(list(found.values())) != 0


@asynccontextmanager
async def served(handler: Callable[[web.Request], Awaitable[web.Response]], port: int) -> AsyncIterator[None]:
    """A server that answers everything so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def test_nobody_there_is_nothing_tried(unused_tcp_port: int) -> None:
    found = await walked(f"http://127.0.0.1:{unused_tcp_port}")
    assert [one.state for one in found.values()] == ["skipped"]
    assert exit_code(list(found.values())) == 2


async def test_a_post_that_is_not_to_be_had_is_told_in_the_servers_words(start: Start) -> None:
    front: Front = await start()
    found = await walked(front.url, url=front.origin.url("private"), ready_s=0)
    assert found["download"].state == "fails"
    assert "private" in found["download"].advice


# servers that are none of ours, or lie

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
SOUND = "POST /transcribe"


async def lied_to(answers: dict[str, Answering], **more: Any) -> dict[str, Finding]:
    """What is found of a server that answers some requests in its own way."""

    async def handle(request: web.Request) -> web.StreamResponse:
        told = answers.get(f"{request.method} {request.path}")
        return await told(request) if told is not None else web.json_response({"status": "ok"})

    server = web.Server(handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        return await walked(site.name, **more)
    finally:
        await runner.cleanup()


def lines(*events: dict[str, Any]) -> Answering:
    async def answer(request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            return web.json_response({}, status=413)
        await request.read()
        body = "".join(json.dumps(event) + "\n" for event in events)
        return web.Response(text=body, content_type="application/x-ndjson", headers={"Transcript-Id": "x"})

    return answer


INFO = {"type": "info", "id": "x", "language": "en", "language_probability": 1, "duration": 3,
        "model": "base", "source": "speech"}  # fmt: skip
SEGMENT = {"type": "segment", "id": 0, "start": 0.0, "end": 1.0, "text": " Hello."}
END = {"type": "end", "segments": 1, "duration": 3.0, "text_sha256": hashlib.sha256(b"Hello.").hexdigest(),
       "elapsed_ms": 1, "speech": "ok"}  # fmt: skip


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((INFO, SEGMENT, END), "works"),
        ((INFO, SEGMENT), "fails"),
        ((SEGMENT, END), "fails"),
        ((INFO, END), "fails"),
        ((INFO, SEGMENT | {"text": " Hallo."}, END), "fails"),
        ((INFO, SEGMENT, END | {"duration": 1.0}), "fails"),
        ((INFO, {"type": "error", "code": "SPEECH_FAILED", "message": "It failed."}), "fails"),
        (({"type": "something"},), "fails"),
        ((), "fails"),
    ],
)
async def test_a_transcript_is_what_it_says_or_it_fails(
    events: tuple[dict[str, Any], ...], state: str
) -> None:
    found = await lied_to({SOUND: lines(*events)})
    assert found["transcript"].state == state, found["transcript"]


@pytest.mark.parametrize(
    ("large", "state"), [("broken", "works"), ("413", "works"), ("200", "fails"), ("400", "fails")]
)
async def test_a_large_body_is_refused_or_it_fails(large: str, state: str) -> None:
    """Who refuses it while it is written may break the connection before the answer is read."""

    async def bounded(request: web.Request) -> web.Response:
        if (request.content_length or 0) < 1000:
            return web.json_response({}, status=400)
        if large == "broken":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        async for _ in request.content.iter_any():
            pass
        return web.json_response({}, status=int(large))

    async def nowhere(request: web.Request) -> web.Response:
        return web.json_response({}, status=404)

    found = await lied_to({SOUND: bounded, "GET /nothing-is-here": nowhere})
    assert found["limits"].state == state, found["limits"]


async def test_a_bound_above_the_usual_is_found_too(start: Start) -> None:
    front: Front = await start(body_bytes_max=1 << 20)
    assert (await walked(front.url, ready_s=0))["limits"].state == "works"


async def test_a_download_without_its_closing_delimiter_fails() -> None:
    async def cut(request: web.Request) -> web.Response:
        body = b"--b\r\nContent-Type: video/mp4\r\nContent-Length: 9\r\n\r\nabc"
        return web.Response(body=body, headers={"Content-Type": "multipart/x-mixed-replace; boundary=b"})

    found = await lied_to({"POST /download": cut}, url="https://www.tiktok.com/@_/video/1")
    assert found["download"].state == "fails"
    assert "cut" in found["download"].detail


@pytest.mark.parametrize("body", ["[]", "null", '{"status": []}', "nonsense", ""])
async def test_a_server_of_another_kind_is_no_traceback(body: str) -> None:
    async def odd(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    paths = ("GET /", "GET /ready", "GET /transcripts", SOUND, "POST /codes", "POST /download")
    found = await lied_to(dict.fromkeys(paths, odd), url="https://www.tiktok.com/@_/video/1")
    assert exit_code(list(found.values())) in (1, 2)


async def test_a_limit_is_waited_for_as_long_as_it_says() -> None:
    asked = 0

    async def limited(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.json_response({}, status=429, headers={"Retry-After": "0"})
        return web.json_response({"status": "ok"})

    found = await lied_to({"GET /live": limited})
    assert found["health"].state == "works"
    assert asked == 2


# of one that is started for it


async def test_a_gateway_is_started_for_it_and_is_gone_afterwards(
    tmp_path: Path, data_dir: Path, base_model: Path
) -> None:
    async with Origin(tmp_path / "origin") as origin:
        settings = Settings(
            _env_file=None, data_dir=data_dir, model="base", workers=1, extract_processes=1,
            database_url=f"sqlite:///{tmp_path / 'clipwire.db'}",  # type: ignore[arg-type]
            proxy_url=origin.proxy_url, proxy_ca_file=origin.ca_file,
        )  # fmt: skip  # type: ignore[call-arg]
        server, findings = await run.here(settings, origin.url("video"))
        found = by_what(findings)
        assert exit_code(findings) == 0, found
        assert found["job"].state == found["stored texts"].state == found["link"].state == "works"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(server + "/live")


def test_the_exit_code_is_the_worst_that_was_found() -> None:
    good, bad, none = works("a", ""), fails("b", "", ""), skipped("c", "")
    assert exit_code([good, none]) == 0
    assert exit_code([good, bad, none]) == 1
    assert exit_code([none]) == exit_code([]) == 2
