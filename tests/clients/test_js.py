"""The JavaScript client, by Node's own test runner: against a stand-in, and against a real gateway."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import SpeechFailed
from gateway.web.app import application
from gateway.web.middleware import break_off
from tests.web.conftest import Front, started, until
from tests.web.script import END, INFO, Script, segment

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "js"
CLIENT = ROOT / "clients" / "js"
CACHE = ROOT / ".cache" / "node"
TYPESCRIPT = "5.9.3"
ADMIN = "an admin key of tests"
POST = "https://www.tiktok.com/@someone/video/1234567890123456789"
NODE_S_MAX = 180


@pytest.fixture(autouse=True)
def node() -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is missing: the JavaScript client was not tried")
    return path


@pytest.mark.parametrize("name", ["parsers", "client"])
async def test_alone(name: str) -> None:
    await run("--test", str(HERE / f"{name}.test.mjs"))


async def test_every_route_of_a_gateway(tmp_path: Path) -> None:
    async with started(tmp_path, admin_key=ADMIN, open="true") as front:
        names = ("photo3", "video", "private", "cdn_dies", "captions", "speech")
        told = {
            "posts": {name: front.origin.url(name) for name in names},
            "digests": {"photo3": [hashlib.sha256(one).hexdigest() for one in front.origin.parts("photo3")]},
        }
        await run("--test", str(HERE / "gateway.test.mjs"), FRONT=seen(front, **told))


async def test_uploads_to_a_gateway_that_hears(tmp_path: Path, data_dir: Path, base_model: Path) -> None:
    async with hearing(tmp_path, data_dir) as front:
        clip = tmp_path / "speech.mp4"
        clip.write_bytes(front.origin.parts("speech")[0])
        await run("--test", str(HERE / "speech.test.mjs"), FRONT=seen(front, clip=str(clip)))


# endings that the other side makes


async def test_a_transcript_that_fails_says_so(tmp_path: Path) -> None:
    async with started(tmp_path) as front:
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0), SpeechFailed())
        told = await run(str(HERE / "follow.mjs"), front.url, script.transcript.id)
    assert told.split("\n") == ["info", "segment", "TranscriptFailed SPEECH_FAILED", ""]


async def test_who_leaves_is_gone_for_the_gateway(tmp_path: Path) -> None:
    async with started(tmp_path) as front:
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0))
        told = await run(str(HERE / "follow.mjs"), front.url, script.transcript.id, "2")
        assert told.split("\n") == ["info", "segment", "done", ""]
        await until(lambda: script.transcript.over)  # the last reader has left


@pytest.mark.parametrize("kept", [True, False])
async def test_a_lost_connection_is_made_good_where_the_transcript_goes_on(
    tmp_path: Path, kept: bool
) -> None:
    async with started(tmp_path) as front:
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0))
        asked: list[str | None] = []

        async def watch(request: web.Request, response: web.StreamResponse) -> None:
            asked.append(request.headers.get("Last-Event-ID"))
            if len(asked) == 1:
                asyncio.get_running_loop().call_later(0.5, break_off, request)
            elif kept:
                script.say(segment(1), END)

        app = application(front.gateway)
        app.on_response_prepare.append(watch)
        async with TestServer(app) as server:
            staying = script.transcript.follow()
            if kept:
                await anext(staying)
            told = await run(str(HERE / "follow.mjs"), str(server.make_url("/")), script.transcript.id)
            await staying.aclose()
    ending = ["segment", "end", "done"] if kept else ["Cut"]
    assert told.split("\n") == ["info", "segment", *ending, ""]
    assert asked[:2] == [None, "1"]


# papers and types


async def test_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    examples = re.findall(r"^```js\n(.*?)^```", (CLIENT / "README.md").read_text("utf-8"), re.M | re.S)
    assert len(examples) == 3
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "clipwire-client").symlink_to(CLIENT)
    async with started(tmp_path / "front") as front:
        said = []
        for number, example in enumerate(examples):
            post = front.origin.url("captions" if number else "photo3")
            script = tmp_path / f"example{number}.mjs"
            script.write_text(example.replace(POST, post).replace("http://127.0.0.1:8000", front.url))
            said.append(await run(str(script), folder=tmp_path))
        saved = [path.read_bytes() for path in sorted(tmp_path.glob("*_*_*.jpg"))]
        assert saved == front.origin.parts("photo3")[: len(saved)]
        assert len(saved) == 3
    assert "keeper opens the blue door" in said[1]


def test_the_declarations_are_what_callers_need(tmp_path: Path, typescript: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "clipwire-client").symlink_to(CLIENT)
    shutil.copy(HERE / "types.ts", tmp_path / "types.ts")
    done = subprocess.run(
        [
            "node", typescript / "node_modules" / "typescript" / "bin" / "tsc", "--noEmit", "--strict",
            "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext",
            "--lib", "es2022,dom,dom.iterable,dom.asynciterable", "types.ts",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_declarations_name_what_the_module_has() -> None:
    """Every export, every public method of the client, and nothing else."""
    code = (CLIENT / "clipwire.js").read_text("utf-8")
    types = (CLIENT / "clipwire.d.ts").read_text("utf-8")
    kinds = r"^export class (\w+)"
    assert sorted(re.findall(kinds, code, re.M)) == sorted(re.findall(kinds, types, re.M))

    def methods(text: str, pattern: str) -> set[str]:
        body = re.search(r"^export class Clipwire \{\n(.*?)^\}", text, re.M | re.S)
        assert body is not None
        return set(re.findall(pattern, body[1], re.M))

    made = methods(code, r"^  (?:async )?\*?(\w+)\(.*\{$")
    assert made == methods(types, r"^  (\w+)\(")
    assert len(made) > 20


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pinned compiler, fetched once; skips where it cannot be."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: the declarations were not tried")
    kept = CACHE / f"typescript-{TYPESCRIPT}"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        command = ["npm", "install", "--prefix", str(fresh), "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run([*command, f"typescript@{TYPESCRIPT}"], capture_output=True, timeout=120)
            if done.returncode != 0:
                pytest.skip("npm could not fetch typescript: the declarations were not tried")
            fresh.rename(kept)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not answer in time: the declarations were not tried")
        except OSError:  # another test process was quicker
            assert kept.exists()
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return kept


def seen(front: Front, **more: Any) -> str:
    return json.dumps({"url": front.url, "key": ADMIN} | more)


@asynccontextmanager
async def hearing(folder: Path, data_dir: Path) -> AsyncIterator[Front]:
    async with started(
        folder, data_dir=data_dir, model="base", workers=1, admin_key=ADMIN, open="true"
    ) as front:
        await until(lambda: front.gateway.ready, 60)
        yield front


async def run(*arguments: str, folder: Path = HERE, **environment: str) -> str:
    """What Node says, which must end well and in time."""
    process = await asyncio.create_subprocess_exec(
        "node", *arguments, cwd=folder, env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(NODE_S_MAX):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()
