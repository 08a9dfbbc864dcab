import os
import shutil
from pathlib import Path

import pytest

from gateway.errors import Busy, Interrupted
from gateway.media.spool import Spool
from gateway.media.spools import Spools
from gateway.media.uploads import MEDIA_TYPE, Uploads
from gateway.tasks import Background
from tests.media.test_spool import BODY, pour, read
from tests.media.test_spool import background as background


@pytest.fixture
async def spools(tmp_path: Path, background: Background) -> Spools:
    return Spools(tmp_path / "spools", background, bytes_max=1 << 30, keep_s=60)


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", bytes_max=2 * len(BODY))


async def kept(spools: Spools, uploads: Uploads, id_: str) -> int:
    """Keeps a spool that is gone afterwards."""
    async with spools.open(id_, pour) as spool:
        spool.passing = True
        await spool.grown(1 << 40)
        return await uploads.keep(id_, spool)


async def test_a_file_outlives_its_spool_and_fills_another(
    spools: Spools, uploads: Uploads, tmp_path: Path
) -> None:
    size = await kept(spools, uploads, "a")
    assert spools.kept("a") is None
    file = tmp_path / "uploads" / "a"
    assert (size, file.read_bytes(), uploads.ids()) == (len(BODY), BODY, ("a",))
    again = Uploads(tmp_path / "uploads", bytes_max=0)  # of another process
    assert again.id == uploads.id
    for number in range(2):
        async with spools.open(number, again.fill("a", size)) as spool:
            spool.passing = True
            assert await spool.begun() == MEDIA_TYPE
            assert await read(spool) == BODY
            assert (spool.state, spool.length, spool.reserved) == ("whole", size, size)
            assert os.fstat(spool.fd).st_ino == file.stat().st_ino  # no byte twice on the disk
        assert file.read_bytes() == BODY
    again.drop("a")
    again.drop("a")
    assert again.ids() == ()


async def test_what_is_kept_has_a_bound(spools: Spools, uploads: Uploads) -> None:
    for id_ in ("a", "b"):
        await kept(spools, uploads, id_)
    with pytest.raises(Busy):
        await kept(spools, uploads, "c")
    uploads.drop("a")
    await kept(spools, uploads, "c")
    assert sorted(uploads.ids()) == ["b", "c"]


async def test_a_disk_that_does_not_keep_it_is_an_answer(
    spools: Spools, uploads: Uploads, tmp_path: Path
) -> None:
    (tmp_path / "uploads" / "a").touch()
    with pytest.raises(Busy):
        await kept(spools, uploads, "a")


@pytest.mark.parametrize("how", ["gone", "cut"])
async def test_a_file_that_is_not_as_it_was_is_told(
    spools: Spools, uploads: Uploads, tmp_path: Path, how: str
) -> None:
    size = await kept(spools, uploads, "a")
    if how == "gone":
        uploads.drop("a")
    else:
        (tmp_path / "uploads" / "a").write_bytes(BODY[:-1])
    async with spools.open("again", uploads.fill("a", size)) as spool:
        with pytest.raises(Interrupted):
            await read(spool)


async def test_a_spool_without_room_takes_no_file(uploads: Uploads, tmp_path: Path, spools: Spools) -> None:
    size = await kept(spools, uploads, "a")
    background = Background()
    small = Spools(tmp_path / "small", background, bytes_max=size - 1, keep_s=60)
    async with small.open("a", uploads.fill("a", size)) as spool:
        with pytest.raises(Busy):
            await read(spool)
    await background.close()


async def test_only_what_was_seen_and_is_not_wanted_is_swept(spools: Spools, uploads: Uploads) -> None:
    await kept(spools, uploads, "a")
    seen = uploads.ids()
    await kept(spools, uploads, "b")  # whose job was not looked for
    assert uploads.sweep(seen, {"a"}) == 0
    assert uploads.sweep(seen, ()) == 1
    assert uploads.ids() == ("b",)


def test_two_folders_are_told_apart(tmp_path: Path) -> None:
    assert Uploads(tmp_path / "a", bytes_max=1).id != Uploads(tmp_path / "b", bytes_max=1).id


async def test_a_process_that_died_is_known_by_its_spools(tmp_path: Path, background: Background) -> None:
    first = Spools(tmp_path, background, bytes_max=1, keep_s=1)
    lives = Spools(tmp_path, background, bytes_max=1, keep_s=1)
    assert lives.dead == ()
    os.close(first._lock)  # as its death does
    assert Spools(tmp_path, background, bytes_max=1, keep_s=1).dead == (first.name,)


@pytest.mark.parametrize("how", ["copied", "of another boot"])
async def test_a_process_whose_folder_was_copied_is_not_called_dead(
    tmp_path: Path, background: Background, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Spools(tmp_path / "first", background, bytes_max=1, keep_s=1)
    if how == "copied":
        shutil.copytree(tmp_path / "first", tmp_path / "copy")
    else:  # the whole disk was, for another machine
        (tmp_path / "first").rename(tmp_path / "copy")
        os.close(lives._lock)
        (tmp_path / "boot").write_text("another\n")
        monkeypatch.setattr("gateway.media.spools.BOOT", tmp_path / "boot")
    again = Spools(tmp_path / "copy", background, bytes_max=1, keep_s=1)
    assert again.dead == ()
    assert [path.name for path in (tmp_path / "copy").glob("spools-*")] == [again.name]


async def test_what_is_left_to_another_is_not_swept(tmp_path: Path, background: Background) -> None:
    first = Spools(tmp_path, background, bytes_max=1, keep_s=1)
    os.close(first._lock)
    assert Spools(tmp_path, background, bytes_max=1, keep_s=1, sweep=False).dead == ()
    assert Spools(tmp_path, background, bytes_max=1, keep_s=1).dead == (first.name,)


def test_a_file_that_was_taken_outlives_the_spool_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)

    class Room:
        def taken(self, more: int) -> bool:
            return True

        def given_back(self, less: int) -> None:
            assert less == 0

        def cleared(self, wanted: int) -> bool:
            return False

    spool = Spool(tmp_path / "spool", Room())
    spool.adopt(tmp_path / "file", MEDIA_TYPE)
    spool.finish()
    spool.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"x" * 10
