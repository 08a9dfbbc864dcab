import asyncio
import io
import math
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from gateway.errors import GatewayError, MediaUndecodable, SpeechFailed, UpstreamFailed
from gateway.media.audio import RATE, Decoders
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.tasks import Background
from tests.origin.origin import Origin


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return Origin(tmp_path_factory.mktemp("origin"))  # for its clips; it is not started


class Room:
    """Spools and decoders, as wiring has them."""

    def __init__(self, folder: Path) -> None:
        self.background = Background()
        self.spools = Spools(folder, self.background, bytes_max=1 << 30, keep_s=60)
        self.decoders = Decoders(self.background)

    async def heard(
        self, body: bytes, *, stop_at: int | None = None, gate: asyncio.Event | None = None
    ) -> bytes:
        """The samples of a body that arrives in pieces; it breaks, or waits for the gate, at `stop_at`."""
        async with AsyncExitStack() as stack:
            spool = await stack.enter_async_context(
                self.spools.open(object(), _arriving(body, stop_at, gate))
            )
            samples = await stack.enter_async_context(aclosing(self.decoders.samples(spool)))
            got = b""
            async for chunk in samples:
                assert len(chunk) % 2 == 0
                got += chunk
                if gate is not None:
                    gate.set()
            return got


def _arriving(body: bytes, stop_at: int | None, gate: asyncio.Event | None):  # type: ignore[no-untyped-def]
    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")
        step = max(1, len(body) // 40)
        for at in range(0, len(body), step):
            if stop_at is not None and at >= stop_at:
                if gate is None:
                    raise UpstreamFailed("the origin died")
                await gate.wait()
            spool.append(body[at : at + step])
            await asyncio.sleep(0)

    return fill


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path)
    room.decoders.start()
    yield room
    await room.background.close()
    await room.decoders.close()
    room.spools.close()


def tone(seconds: float, rate: int = 44_100) -> bytes:
    """A WAV file of a tone."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        for n in range(int(seconds * rate)):
            value = int(9000 * math.sin(n / 20))
            file.writeframes(struct.pack("<hh", value, value))
    return data.getvalue()


@pytest.mark.parametrize("name", ["video", "video_moov_last", "video_fragmented"])
async def test_every_layout_of_a_file_is_decoded_whole_while_it_arrives(
    room: Room, origin: Origin, name: str
) -> None:
    (body,) = origin.parts(name)
    seconds = len(await room.heard(body)) / 2 / RATE
    assert seconds == pytest.approx(9.0, abs=0.2)


async def test_a_photo_posts_sound_is_decoded(room: Room, origin: Origin) -> None:
    sound = origin.parts("photo3")[-1]
    assert len(await room.heard(sound)) > RATE


@pytest.mark.parametrize("name", ["video", "video_fragmented"])
async def test_samples_come_before_the_file_has_ended(room: Room, origin: Origin, name: str) -> None:
    (body,) = origin.parts(name)
    # the second half arrives only once samples of the first have been heard
    async with asyncio.timeout(30):
        heard = await room.heard(body, stop_at=len(body) // 2, gate=asyncio.Event())
    assert len(heard) / 2 / RATE == pytest.approx(9.0, abs=0.2)


async def test_a_wav_is_resampled_to_its_length(room: Room) -> None:
    assert len(await room.heard(tone(3.0))) / 2 == pytest.approx(3 * RATE, abs=RATE * 0.01)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("name", ["video", "video_moov_last", "video_fragmented"])
async def test_a_broken_spool_is_an_error_never_an_end(
    room: Room, origin: Origin, name: str, share: float
) -> None:
    (body,) = origin.parts(name)
    with pytest.raises(UpstreamFailed, match="the origin died"):
        await room.heard(body, stop_at=int(len(body) * share))


@pytest.mark.parametrize("body", [b"<html>" * 1000, b"\0\0\0\x18ftypisom" + bytes(5000), b"x"])
async def test_what_is_not_media_is_said(room: Room, body: bytes) -> None:
    with pytest.raises(MediaUndecodable):
        await room.heard(body)


async def test_a_corrupt_stretch_costs_itself_only(room: Room, origin: Origin) -> None:
    sound = origin.parts("photo3")[-1]
    whole = len(await room.heard(sound))
    middle = len(sound) // 2
    hurt = sound[:middle] + bytes(2000) + sound[middle + 2000 :]
    assert len(await room.heard(hurt)) > whole * 0.7


async def test_a_picture_without_sound_is_said(room: Room, origin: Origin) -> None:
    with pytest.raises(GatewayError):
        await room.heard(origin.parts("photo3")[0])


async def test_a_decoder_that_dies_is_an_error(room: Room, origin: Origin) -> None:
    (body,) = origin.parts("video")
    gate = asyncio.Event()
    async with room.spools.open("a", _arriving(body, 1000, gate)) as spool:
        samples = room.decoders.samples(spool)
        first = asyncio.ensure_future(anext(samples))
        await asyncio.sleep(0.2)
        (child,) = list(room.decoders.running)
        child.kill()
        with pytest.raises(SpeechFailed):
            await first


async def test_a_reader_that_leaves_ends_its_decoder(room: Room, origin: Origin) -> None:
    (body,) = origin.parts("video")
    async with room.spools.open("a", _arriving(body, len(body) - 1, asyncio.Event())) as spool:
        async with aclosing(room.decoders.samples(spool)) as samples:
            await anext(samples)
            assert len(room.decoders.running) == 1
        assert not room.decoders.running


async def test_a_sound_that_names_a_socket_opens_none(room: Room) -> None:
    """ffmpeg knows session descriptions: it would bind the port that such a file names."""
    session = b"\xff\xfb\x10\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n"
    session += b"t=0 0\nm=audio 9480 RTP/AVP 0\n"
    with pytest.raises(MediaUndecodable):
        await room.heard(session + bytes(4000))
    assert "0100007F:2508" not in Path("/proc/net/udp").read_text()
