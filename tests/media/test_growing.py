import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.growing import Broken, Growing
from gateway.media.samples import Told

BODY = bytes(range(256)) * 4


def growing(path: Path, sizes: list[int], end: str) -> Growing:
    """A file of which a reader is told that it grows to these sizes, and ends so."""
    path.write_bytes(BODY)
    told = [Told(0, "growing", str(path), 60), *(Told(size, "growing") for size in sizes)]
    told.append(Told(sizes[-1] if sizes else 0, end))  # type: ignore[arg-type]
    return Growing(io.BytesIO(b"".join(msgspec.json.encode(one) + b"\n" for one in told)))


@given(st.lists(st.integers(0, len(BODY)), min_size=1).map(sorted), st.integers(1, 2000))
def test_what_has_arrived_is_read_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], length: int
) -> None:
    file = growing(tmp_path_factory.getbasetemp() / "file", sizes, "whole")
    got = b""
    while data := file.read(length):
        assert len(data) <= length
        got += data
    assert got == BODY[: sizes[-1]]


def test_a_broken_file_raises_after_its_last_byte(tmp_path: Path) -> None:
    file = growing(tmp_path / "file", [100, 300], "broken")
    assert b"".join(file.read(60) for _ in range(6)) == BODY[:300]
    with pytest.raises(Broken):
        file.read(1)


def test_looking_ahead_moves_nothing(tmp_path: Path) -> None:
    file = growing(tmp_path / "file", [100, 300], "whole")
    assert file.peek(200, 50) == BODY[200:250]
    assert file.peek(290, 50) == BODY[290:300]
    assert file.peek(400, 50) == b""
    assert file.read(10) == BODY[:10]


def test_a_whole_file_is_waited_for_and_begins_at_its_beginning(tmp_path: Path) -> None:
    file = growing(tmp_path / "file", [100, len(BODY)], "whole")
    assert file.read(10) == BODY[:10]
    assert file.whole().read() == BODY


def test_a_file_that_breaks_is_never_whole(tmp_path: Path) -> None:
    with pytest.raises(Broken):
        growing(tmp_path / "file", [100, 300], "broken").whole()
