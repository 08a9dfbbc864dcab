"""Files of the client: a name from the wire is one plain file in the folder that was asked for."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from clipwire import files
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.sampling import SAMPLE

DEVICE = r"(?i)(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³]) *(\.|$)"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("someone_7.mp4", "someone_7.mp4"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..", "part"),
        ("a/..", "part"),
        ("", "part"),
        (" . ", "part"),
        ("C:\\x", "x"),
        ("C:x.mp4", "C_x.mp4"),
        ("\\\\host\\share\\x.mp4", "x.mp4"),
        ("CON", "_CON"),
        ("CON.mp4", "_CON.mp4"),
        ("nul .mp4", "_nul .mp4"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("com¹.mp4", "_com¹.mp4"),
        ("console.mp4", "console.mp4"),
        (".hidden", "hidden"),
        ("...hidden.mp4", "hidden.mp4"),
        ("-rf.mp4", "rf.mp4"),
        ("~root.mp4", "root.mp4"),
        ("a.mp4 . ", "a.mp4"),
        ("a.mp4:stream", "a.mp4_stream"),
        ("a\r\nb\x00\x7f.mp4", "ab.mp4"),
        ("Grüße 世界 🎬.mp4", "Grüße 世界 🎬.mp4"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("\u200b.mp4", "mp4"),
        ("\ud800.mp4", "mp4"),
        ("a" * 300 + ".mp4", "a" * 196 + ".mp4"),
        ("a" * 300 + ".mp4. ", "a" * 196 + ".mp4"),
        ("世" * 300 + ".mp4", "世" * 65 + ".mp4"),
        ("a." + "b" * 300, "a." + "b" * 19),
    ],
)
def test_a_name_becomes_a_safe_one(name: str, safe: str) -> None:
    assert files.safe_name(name) == safe


@pytest.mark.soak
@SAMPLE
@given(name=st.text(st.characters(), max_size=300) | st.text('./\\: <>|?*"-~conauxlpt19', max_size=40))
def test_any_name_is_one_plain_file_everywhere(name: str) -> None:
    safe = files.safe_name(name)
    assert PurePosixPath(safe).parts == (safe,)
    assert PureWindowsPath(safe).parts == (safe,)
    assert 0 < len(safe.encode()) <= 200
    assert safe[0] not in ".-~ "
    assert safe[-1] not in ". "
    assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]', safe)
    assert not re.match(DEVICE, safe)
    assert files.safe_name(safe) == safe


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk


def ignored(size: int) -> None:
    pass


async def test_large_chunks_are_written_in_order(tmp_path: Path) -> None:
    given = [bytes([n]) * 700_000 for n in range(9)]
    await files.save(chunks(*given), tmp_path / "a", ignored)
    assert (tmp_path / "a").read_bytes() == b"".join(given)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


async def test_a_failing_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: files.Draft, chunks: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Draft, "write", full)
    with pytest.raises(OSError, match="No space"):
        await files.save(chunks(b"x"), tmp_path / "a", ignored)
    assert not list(tmp_path.iterdir())


async def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        await files.save(chunks(b"x"), tmp_path / "a", ignored)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


async def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    await files.save(chunks(b"x"), tmp_path / "a", ignored)
    assert (tmp_path / "other").read_bytes() == b"other"
    assert (tmp_path / "a").read_bytes() == b"x"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("step", ["open", "write", "keep"])
async def test_a_cancellation_waits_for_the_disk_and_leaves_no_draft(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    plain = getattr(files.Draft, step)

    def slow(*given: object) -> None:
        began.set()
        assert go_on.wait(30)
        plain(*given)

    monkeypatch.setattr(files.Draft, step, slow)
    saving = asyncio.create_task(files.save(chunks(b"x"), tmp_path / "a", ignored))
    assert await asyncio.to_thread(began.wait, 30)
    saving.cancel()
    await asyncio.sleep(0.05)  # time to do wrong
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(saving, 30)
    kept = [tmp_path / "a"] if step == "keep" else []  # whole by then
    assert list(tmp_path.iterdir()) == kept


async def test_two_saves_of_one_name_at_a_time_are_both_whole(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"first"
        await held.wait()
        yield b" whole"

    first = asyncio.create_task(files.save(waiting(), tmp_path / "a", ignored))
    await files.save(chunks(b"second"), tmp_path / "a", ignored)
    assert (tmp_path / "a").read_bytes() == b"second"
    held.set()
    await asyncio.wait_for(first, 30)
    assert (tmp_path / "a").read_bytes() == b"first whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
