"""The nginx site of docs/deploy in front of a gateway: bytes pass as they come, and a cut stays a cut."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.check.visit import Visit
from gateway.check.walk import Walk
from gateway.wire import events, multipart
from gateway.wire.events import End, Info, Segment
from tests.bench.nginx import nginx, program, published
from tests.bench.process import CORES, BenchFailed, free_port
from tests.web.conftest import Front, Start

ROOT = Path(__file__).parents[2]
WALKS = 5  # it was a race
SPEECH = (ROOT / "tests/origin/clips/speech.mp4").read_bytes()  # 23 s, its index first


@asynccontextmanager
async def behind(front: Front, folder: Path) -> AsyncIterator[Front]:
    """The same gateway at nginx's address."""
    try:
        await asyncio.to_thread(program)
    except BenchFailed as failure:
        pytest.skip(str(failure))
    port = free_port()
    site = published("nginx.conf", port, int(front.url.rpartition(":")[2]))
    async with nginx(folder / "nginx", site, ports=[port], cores=CORES):
        yield Front(front.gateway, f"http://127.0.0.1:{port}", front.origin, front.session)


async def test_a_download_passes_as_it_comes(front: Front, tmp_path: Path) -> None:
    async with behind(front, tmp_path) as there, there.download("cdn_hangs") as response:
        assert response.status == 200
        assert response.headers["Server"].startswith("nginx")
        assert response.headers["Transfer-Encoding"] == "chunked"
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        first = await response.content.readuntil(b"\r\n\r\n")  # of a part that hangs at the site
        first += await response.content.readany()
        there.origin.release()
        body = first + await response.read()
        assert [part.body for part in multipart.parts(body, boundary)] == front.origin.parts("cdn_hangs")


@pytest.mark.parametrize("name", ["cdn_dies", "cdn_untold_cut"])
async def test_a_cut_download_never_looks_whole(front: Front, tmp_path: Path, name: str) -> None:
    async with behind(front, tmp_path) as there, there.download(name) as response:
        assert response.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, ConnectionResetError)):
            await response.read()


async def test_a_part_is_had_by_range(front: Front, tmp_path: Path) -> None:
    (video,) = front.origin.parts("video")
    async with behind(front, tmp_path) as there:
        async with there.download("video") as response:
            boundary = response.headers["Content-Type"].rpartition("=")[2]
            (part,) = multipart.parts(await response.read(), boundary)
        link = there.url + part.headers["content-location"]
        async with there.session.get(link, headers={"Range": "bytes=1000-"}) as response:
            assert response.status == 206
            assert await response.read() == video[1000:]


async def test_a_refusal_is_the_gateways(front: Front, tmp_path: Path) -> None:
    async with behind(front, tmp_path) as there, there.download("private") as response:
        assert (response.status, (await response.json())["code"]) == (400, "VIDEO_PRIVATE")


async def test_an_upload_that_is_too_large_is_refused_by_the_gateway(start: Start, tmp_path: Path) -> None:
    """nginx's own bound is above; where it meets its own, the answer is nginx's."""
    front: Front = await start(upload_bytes_max=100_000)
    async with behind(front, tmp_path) as there:
        headers = {"Content-Type": "video/mp4"}
        async with there.session.post(there.url + "/transcribe", data=SPEECH, headers=headers) as response:
            assert response.status == 413
            assert json.loads(await response.read())["error"]["code"]


async def test_a_walk_finds_nothing_wrong_with_the_limits(front: Front, tmp_path: Path) -> None:
    """A body that is refused while it is written: what nginx makes of it is no fault of the gateway."""
    async with behind(front, tmp_path) as there:
        for _ in range(WALKS):
            walk = Walk(Visit(there.session, there.url, None), url=None, ready_s=0)
            (limits,) = [one for one in await walk.findings() if one.what == "limits"]
            assert limits.state == "works", limits


async def test_an_upload_passes_as_it_comes(speaking: Front, tmp_path: Path) -> None:
    """Words come back before the upload has ended."""
    rest = asyncio.Event()

    async def media() -> AsyncIterator[bytes]:
        yield SPEECH[: len(SPEECH) * 3 // 4]
        await rest.wait()
        yield SPEECH[len(SPEECH) * 3 // 4 :]

    async with behind(speaking, tmp_path) as there:
        url, headers = there.url + "/transcribe", {"Content-Type": "video/mp4"}
        async with there.session.post(url, data=media(), headers=headers) as response:
            assert response.status == 200
            lines = (events.parse(line) async for line in response.content)
            heard = [one async for one in _first(lines)]
            assert isinstance(heard[0], Info)
            rest.set()
            last = [one async for one in lines][-1]
            assert isinstance(last, End)
            assert last.duration == pytest.approx(23.2, abs=0.2)


async def _first(lines: AsyncIterator[events.Event]) -> AsyncIterator[events.Event]:
    """The events up to the first segment."""
    async for one in lines:
        yield one
        if isinstance(one, Segment):
            return
