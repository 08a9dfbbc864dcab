import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from gateway.errors import Busy, GatewayError, UpstreamFailed
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.tasks import Background

BODY = random.Random(1).randbytes(700_001)


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    background = Background()
    yield background
    await background.close()


def made(folder: Path, background: Background, *, bytes_max: int = 1 << 30, keep_s: float = 60) -> Spools:
    return Spools(folder, background, bytes_max=bytes_max, keep_s=keep_s)


async def read(spool: Spool, start: int = 0) -> bytes:
    async with aclosing(spool.chunks(start)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def pour(spool: Spool, body: bytes = BODY, pieces: int = 7) -> None:
    spool.begin("video/mp4")
    for at in range(0, len(body), len(body) // pieces + 1):
        spool.append(body[at : at + len(body) // pieces + 1])
        await asyncio.sleep(0)


async def test_many_readers_of_any_start_get_the_same_bytes(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)
    fills = 0

    async def fill(spool: Spool) -> None:
        nonlocal fills
        fills += 1
        await pour(spool)

    async def reader(start: int) -> bytes:
        async with spools.open("a", fill) as spool:
            return await read(spool, start)

    starts = [0, 1, 5, 300_000, len(BODY)] * 3
    bodies = await asyncio.gather(*(reader(start) for start in starts))
    assert bodies == [BODY[start:] for start in starts]
    assert await reader(0) == BODY
    assert fills == 1
    spools.close()


async def test_a_spool_is_kept_while_it_grows_and_when_it_is_whole(
    tmp_path: Path, background: Background
) -> None:
    spools = made(tmp_path, background)

    async def fails(spool: Spool) -> None:
        raise UpstreamFailed

    assert spools.kept("a") is None
    async with spools.open("a", pour) as spool:
        assert spools.kept("a") is spool
        await read(spool)
    assert spools.kept("a") is spool
    async with spools.open("b", fails) as spool:
        with pytest.raises(UpstreamFailed):
            await spool.begun()
        assert spools.kept("b") is None
    spools.close()


@pytest.mark.parametrize("told", [None, '"origin"'])
async def test_its_tag_is_the_origins_or_of_the_whole_bytes(
    told: str | None, tmp_path: Path, background: Background
) -> None:
    spools, go_on = made(tmp_path, background), asyncio.Event()

    async def fill(spool: Spool) -> None:
        spool.etag = told
        spool.begin("video/mp4")
        spool.append(BODY)
        await go_on.wait()

    async with spools.open("a", fill) as spool:
        await spool.begun()
        assert await spool.tag() == told
        go_on.set()
        await read(spool)
        assert await spool.tag() == (told or f'"{hashlib.sha256(BODY).hexdigest()}"')
    async with spools.open("a", pour) as spool:  # kept with it
        assert spool.etag is not None
    spools.close()


async def test_a_broken_spool_gives_its_good_bytes_and_then_raises(
    tmp_path: Path, background: Background
) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        await pour(spool, b"good")
        raise UpstreamFailed("cut")

    async with spools.open("a", fill) as spool:
        got = b""
        with pytest.raises(UpstreamFailed, match="cut"):
            async for chunk in spool.chunks():
                got += chunk
        assert got == b"good"
    async with spools.open("a", pour) as spool:  # not cached: read again
        assert await read(spool) == BODY
    spools.close()


async def test_a_failure_not_foreseen_breaks_too(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        raise RuntimeError("a bug")

    async with spools.open("a", fill) as spool:
        with pytest.raises(UpstreamFailed):
            await spool.begun()
    spools.close()


async def test_an_empty_file_is_a_failure(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")

    async with spools.open("a", fill) as spool:
        with pytest.raises(UpstreamFailed):
            await spool.begun()
    spools.close()


async def test_the_last_reader_to_leave_ends_the_read(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)
    ended = asyncio.Event()

    async def fill(spool: Spool) -> None:
        try:
            await pour(spool, b"some")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with spools.open("a", fill) as first:
        async with spools.open("a", fill) as second:
            assert first is second
        await asyncio.sleep(0.01)
        assert not ended.is_set()
        path = first.path
    await asyncio.wait_for(ended.wait(), 5)
    assert not path.exists()
    spools.close()


async def test_the_disk_is_bounded_and_the_least_wanted_goes_first(
    tmp_path: Path, background: Background
) -> None:
    spools = made(tmp_path, background, bytes_max=250)
    fills: list[str] = []

    async def get(key: str) -> None:
        async def fill(spool: Spool) -> None:
            fills.append(key)
            spool.expect(100)
            await pour(spool, b"x" * 100)

        async with spools.open(key, fill) as spool:
            await read(spool)

    for key in ("a", "b", "a", "c", "a", "b"):
        await get(key)
    assert fills == ["a", "b", "c", "b"]  # c put out b, which was wanted less lately than a
    assert sum(path.stat().st_size for path in tmp_path.glob("spools-*/*")) <= 250
    spools.close()


async def test_no_room_is_busy_and_what_is_read_is_never_put_out(
    tmp_path: Path, background: Background
) -> None:
    spools = made(tmp_path, background, bytes_max=150)

    async def fill(spool: Spool) -> None:
        spool.expect(100)
        await pour(spool, b"x" * 100)

    async with spools.open("a", fill) as held:
        await read(held)
        async with spools.open("b", fill) as spool:
            with pytest.raises(Busy) as caught:
                await spool.begun()
            assert caught.value.retry_after_s
        assert await read(held) == b"x" * 100
    async with spools.open("b", fill) as spool:
        assert await read(spool) == b"x" * 100
    spools.close()


async def test_old_spools_go_and_dead_processes_spools_are_swept(
    tmp_path: Path, background: Background
) -> None:
    left = tmp_path / "spools-dead"
    left.mkdir()
    (left / "1").write_bytes(b"x")
    spools = made(tmp_path, background, keep_s=0)
    beside = made(tmp_path, background)
    assert not left.exists()
    async with spools.open("a", pour) as spool:
        await read(spool)
        spools.sweep()
        assert spool.path.exists()
    await asyncio.sleep(0.01)
    spools.sweep()
    assert not spool.path.exists()
    spools.close()
    beside.close()
    assert [path.name for path in tmp_path.iterdir()] == [".sweep"]


async def test_a_full_disk_is_told_as_ours(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        spool.begin("video/mp4")
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, spool.fd)  # a disk that is really full, as the kernel plays it
        os.close(full)
        spool.append(b"x")

    async with spools.open("a", fill) as spool:
        with pytest.raises(Busy):
            await spool.begun()
    spools.close()


async def test_a_spool_that_nobody_reads_holds_no_descriptor(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for key in range(50):
        async with spools.open(key, pour) as spool:
            await read(spool)
    assert descriptors() == before
    async with spools.open(7, pour) as first, spools.open(7, pour) as second:
        assert await read(first) == await read(second) == BODY
    assert descriptors() == before
    spools.close()


async def test_a_disk_that_fills_up_puts_finished_spools_out(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        spool.expect(100)
        await pour(spool, b"x" * 100)

    async with spools.open("old", fill) as old:
        await read(old)

    async def filling_up(spool: Spool) -> None:
        spool.begin("video/mp4")
        real, full = os.dup(spool.fd), os.open("/dev/full", os.O_RDWR)
        os.dup2(full, spool.fd)
        cleared = spools.cleared

        def room_again(wanted: int) -> bool:
            os.dup2(real, spool.fd)  # what was put out made room
            return cleared(wanted)

        spools.cleared = room_again  # type: ignore[method-assign]
        spool.append(b"y" * 50)
        os.close(real)
        os.close(full)

    async with spools.open("new", filling_up) as spool:
        assert await read(spool) == b"y" * 50
    assert not old.path.exists()
    spools.close()


@pytest.mark.parametrize("seed", range(30))
async def test_readers_that_come_and_go_leave_nothing_behind(
    tmp_path: Path, background: Background, seed: int
) -> None:
    chance = random.Random(seed)
    spools = made(tmp_path, background, bytes_max=2_000)

    async def fill(spool: Spool) -> None:
        if chance.random() < 0.5:
            spool.expect(300)
        await pour(spool, b"x" * 300)
        if chance.random() < 0.2:
            raise UpstreamFailed

    async def reader() -> None:
        with suppress(GatewayError):
            async with spools.open(chance.randrange(6), fill) as spool:
                async with aclosing(spool.chunks()) as chunks:
                    got = b""
                    async for chunk in chunks:
                        got += chunk
                        for _ in range(chance.randrange(3)):
                            await asyncio.sleep(0)
                assert got == b"x" * 300

    async def leaving() -> None:
        task = asyncio.create_task(reader())
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(leaving() if chance.random() < 0.4 else reader() for _ in range(60)))
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("spools-*/[0-9]*"))
    assert on_disk <= spools._bytes <= 2_000
    spools.close()
    assert spools._bytes == 0
    assert [path.name for path in tmp_path.iterdir()] == [".sweep"]


@pytest.mark.parametrize(("arrived", "kept"), [(95, True), (50, False)])
async def test_a_read_that_is_nearly_done_is_finished_when_everybody_has_left(
    tmp_path: Path, background: Background, arrived: int, kept: bool
) -> None:
    spools, go_on = made(tmp_path, background), asyncio.Event()

    async def fill(spool: Spool) -> None:
        spool.expect(100)
        spool.begin("video/mp4")
        spool.append(b"x" * arrived)
        await go_on.wait()
        spool.append(b"x" * (100 - arrived))

    async with spools.open("a", fill) as spool:
        await spool.begun()
    go_on.set()
    await asyncio.sleep(0.01)
    assert (spools.kept("a") is spool) is kept
    assert (spool.state == "whole") is kept
    assert spool.fd == -1
    spools.close()
    assert spools._bytes == 0


async def test_what_was_announced_too_much_is_given_back(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        spool.expect(1_000_000)  # by an answer that was not the media
        spool.expect(100)
        await pour(spool, b"x" * 100)

    async with spools.open("a", fill) as spool:
        assert await read(spool) == b"x" * 100
        assert spool.path.stat().st_size == 100
    assert spools._bytes == 100
    spools.close()


async def test_a_passing_spool_is_not_kept(tmp_path: Path, background: Background) -> None:
    spools = made(tmp_path, background)

    async def fill(spool: Spool) -> None:
        spool.passing = True
        await pour(spool)

    async with spools.open("a", fill) as spool:
        assert await read(spool) == BODY
    assert spools.kept("a") is None
    spools.close()
