"""Bombs: each is an error of its own, or a sound within the limit; and the kernel holds the processes."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from gateway.errors import GatewayError, MediaUndecodable
from gateway.media.audio import RATE, Decoders
from gateway.media.film import Film
from gateway.media.remux import Remuxes
from gateway.media.slideshow import Slideshows
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.tasks import Background
from tests.media import bombs
from tests.media.sounds import sound

MP4 = sound("mp4", "aac", 44_100, 0.3)
PHOTOS, SOUNDS = bombs.photos(), bombs.sounds(MP4)
BOMB_S = 60  # an honest hour takes 3
REFUSED = ("MEDIA_UNDECODABLE", "VIDEO_TOO_LONG", "NOT_VIDEO_CONTENT", "UPSTREAM_FAILED")
LONG = {"flac of hours", "wav of one sample a second"}  # which are what they say


class Room:
    """All that opens media, as wiring has it."""

    def __init__(self, folder: Path) -> None:
        self.background = Background()
        self.spools = Spools(folder, self.background, bytes_max=1 << 30, keep_s=0)
        self.decoders = Decoders(self.background)
        self.remuxes = Remuxes()
        self.slideshows = Slideshows(renders_max=2, render_s=BOMB_S)

    async def heard_s(self, body: bytes, seconds_max: float = 3600) -> float:
        count = 0
        async with (
            self.spools.open(object(), whole(body)) as spool,
            aclosing(self.decoders.samples(spool, seconds_max=seconds_max)) as samples,
        ):
            async for chunk in samples:
                count += len(chunk)
        return count / RATE / 2

    async def remuxed(self, body: bytes) -> int:
        async def fill(spool: Spool) -> None:
            async with self.spools.open(object(), whole(body)) as video:
                await self.remuxes.fill(spool, video)

        return await self._size(fill)

    async def film(self, photos: list[bytes], sound: bytes | None) -> int:
        async with AsyncExitStack() as stack:
            parts = [
                await stack.enter_async_context(self.spools.open(object(), whole(one))) for one in photos
            ]
            heard = (
                await stack.enter_async_context(self.spools.open(object(), whole(sound))) if sound else None
            )
            return await self._size(
                lambda spool: self.slideshows.fill(spool, parts, heard, Film(slide_s=0.5))
            )

    async def _size(self, fill: Fill) -> int:
        async with self.spools.open(object(), fill) as spool:
            return sum([len(chunk) async for chunk in spool.chunks()])


async def ended(work: Awaitable[float]) -> float | str:
    """What came of it: a number, or an error's code."""
    try:
        return await work
    except GatewayError as failure:
        return failure.code


def whole(body: bytes) -> Fill:
    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")
        spool.append(body)

    return fill


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    room.decoders.load()
    yield room
    await room.background.close()
    await room.decoders.close()
    room.spools.close()


def test_a_bomb_is_small() -> None:
    assert not list(bombs.all_small(PHOTOS, 10_000))
    assert not list(
        bombs.all_small({n: b for n, b in SOUNDS.items() if n != "mp4, ten thousand edits"}, 100_000)
    )


@pytest.mark.parametrize("name", SOUNDS)
async def test_a_sound_bomb_is_an_error_or_a_sound_within_the_limit(room: Room, name: str) -> None:
    async with asyncio.timeout(2 * BOMB_S):
        end = await ended(room.heard_s(SOUNDS[name]))
        # ten thousand edits of a third of a second are nearly an hour
        assert end == "VIDEO_TOO_LONG" if name in LONG else end in REFUSED or float(end) < 3602
        assert await room.heard_s(MP4) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("name", SOUNDS)
async def test_a_sound_bomb_is_no_soundtrack_of_a_film_for_ever(room: Room, name: str) -> None:
    """It ends within the film, or it is said that it cannot be decoded."""
    photo = (Path(__file__).parents[1] / "origin" / "clips" / "slide-1.jpg").read_bytes()
    async with asyncio.timeout(2 * BOMB_S):
        end = await ended(room.film([photo], SOUNDS[name]))
    assert end == "MEDIA_UNDECODABLE" if isinstance(end, str) else end < 1 << 20
    assert not room.slideshows.running


@pytest.mark.parametrize("name", SOUNDS)
async def test_a_video_bomb_has_no_soundtrack_or_a_small_one(room: Room, name: str) -> None:
    async with asyncio.timeout(2 * BOMB_S):
        end = await ended(room.remuxed(SOUNDS[name]))
    assert end in REFUSED if isinstance(end, str) else end < 1 << 20


@pytest.mark.parametrize("name", PHOTOS)
async def test_a_picture_bomb_is_left_out(room: Room, name: str) -> None:
    async with asyncio.timeout(2 * BOMB_S):
        with pytest.raises(MediaUndecodable):
            await room.film([PHOTOS[name]], None)
    assert not room.slideshows.running


async def test_every_picture_bomb_at_once_costs_the_others_nothing(room: Room) -> None:
    photo = (Path(__file__).parents[1] / "origin" / "clips" / "slide-1.jpg").read_bytes()
    async with asyncio.timeout(2 * BOMB_S):
        assert await room.film([*PHOTOS.values(), photo], None) > 1000


# What the kernel keeps


def limits(of: str) -> dict[str, str]:
    lines = Path(f"/proc/{of}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[26:].split()[0] for line in lines}


CONFINED = """
import json, resource, threading
from gateway.media.confinement import confine, mute
mute()
confine(memory_bytes=64 << 20, cpu_s=5, files={files}, written_bytes=1000)
told = {{}}
try: bytearray(1 << 30)
except MemoryError: told["memory"] = True
try: open("/etc/passwd")
except OSError as error: told["file"] = error.strerror
print(json.dumps(told))
"""


def test_a_confined_process_has_no_more_memory_and_opens_no_more_files() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONFINED.format(files=0)], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == {"memory": True, "file": "Too many open files"}
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0  # the limits are its own


async def test_every_process_that_opens_media_is_confined(room: Room, tmp_path: Path) -> None:
    """Each is stopped while it is at work, and looked at."""
    gate = asyncio.Event()

    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")
        spool.append(bombs.wav(8000, bytes(900_000), told=0xFFFFFFFF))
        await gate.wait()

    async with (
        room.spools.open("a", fill) as spool,
        aclosing(room.decoders.samples(spool, seconds_max=600)) as samples,
    ):
        await anext(samples)
        (child,) = room.decoders.running
        decoder = limits(str(child.pid))
        gate.set()
    assert [decoder[f"Max {one}"] for one in ("open files", "file size", "core file size", "processes")] == [
        "0"
    ] * 4
    for module in ("gateway.media.renderer", "gateway.media.remux"):
        # a photo or a video that is a pipe without a writer: it waits there, once it is confined
        (pipe := tmp_path / module).parent.mkdir(exist_ok=True)
        subprocess.run(["mkfifo", str(pipe)], check=True)
        path = json.dumps(str(pipe))
        renders = f'"film": {{}}, "photos": [{{"number": 1, "path": {path}}}], "sound": null, "cpu_s": 9'
        job = f"{{{renders}}}" if module.endswith("renderer") else f'{{"path": {path}}}'
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        assert process.stdin is not None
        process.stdin.write(job.encode() + b"\n")
        try:
            async with asyncio.timeout(30):
                while (
                    limits(str(process.pid))["Max core file size"] != "0"
                    or limits(str(process.pid))["Max open files"] == limits("self")["Max open files"]
                ):
                    await asyncio.sleep(0.02)
            held = limits(str(process.pid))
        finally:
            process.kill()
            await process.wait()
        assert 1 << 30 < int(held["Max address space"]) < 3 << 30
        assert int(held["Max cpu time"]) <= 60
        assert int(held["Max open files"]) <= 16
        assert int(held["Max file size"]) <= 256 << 20
        assert held["Max processes"] == "0"


async def test_the_extractor_processes_have_a_bound_of_memory_and_files() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.media.tiktok",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert b"version" in await process.stdout.readline()
        held = limits(str(process.pid))
    finally:
        process.kill()
        await process.wait()
    assert 1 << 30 < int(held["Max address space"]) < 4 << 30
    assert int(held["Max open files"]) <= 256
    assert held["Max core file size"] == "0"
