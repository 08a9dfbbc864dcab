"""A soundtrack is taken out as it is, or it is said why not."""

import asyncio
import io
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import pytest

from gateway.errors import MediaUndecodable, NotVideoContent, UpstreamFailed
from gateway.media.remux import Remuxes
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.tasks import Background
from tests.origin import encoding
from tests.origin.origin import Origin

CHILD = b"gateway.media.remux"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return Origin(tmp_path_factory.mktemp("origin"))  # for its clips; it is not started


class Room:
    """Spools and what takes sounds out of them, as wiring has them."""

    def __init__(self, folder: Path) -> None:
        self.background = Background()
        self.spools = Spools(folder, self.background, bytes_max=1 << 30, keep_s=60)
        self.remuxes = Remuxes()

    async def taken(self, video: bytes | Fill) -> tuple[str, bytes]:
        """The sound's type and bytes."""

        async def fill(spool: Spool) -> None:
            async with self.spools.open(object(), whole(video) if isinstance(video, bytes) else video) as of:
                await self.remuxes.fill(spool, of)

        async with self.spools.open(object(), fill) as spool:
            media_type = await spool.begun()
            return media_type, b"".join([chunk async for chunk in spool.chunks()])


def whole(body: bytes) -> Fill:
    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")
        step = max(1, len(body) // 10)
        for at in range(0, len(body), step):
            spool.append(body[at : at + step])
            await asyncio.sleep(0)

    return fill


def samples(media: bytes) -> list[Any]:
    with av.open(io.BytesIO(media)) as container:
        return [(frame.samples, bytes(frame.planes[0])) for frame in container.decode(audio=0)]


def children() -> list[int]:
    """The processes of ours that take sounds out now."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
            except OSError:
                continue
            if CHILD in line and int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.name))
    return found


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    yield room
    await room.background.close()
    room.spools.close()


@pytest.mark.parametrize("name", ["video", "speech", "video_moov_last", "video_fragmented"])
async def test_the_samples_are_the_videos_own(room: Room, origin: Origin, name: str) -> None:
    video = origin.clip(name)
    media_type, sound = await room.taken(video)
    assert media_type == "audio/mp4"
    assert sound[4:12] == b"ftypM4A "
    assert sound.index(b"moov") < sound.index(b"mdat")
    assert samples(sound) == samples(video)
    with av.open(io.BytesIO(sound)) as container:
        assert [stream.type for stream in container.streams] == ["audio"]
    assert len(sound) < len(video)
    assert await room.taken(video) == (media_type, sound), "the same bytes each time"


async def test_mp3_in_a_video_is_taken_out_as_mp3(room: Room, origin: Origin) -> None:
    made = io.BytesIO()
    with av.open(io.BytesIO(origin.clip("sound"))) as source, av.open(made, "w", format="mp4") as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    media_type, sound = await room.taken(made.getvalue())
    assert media_type == "audio/mpeg"
    with av.open(io.BytesIO(sound)) as container:
        assert container.streams.audio[0].codec_context.name.startswith("mp3")
        assert float((container.duration or 0) / av.time_base) == pytest.approx(
            encoding.duration_s(origin.clip("sound")), abs=0.1
        )


async def test_a_video_without_sound_is_said(room: Room, origin: Origin) -> None:
    with pytest.raises(NotVideoContent):
        await room.taken(encoding.remuxed(origin.clip("video"), only="video"))


@pytest.mark.parametrize("body", [b"<html>" * 1000, b"\0\0\0\x18ftypisom" + bytes(5000), b"x"])
async def test_what_is_not_media_is_said(room: Room, body: bytes) -> None:
    with pytest.raises(MediaUndecodable):
        await room.taken(body)


async def test_a_video_that_broke_is_never_half_a_sound(room: Room, origin: Origin) -> None:
    async def dies(spool: Spool) -> None:
        spool.begin("video/mp4")
        spool.append(origin.clip("video")[:-100])
        raise UpstreamFailed("the origin died")

    with pytest.raises(UpstreamFailed, match="the origin died"):
        await room.taken(dies)
    assert not children()


async def test_a_child_that_dies_is_an_error(room: Room, origin: Origin) -> None:
    async def killing() -> None:
        while not (found := children()):
            await asyncio.sleep(0.001)
        os.kill(found[0], signal.SIGKILL)

    async with asyncio.timeout(20):
        killer = asyncio.ensure_future(killing())
        with pytest.raises(UpstreamFailed, match="Ask again"):
            await room.taken(origin.clip("video"))
        await killer


async def test_a_reader_that_leaves_ends_its_child(room: Room, origin: Origin) -> None:
    asking = asyncio.ensure_future(room.taken(origin.clip("video")))
    async with asyncio.timeout(20):
        while not children():
            await asyncio.sleep(0.001)
        asking.cancel()
        while children():
            await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_many_at_once_take_turns(room: Room, origin: Origin) -> None:
    most = 0

    async def watching() -> None:
        nonlocal most
        while True:
            most = max(most, len(children()))
            await asyncio.sleep(0.01)

    watcher = asyncio.ensure_future(watching())
    sounds = await asyncio.gather(*(room.taken(origin.clip("video")) for _ in range(6)))
    watcher.cancel()
    assert len(set(sounds)) == 1
    assert most <= 2


@pytest.mark.parametrize("seed", range(6))
async def test_mutilated_media_are_an_error_or_a_sound(room: Room, origin: Origin, seed: int) -> None:
    video, places = bytearray(origin.clip("video")), random.Random(seed)
    for _ in range(200):
        at = places.randrange(len(video))
        video[at] ^= 0x5A
    with suppress(MediaUndecodable, NotVideoContent):
        media_type, _ = await room.taken(bytes(video))
        assert media_type == "audio/mp4"
