import asyncio
import os
import signal
import socket
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.commands.running import run
from tests.origin.origin import Origin
from tests.serving import Served, serving
from tests.web.conftest import Front, Start, until


async def test_it_lives_before_it_is_ready(front: Front) -> None:
    async with front.session.get(front.url + "/live") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    async with front.session.get(front.url + "/ready") as response:
        assert response.status == 503


async def test_it_says_what_it_waits_for(start: Start) -> None:
    front: Front = await start()
    async with front.session.get(front.url + "/ready") as response:
        assert (await response.json())["speech"] == "fetching or loading the model"
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    front = await start(cluster_address="127.0.0.1:9")
    async with front.session.get(front.url + "/ready") as response:
        assert response.status == 503
        assert (await response.json())["speech"] == "no worker yet"


async def test_the_root_says_what_runs(front: Front) -> None:
    async with front.session.get(front.url + "/") as response:
        body = await response.json()
        assert "is running" in body["message"]
        assert response.headers["Vary"] == "Accept"
        assert response.headers["Server"] == "clipwire"


async def test_native_errors_take_the_native_shape(front: Front) -> None:
    async with front.session.get(front.url + "/nothing") as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (404, "NOT_FOUND")
        assert error["request_id"] == response.headers["X-Request-Id"]
    async with front.session.delete(front.url + "/transcribe") as response:
        assert response.status == 405
        assert (await response.json())["error"]["code"] == "METHOD_NOT_ALLOWED"


async def test_a_failure_not_foreseen_shows_nothing_of_itself(
    front: Front, capfd: pytest.CaptureFixture[str]
) -> None:
    front.gateway.extractor._posts = None  # type: ignore[assignment]  # as a bug would
    async with front.post("/transcribe", url=front.origin.url("video")) as response:
        body = await response.text()
    assert response.status == 500
    assert "INTERNAL_ERROR" in body
    assert "Traceback" not in body
    assert "NoneType" not in body
    assert "/work" not in body


async def test_a_body_that_does_not_end_is_given_up(front: Front) -> None:
    front.gateway.settings.__dict__["body_s"] = 0.3
    reader, writer = await front.connect()
    writer.write(b"POST /download HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    assert b" 408 " in head
    writer.close()


def serve(folder: Path, origin: Origin, **more: Any) -> AbstractAsyncContextManager[Served]:
    """One setting by a .env file, one by the name platforms use, the rest as usual."""
    (folder / ".env").write_text(f"GATEWAY_PROXY_URL={origin.proxy_url}\n")
    return serving(folder, until="/live", proxy_ca_file=origin.ca_file, **more)


async def test_streams_finish_at_shutdown_and_no_process_is_left(tmp_path: Path) -> None:
    async with (
        Origin(tmp_path) as origin,
        serve(tmp_path, origin, shutdown_s=20) as served,
        aiohttp.ClientSession() as session,
    ):
        origin.pace(400_000)
        wish = {"url": origin.url("video"), "content_type": "VIDEO_ONLY"}
        async with session.post(served.url + "/download", json=wish) as response:
            await response.content.readany()
            group = children(served.pid)
            assert group
            stopping = asyncio.ensure_future(served.stopped())
            rest = await response.read()
        assert rest.endswith(b"--\r\n")
        assert await stopping == 0
        assert not [pid for pid in group if Path(f"/proc/{pid}").exists()]


async def test_streams_that_do_not_finish_in_time_are_broken(tmp_path: Path) -> None:
    async with (
        Origin(tmp_path) as origin,
        serve(tmp_path, origin, shutdown_s=0.5) as served,
        aiohttp.ClientSession() as session,
    ):
        origin.pace(20_000)
        wish = {"url": origin.url("big"), "content_type": "VIDEO_ONLY"}
        async with session.post(served.url + "/download", json=wish) as response:
            await response.content.readany()
            stopping = asyncio.ensure_future(served.stopped())
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert await stopping == 0


async def test_a_wrong_setting_is_named_and_nothing_starts(tmp_path: Path) -> None:
    code, _, said = await run(tmp_path, "serve", GATEWAY_PORT="eighty")
    assert code == 2
    assert "GATEWAY_PORT" in said


async def test_a_port_in_use_is_told_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, said = await run(tmp_path, "serve", GATEWAY_PORT=str(taken.getsockname()[1]))
    assert code == 1
    assert "in use" in said


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("patience", ["0", "0.5"])
async def test_a_stream_that_shutdown_cuts_is_seen_to_be_cut(
    tmp_path: Path, version: str, patience: str
) -> None:
    async with Origin(tmp_path) as origin, serve(tmp_path, origin, shutdown_s=patience) as served:
        origin.pace(20_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
        body = b'{"url": "%s", "content_type": "VIDEO_ONLY"}' % origin.url("big").encode()
        head = f"POST /download HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.ensure_future(served.stopped())
        got, reset = b"", False
        try:
            while data := await reader.read(65536):
                got += data
        except ConnectionResetError:
            reset = True
        assert reset or version == "1.1"
        assert not got.endswith(b"0\r\n\r\n")
        assert await stopping == 0
        writer.close()


async def test_ctrl_c_is_for_the_gateway_alone(tmp_path: Path) -> None:
    """A terminal sends it to every process of the group."""
    with (tmp_path / "said").open("wb") as said:
        async with (
            Origin(tmp_path) as origin,
            serve(tmp_path, origin, stderr=said, group=True, shutdown_s=30) as served,
            aiohttp.ClientSession() as session,
        ):
            origin.pace(400_000)
            wish = {"url": origin.url("video"), "content_type": "VIDEO_ONLY"}
            async with session.post(served.url + "/download", json=wish) as response:
                await response.content.readany()
                os.killpg(served.pid, signal.SIGINT)
                assert (await response.read()).endswith(b"--\r\n")
            assert await served.process.wait() == 0
    assert b"Traceback" not in (tmp_path / "said").read_bytes()


async def test_no_child_outlives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    async with (
        Origin(tmp_path) as origin,
        serve(tmp_path, origin) as served,
        aiohttp.ClientSession() as session,
    ):
        wish = {"url": origin.url("page_trickles"), "content_type": "VIDEO_ONLY"}
        asking = asyncio.ensure_future(session.post(served.url + "/download", json=wish))
        await until(lambda: origin.hits["page:7400000000000000077"] > 0)
        group = children(served.pid)
        served.kill()
        await served.process.wait()
        await until(lambda: not any(alive(pid) for pid in group))
        asking.cancel()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_no_stream_begins_once_streams_are_broken(tmp_path: Path) -> None:
    """A film that is still rendered at SIGTERM must not begin, to be ended politely."""
    async with Origin(tmp_path) as origin, serve(tmp_path, origin, shutdown_s=0) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
        body = (
            b'{"url": "%s", "content_type": "VIDEO_ONLY", "render": "stream"}'
            % origin.url("photo35").encode()
        )
        writer.write(b"POST /download HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await until(lambda: origin.hits["media:photo35.35"] > 0)
        stopping = asyncio.ensure_future(served.stopped())
        got, reset = b"", False
        try:
            while data := await reader.read(65536):
                got += data
        except ConnectionResetError:
            reset = True
        assert reset or not got.startswith(b"HTTP/1.0 200")
        assert await stopping == 0
        writer.close()
