import asyncio
import io
import math
import os
import signal
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import msgspec
import pytest

from gateway.errors import GatewayError, MediaUndecodable, SpeechFailed, UpstreamFailed, VideoTooLong
from gateway.media.audio import RATE, Decoders
from gateway.media.nursery import Nursery
from gateway.media.samples import END, FRAME, Told
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.tasks import Background
from tests.media.sounds import FORWARDS, WHOLE, sound
from tests.origin.origin import Origin
from tests.web.conftest import until


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
        self,
        body: bytes,
        *,
        stop_at: int | None = None,
        gate: asyncio.Event | None = None,
        seconds_max: float | None = None,
        got: bytearray | None = None,
    ) -> bytes:
        """The samples of a body that arrives in pieces; it breaks, or waits for the gate, at `stop_at`.

        They are put to `got`, for those that raise in the end.
        """
        got = bytearray() if got is None else got
        async with AsyncExitStack() as stack:
            spool = await stack.enter_async_context(
                self.spools.open(object(), _arriving(body, stop_at, gate))
            )
            samples = await stack.enter_async_context(
                aclosing(self.decoders.samples(spool, seconds_max=seconds_max))
            )
            async for chunk in samples:
                assert len(chunk) % 2 == 0
                got += chunk
                if gate is not None:
                    gate.set()
        return bytes(got)


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
    room.decoders.load()
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


async def test_a_spool_that_breaks_within_its_index_is_an_error_at_once(
    room: Room, origin: Origin, capfd: pytest.CaptureFixture[str]
) -> None:
    """What PyAV says of it goes to a file here, which a decoder may not write."""
    async with asyncio.timeout(20):
        with pytest.raises(UpstreamFailed, match="the origin died"):
            await room.heard(origin.parts("video")[0][:2000], stop_at=1900)
    assert "Traceback" not in capfd.readouterr().err


async def test_a_decoder_that_dies_is_an_error(room: Room, origin: Origin) -> None:
    (body,) = origin.parts("video")
    gate = asyncio.Event()
    async with room.spools.open("a", _arriving(body, 1000, gate)) as spool:
        samples = room.decoders.samples(spool)
        first = asyncio.ensure_future(anext(samples))
        await until(lambda: bool(room.decoders.running))
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


@pytest.mark.parametrize("form", FORWARDS, ids=lambda form: "-".join(form[:2]))
async def test_a_form_that_needs_no_index_is_heard_while_it_arrives(
    room: Room, form: tuple[str, str, int]
) -> None:
    body = sound(*form, seconds=10)
    async with asyncio.timeout(30):
        heard = await room.heard(body, stop_at=len(body) // 2, gate=asyncio.Event())
    assert len(heard) / 2 / RATE == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("form", WHOLE, ids=lambda form: "-".join(form[:2]))
async def test_a_form_with_its_index_last_is_heard_once_it_is_whole(
    room: Room, form: tuple[str, str, int]
) -> None:
    body = sound(*form, seconds=10)
    assert len(await room.heard(body)) / 2 / RATE == pytest.approx(10, abs=0.1)
    with pytest.raises(UpstreamFailed, match="the origin died"):
        await room.heard(body, stop_at=len(body) * 3 // 4)


async def test_a_sound_that_changes_its_form_is_heard_on(room: Room) -> None:
    """As a broadcast does between programmes."""
    body = sound("mp3", "libmp3lame", 44_100, 2) + sound("mp3", "libmp3lame", 44_100, 2, "stereo")
    assert len(await room.heard(body)) / 2 / RATE == pytest.approx(4, abs=0.2)


async def test_a_sound_that_is_too_long_is_said_when_it_is(room: Room) -> None:
    got = bytearray()
    with pytest.raises(VideoTooLong, match="longer than 5 seconds"):
        await room.heard(tone(9.0), seconds_max=5, got=got)
    assert 4 <= len(got) / 2 / RATE <= 6  # a codec's last frame is forgiven
    assert not room.decoders.running


async def test_a_header_that_lies_about_the_length_does_not_help(room: Room) -> None:
    body = bytearray(tone(9.0))
    body[40:44] = struct.pack("<I", 44_100 * 4)  # the data's size: a second
    body[4:8] = struct.pack("<I", 44_100 * 4 + 36)
    assert len(await room.heard(bytes(body), seconds_max=2)) / 2 / RATE <= 3
    body[40:44] = b"\xff\xff\xff\xff"  # as a recorder writes that does not know it
    with pytest.raises(VideoTooLong):
        await room.heard(bytes(body), seconds_max=5)


async def test_a_sound_of_just_the_length_is_heard(room: Room) -> None:
    body = sound("mp3", "libmp3lame", 44_100, 9)
    assert len(await room.heard(body, seconds_max=9)) / 2 / RATE == pytest.approx(9, abs=0.1)


async def test_what_comes_before_an_error_is_kept(room: Room, origin: Origin) -> None:
    """Frames that are none, in a row, from the middle on."""
    (body,) = origin.parts("speech")
    whole = await room.heard(body)
    media = body.index(b"mdat")
    middle = (media + len(body)) // 2
    hurt = body[:middle] + b"\xff" * (len(body) - middle)
    got = bytearray()
    with pytest.raises(MediaUndecodable):
        await room.heard(hurt, got=got)
    assert len(got) > len(whole) / 3
    assert whole[: len(got)].startswith(got[: len(got) - RATE // 10])


async def test_a_decoder_that_dies_is_an_error_of_its_sound_only(room: Room) -> None:
    async with AsyncExitStack() as stack:

        async def begun() -> AsyncIterator[bytes]:
            spool = await stack.enter_async_context(
                room.spools.open(object(), _arriving(tone(9.0), 900_000, gate))
            )
            samples = await stack.enter_async_context(aclosing(room.decoders.samples(spool)))
            assert await anext(samples)
            return samples

        gate = asyncio.Event()
        first = await begun()
        (child,) = room.decoders.running
        second = await begun()
        child.kill()
        with pytest.raises(SpeechFailed):
            async for _ in first:
                pass
        gate.set()
        assert sum([len(data) async for data in second]) / 2 / RATE > 8


async def test_a_nursery_that_dies_costs_no_sound(room: Room) -> None:
    gate = asyncio.Event()
    async with (
        room.spools.open("a", _arriving(tone(9.0), 900_000, gate)) as spool,
        aclosing(room.decoders.samples(spool)) as samples,
    ):
        heard = len(await anext(samples))
        (child,) = room.decoders.running
        os.kill(os.getpgid(child.pid), signal.SIGKILL)
        assert len(await room.heard(tone(3.0))) / 2 == pytest.approx(3 * RATE, abs=RATE * 0.01)
        gate.set()
        heard += sum([len(data) async for data in samples])
    assert heard / 2 == pytest.approx(9 * RATE, abs=RATE * 0.01)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{there}\n#EXT-X-ENDLIST\n"
SCRIPT = "ffconcat version 1.0\nfile {there}\n"


@pytest.mark.parametrize("text", [PLAYLIST, SCRIPT])
async def test_a_list_of_other_places_is_refused_and_none_is_asked(room: Room, text: str) -> None:
    asked = asyncio.Event()
    server = await asyncio.start_server(lambda *_: asked.set(), "127.0.0.1", 0)
    async with server:
        there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/there.ts"
        with pytest.raises(MediaUndecodable):
            await room.heard(text.format(there=there).encode())
    assert not asked.is_set()


async def test_a_list_of_other_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself, ffmpeg opens what a script names beside it; that is where the decoder was started."""
    (tmp_path / "there.ts").write_bytes(sound("mpegts", "aac", 44_100, 9))
    monkeypatch.chdir(tmp_path)
    room = Room(tmp_path / "spools")
    with pytest.raises(MediaUndecodable):
        await room.heard(SCRIPT.format(there="there.ts").encode())
    await room.background.close()
    await room.decoders.close()
    room.spools.close()


async def test_media_can_open_and_write_nothing(room: Room) -> None:
    gate = asyncio.Event()
    async with (
        room.spools.open("a", _arriving(tone(9.0), 900_000, gate)) as spool,
        aclosing(room.decoders.samples(spool, seconds_max=600)) as samples,
    ):
        await anext(samples)
        (child,) = room.decoders.running
        limits = Path(f"/proc/{child.pid}/limits").read_text()
    soft = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert (soft["Max open files"], soft["Max file size"], soft["Max core file size"]) == ("0", "0", "0")
    assert int(soft["Max cpu time"]) == 120
    assert 1 << 30 < int(soft["Max address space"]) < 2 << 30


async def test_a_header_that_claims_a_machines_memory_is_an_error_of_its_sound(room: Room) -> None:
    """An index of fifty million samples in a few kilobytes: 1.7 GB, once it is built."""
    body = bytearray(sound("3gp", "libopencore_amrnb", 8000, 1))
    for box, place in ((b"stsz", 12), (b"stsc", 16)):
        at = body.index(box) + place
        body[at : at + 4] = struct.pack(">I", 50_000_000)
    with pytest.raises((MediaUndecodable, SpeechFailed)):
        await room.heard(bytes(body))
    assert await room.heard(tone(1.0))


async def test_a_sound_that_takes_too_much_work_is_ended(tmp_path: Path) -> None:
    """Hours of silence in a file of holes, and a second of CPU for them."""
    path, background = tmp_path / "long.wav", Background()
    path.write_bytes(tone(0.1)[:40] + b"\xff\xff\xff\xff")
    os.truncate(path, 3 << 30)
    nursery = Nursery("gateway.media.decoder", background)
    async with nursery.child() as child:
        told = Told(3 << 30, "whole", str(path), 1)
        child.stdin.write(msgspec.json.encode(told) + b"\n")
        kinds = []
        with pytest.raises(asyncio.IncompleteReadError):
            while True:
                kind, length = FRAME.unpack(await child.stdout.readexactly(FRAME.size))
                await child.stdout.readexactly(length)
                kinds.append(kind)
    assert kinds
    assert END not in kinds
    await background.close()
    await nursery.close()
