"""The gateway's multipart read byte-exact by parsers that others wrote, over HTTP or as a whole body."""

import asyncio
import base64
import email.parser
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from python_multipart.multipart import MultipartParser
from requests_toolbelt import MultipartDecoder  # type: ignore[import-untyped]

from gateway.wire import multipart
from gateway.wire.multipart import Part

from .bodies import Framed, framed, random_body

SEEDS = range(12)
DICER = "0.3.1"
CACHE = Path(__file__).parents[2] / ".cache" / "node"


@pytest.mark.parametrize("seed", SEEDS)
async def test_aiohttp_reads_the_same_bytes(seed: int) -> None:
    body = random_body(seed)
    async with served(body) as url, aiohttp.ClientSession() as session, session.get(url) as response:
        reader = aiohttp.MultipartReader.from_response(response)
        found = []
        while (part := await reader.next()) is not None:
            assert isinstance(part, aiohttp.BodyPartReader)
            found.append((part.filename, part.headers["Content-Type"], bytes(await part.read())))
    assert found == [(part.name, part.media_type, payload) for part, payload in body.parts]


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_toolbelt_reads_the_same_bytes(seed: int) -> None:
    body = random_body(seed)
    found = MultipartDecoder(body.body, multipart.content_type(body.boundary)).parts
    assert [part.content for part in found] == body.payloads


@pytest.mark.parametrize("seed", SEEDS)
def test_the_email_parser_reads_the_same_bytes(seed: int) -> None:
    body = random_body(seed)
    head = f"Content-Type: {multipart.content_type(body.boundary)}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + body.body)
    assert message.is_multipart()
    assert not message.defects
    found = list(message.walk())[1:]
    assert [part.get_payload(decode=True) for part in found] == body.payloads
    assert [part.get_filename() for part in found] == [part.name for part, _ in body.parts]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_python_multipart_reads_the_same_bytes(seed: int, step: int) -> None:
    body, found, ended = random_body(seed), list[bytes](), list[bool]()

    def data(data: bytes, start: int, end: int) -> None:
        found[-1] += data[start:end]

    parser = MultipartParser(
        body.boundary,
        {
            "on_part_begin": lambda: found.append(b""),
            "on_part_data": data,
            "on_end": lambda: ended.append(True),
        },
    )
    for at in range(0, len(body.body), step):
        parser.write(body.body[at : at + step])
    assert found == body.payloads
    assert ended == [True]


@pytest.mark.parametrize("seed", SEEDS)
def test_dicer_in_node_reads_the_same_bytes(seed: int, dicer: Path) -> None:
    body, script = random_body(seed), Path(__file__).with_name("parse.mjs")
    for step in ("64", "1000", "1000000"):
        done = subprocess.run(
            ["node", script, dicer, body.boundary, step], input=body.body, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [base64.b64decode(part["body"]) for part in found] == body.payloads
        assert [part["headers"]["content-disposition"] for part in found] == [
            [f'attachment; filename="{part.name}"'] for part, _ in body.parts
        ]


@pytest.mark.parametrize("fixed", [False, True])
async def test_the_documented_snippet_saves_exact_files(fixed: bool) -> None:
    """It takes blocks of 1024 bytes, and a block with the bare word in it for a head."""
    media = [bytes(range(256)) * 50, b"", b"\r\n" * 700, b"x"]
    names = [multipart.file_name("a", "7", "image/jpeg", n) for n in range(len(media))]
    parts = [
        (Part(name, "image/jpeg", link=f"/media/{'t' * 120}.{'s' * 43}/{name}"), one)
        for name, one in zip(names, media, strict=True)
    ]
    async with served(framed(multipart.boundary(fixed=fixed), parts)) as url:
        files = await asyncio.to_thread(_snippet, url)
    assert files == {part.name: payload for part, payload in parts}


def _snippet(url: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    name = None
    with requests.post(url, stream=True, timeout=30) as response:
        for chunk in response.iter_content(1024):
            if b"--simple_boundary" in chunk:
                found = re.search(rb'filename="(.+)"', chunk)
                name = found[1].decode() if found else None
                if name is not None:
                    files[name] = b""
            elif name is not None:
                files[name] += chunk
    return files


@pytest.mark.parametrize(
    "pattern",
    [
        'filename="(.*)"',
        'filename="(.+?)"',
        'filename="([^"]+)"',
        'filename="(.*)"\r\n',
        'filename="?(.*?)"?\r\n',
    ],
)
def test_patterns_of_known_clients_find_the_name(pattern: str) -> None:
    name = multipart.file_name("some.one", "731", "video/mp4")
    part = Part(name, "video/mp4", 5, f"/media/t.s/{name}")
    head = multipart.head(part, multipart.boundary(), first=True).decode()
    found = re.search(pattern, head)
    assert found is not None
    assert found[1] == name
    line = next(one for one in head.split("\r\n") if "filename" in one)
    assert line.endswith(f'filename="{name}"')  # nothing after it on its line
    assert line.split("filename=")[1].strip('"') == name
    assert head.split("Content-Type: ")[1].split("\r\n")[0] == "video/mp4"


@asynccontextmanager
async def served(body: Framed) -> AsyncIterator[str]:
    """The body over HTTP, each piece a chunk of its own, as the gateway sends it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": multipart.content_type(body.boundary)})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in body.pieces:
            if piece:
                await response.write(piece)
        return response

    app = web.Application()
    app.router.add_route("*", "/", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.fixture(scope="session")
def dicer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pinned parser, fetched once; skips where it cannot be."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is missing: dicer was not tried")
    kept = CACHE / f"dicer-{DICER}"
    if not kept.exists():
        folder = tmp_path_factory.mktemp("node")
        _fetch(f"dicer@{DICER}", folder)
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
        try:
            fresh.rename(kept)
        except OSError:  # another test process was quicker
            shutil.rmtree(fresh)
    return kept


def _fetch(package: str, folder: Path) -> None:
    command = [
        "npm",
        "install",
        "--prefix",
        str(folder),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        package,
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not answer in time: {package} was not tried")
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        pytest.skip(f"npm could not fetch {package}, which was not tried: {reason}")
