"""What a real browser makes of it: a slideshow is played, a transcript is followed, our client runs."""

import asyncio
import hashlib
import io
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.web.app import application
from gateway.web.middleware import break_off
from gateway.wire import multipart
from tests.web.conftest import Front
from tests.web.script import END, INFO, Script, segment

CLIENT = Path(__file__).parents[2] / "clients" / "js" / "clipwire.js"
PLAY_S_MAX = 60
NEAR = 12  # of 255: two decoders, one after a round of JPEG, and a browser's own colours
PAGE = """<!doctype html><video id="v" muted playsinline src="/film.mp4"></video><script>
const v = document.getElementById("v"), c = document.createElement("canvas").getContext("2d");
const once = (what) => new Promise((done, no) => {
  v.addEventListener(what, done, {once: true});
  v.addEventListener("error", () => no(v.error.message), {once: true});
});
(async () => {
  const said = {};
  try {
    if (v.readyState < 1) await once("loadedmetadata");
    v.playbackRate = 4;
    const ended = once("ended");
    await v.play(); await ended;
    Object.assign(said, {duration: v.duration, played: v.currentTime});
    Object.assign(said, {width: v.videoWidth, height: v.videoHeight});
    c.canvas.width = c.canvas.height = 8; said.colours = [];
    for (const share of SHARES) {
      const seeked = once("seeked"); v.currentTime = share * v.duration; await seeked;
      await new Promise((next) => setTimeout(next, 300));  // until the frame is shown
      c.drawImage(v, 0, 0, 8, 8); said.colours.push([...c.getImageData(0, 0, 8, 8).data]);
    }
  } catch (error) { said.error = String(error); }
  await fetch("/said", {method: "POST", body: JSON.stringify(said)});
})();
</script>"""

FOLLOWS = """<!doctype html><script>
const numbers = [], source = new EventSource("PATH");
for (const kind of ["info", "segment", "end"])
  source.addEventListener(kind, (event) => numbers.push(event.lastEventId));
source.onerror = () => {
  if (source.readyState === EventSource.CLOSED)
    fetch("/said", {method: "POST", body: JSON.stringify({numbers})});
};
</script>"""


CLIENT_PAGE = """<!doctype html><script type="module">
const said = {events: [], parts: [], refused: null};
try {
  const { Clipwire } = await import("/clipwire.js");
  const clipwire = new Clipwire("");
  const events = clipwire.transcribe("CAPTIONS", {source: "captions"});
  for await (const event of events) said.events.push(event.type);
  const download = clipwire.download("PHOTOS", {mode: "ORIGINAL"});
  said.title = (await download.head()).title;
  for await (const part of download) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await part.bytes()));
    said.parts.push(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  await clipwire.plan("PRIVATE").catch((failure) => { said.refused = [failure.name, failure.code]; });
} catch (error) { said.error = String(error); }
await fetch("/said", {method: "POST", body: JSON.stringify(said)});
</script>"""


@pytest.fixture
def chromium() -> str:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: sh tests/packages.sh chromium")
    return path


@pytest.mark.parametrize("more", [{}, {"render": "stream"}])
async def test_a_slideshow_plays_to_its_end(
    front: Front, chromium: str, tmp_path: Path, more: dict[str, str]
) -> None:
    url = front.origin.url("photo3")
    async with front.post("/download", url=url, content_type="VIDEO_ONLY", **more) as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        (part,) = multipart.parts(await response.read(), boundary)
    said = await played(chromium, part.body, tmp_path, shares=(1 / 6, 3 / 6, 5 / 6))
    assert "error" not in said, said
    with av.open(io.BytesIO(part.body)) as film:
        duration = float(film.duration or 0) / av.time_base
        stream = film.streams.video[0]
        assert (said["width"], said["height"]) == (stream.width, stream.height)
    assert said["duration"] == pytest.approx(duration, abs=0.2)
    assert said["played"] == pytest.approx(duration, abs=0.2)
    # each slide is seen in its third of the film: as its photo is, shrunk to eight pixels a side
    for photo, colours in zip(front.origin.parts("photo3"), said["colours"], strict=False):
        seen = np.array(colours, dtype=float).reshape(8, 8, 4)[..., :3]
        assert abs(seen - shrunk(photo)).mean() < NEAR


async def test_an_event_source_goes_on_where_it_was_cut_and_stops_at_the_end(
    front: Front, chromium: str, tmp_path: Path
) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0))
    said: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    asked: list[tuple[str | None, int]] = []

    async def page(request: web.Request) -> web.Response:
        text = FOLLOWS.replace("PATH", f"{script.path}/events")
        return web.Response(text=text, content_type="text/html")

    async def hear(request: web.Request) -> web.Response:
        said.set_result(await request.json())
        return web.Response()

    async def watch(request: web.Request, response: web.StreamResponse) -> None:
        if request.path.endswith("/events"):
            asked.append((request.headers.get("Last-Event-ID"), response.status))
            if len(asked) == 1:
                asyncio.get_running_loop().call_later(0.5, break_off, request)
            elif len(asked) == 2:
                script.say(segment(1), END)

    app = application(front.gateway)
    app.add_routes([web.get("/page", page), web.post("/said", hear)])
    app.on_response_prepare.append(watch)
    # somebody else stays, or the transcript would end with its only reader
    async with aclosing(script.transcript.follow()) as staying, TestServer(app) as server:
        await anext(staying)
        async with browser(chromium, str(server.make_url("/page")), tmp_path), asyncio.timeout(PLAY_S_MAX):
            assert await said == {"numbers": ["0", "1", "2", "3"]}
    assert [status for _, status in asked] == [200, 200, 204]
    assert [last for last, _ in asked] in ([None, "1", "3"], [None, "0", "3"], [None, None, "3"])


async def test_our_client_runs_in_a_page(front: Front, chromium: str, tmp_path: Path) -> None:
    said: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    posts = {"CAPTIONS": "captions", "PHOTOS": "photo3", "PRIVATE": "private"}

    async def page(request: web.Request) -> web.Response:
        text = CLIENT_PAGE
        for word, name in posts.items():
            text = text.replace(f'"{word}"', f'"{front.origin.url(name)}"')
        return web.Response(text=text, content_type="text/html")

    async def module(request: web.Request) -> web.Response:
        return web.Response(text=CLIENT.read_text("utf-8"), content_type="text/javascript")

    async def hear(request: web.Request) -> web.Response:
        said.set_result(await request.json())
        return web.Response()

    app = application(front.gateway)
    app.add_routes([web.get("/page", page), web.get("/clipwire.js", module), web.post("/said", hear)])
    async with (
        TestServer(app) as server,
        browser(chromium, str(server.make_url("/page")), tmp_path),
        asyncio.timeout(PLAY_S_MAX),
    ):
        found = await said
    assert "error" not in found, found
    assert (found["events"][0], found["events"][-1]) == ("info", "end")
    assert found["parts"] == [hashlib.sha256(one).hexdigest() for one in front.origin.parts("photo3")]
    assert found["title"]
    assert found["refused"] == ["GatewayError", "VIDEO_PRIVATE"]


def shrunk(photo: bytes) -> Any:
    """A photo's colours in eight by eight fields."""
    with av.open(io.BytesIO(photo)) as file:
        pixels = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    rows = [band.mean(axis=0) for band in np.array_split(pixels, 8)]
    return np.array([[field.mean(axis=0) for field in np.array_split(row, 8)] for row in rows])


async def played(chromium: str, film: bytes, folder: Path, *, shares: tuple[float, ...]) -> dict[str, Any]:
    """What the browser says of a film that it has played."""
    said: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE.replace("SHARES", str(list(shares))), content_type="text/html")

    async def hear(request: web.Request) -> web.Response:
        said.set_result(await request.json())
        return web.Response()

    path = folder / "film.mp4"
    path.write_bytes(film)

    async def send(request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/film.mp4", send), web.post("/said", hear)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with (
            browser(chromium, f"http://127.0.0.1:{runner.addresses[0][1]}/", folder),
            asyncio.timeout(PLAY_S_MAX),
        ):
            return await said
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browser(chromium: str, url: str, folder: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder / 'browser'}", url,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
