import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media import index
from tests.media.sounds import FORWARDS, WHOLE, sound


def last(data: bytes) -> bool:
    return index.last(lambda at, length: data[at : at + length])


def box(kind: bytes, length: int = 8) -> bytes:
    return struct.pack(">I4s", length, kind) + bytes(max(0, length - 8))


def chunk(kind: bytes, length: int = 0) -> bytes:
    return struct.pack(">4sq", kind, length) + bytes(max(0, length))


CAF = b"caff\0\1\0\0" + chunk(b"desc", 32)


@pytest.mark.parametrize(
    ("data", "waits"),
    [
        (box(b"ftyp", 24) + box(b"moov", 60) + box(b"mdat", 99), False),
        (box(b"ftyp", 24) + box(b"free") + box(b"mdat", 99) + box(b"moov"), True),
        (box(b"ftyp", 24) + box(b"uuid", 4000) + box(b"moof"), False),
        (box(b"ftyp", 24) + box(b"mdat", 0), True),  # to the end
        (box(b"ftyp", 24) + struct.pack(">I4sQ", 1, b"free", 20) + bytes(4) + box(b"moov"), False),
        (box(b"ftyp", 24) + box(b"free", 3) + box(b"mdat"), False),  # no box
        (box(b"wide") + box(b"mdat", 99), True), (box(b"mdat", 99), True), (box(b"moov", 99), False),
        (CAF + chunk(b"pakt", 30) + chunk(b"data", 99), False),
        (CAF + chunk(b"free", 9) + chunk(b"data", 99), True),
        (CAF + chunk(b"data", -1), True), (CAF + chunk(b"free", -1), False), (CAF, False),
        (b"wvpk" + bytes(28), True), (b"RIFF\0\0\0\0WAVE", False), (b"<html>", False), (b"", False),
    ],
)  # fmt: skip
def test_an_index_behind_its_media_is_seen(data: bytes, waits: bool) -> None:
    assert last(data) is waits


@pytest.mark.parametrize("form", FORWARDS, ids=lambda form: "-".join(form[:2]))
def test_most_forms_need_not_wait(form: tuple[str, str, int]) -> None:
    assert not last(sound(*form, seconds=1))


@pytest.mark.parametrize("form", WHOLE, ids=lambda form: "-".join(form[:2]))
def test_those_that_must_wait_are_known(form: tuple[str, str, int]) -> None:
    assert last(sound(*form, seconds=1))


@given(
    st.sampled_from([b"", box(b"ftyp"), CAF, b"caff\0\1\0\0"]),
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(box, st.sampled_from([b"free", b"moov", b"mdat"]), st.integers(0, 99)),
            st.builds(chunk, st.sampled_from([b"free", b"pakt", b"data"]), st.integers(-(2**63), 99)),
        )
    ),
)
def test_any_bytes_have_an_answer(head: bytes, rest: list[bytes]) -> None:
    assert last(head + b"".join(rest)) in (True, False)
