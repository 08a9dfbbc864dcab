"""The multipart format: exact bytes, safe names, and a description that fits into a header."""

import ast
import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import multipart, tickets
from gateway.wire.multipart import Cut, Part
from tests.vectors import load

from .bodies import framed, random_body
from .sampling import SAMPLE

B = "simple_boundary0123456789abcdef0123456789abcdef"


# framing


def test_a_first_head_is_exactly_these_bytes() -> None:
    assert multipart.head(Part("a_1.mp4", "video/mp4", 5), B, first=True) == (
        b"--simple_boundary0123456789abcdef0123456789abcdef\r\n"
        b"Content-Type: video/mp4\r\n"
        b"Content-Length: 5\r\n"
        b'Content-Disposition: attachment; filename="a_1.mp4"\r\n'
        b"\r\n"
    )


def test_a_later_head_begins_with_the_line_end_of_the_delimiter() -> None:
    part = Part("a_1.mp4", "video/mp4", 5)
    assert multipart.head(part, B, first=False) == b"\r\n" + multipart.head(part, B, first=True)


def test_a_head_without_a_length_has_no_such_line() -> None:
    assert multipart.head(Part("a_1.mp4", "video/mp4"), B, first=True) == (
        b"--simple_boundary0123456789abcdef0123456789abcdef\r\n"
        b"Content-Type: video/mp4\r\n"
        b'Content-Disposition: attachment; filename="a_1.mp4"\r\n\r\n'
    )


def test_the_closing_delimiter_is_exactly_these_bytes() -> None:
    assert multipart.closing(B) == b"\r\n--simple_boundary0123456789abcdef0123456789abcdef--\r\n"


def test_a_link_stands_before_the_name() -> None:
    assert multipart.head(Part("a_1.mp4", "video/mp4", 5, "/media/t.s/a_1.mp4"), B, first=True) == (
        b"--simple_boundary0123456789abcdef0123456789abcdef\r\n"
        b"Content-Type: video/mp4\r\n"
        b"Content-Length: 5\r\n"
        b"Content-Location: /media/t.s/a_1.mp4\r\n"
        b'Content-Disposition: attachment; filename="a_1.mp4"\r\n\r\n'
    )


def test_the_longest_head_is_one_piece_under_1024_bytes() -> None:
    name = multipart.file_name("a" * 300, "9" * 30, "image/jpeg", 36)
    part = Part(name, "image/jpeg", 10**15, "/" * tickets.LINK_CHARS_MAX)
    assert len(multipart.head(part, multipart.boundary(), first=False)) < 1024


def test_a_boundary_is_the_known_word_and_128_random_bits() -> None:
    found = {multipart.boundary() for _ in range(100)}
    assert len(found) == 100
    assert all(re.fullmatch("simple_boundary[0-9a-f]{32}", one) for one in found)
    assert multipart.boundary(fixed=True) == "simple_boundary"


def test_the_boundary_is_unquoted_and_last() -> None:
    assert multipart.content_type(B) == f"multipart/x-mixed-replace; boundary={B}"


# file names


@pytest.mark.soak
@SAMPLE
@given(
    author=st.text(max_size=150)
    | st.from_regex(r"(?i)(con|prn|aux|nul|com1|lpt9)\.[a.]{0,120}", fullmatch=True)
    | st.text("./\\:-_ab", max_size=150),
    post_id=st.from_regex(r"[0-9]{1,25}", fullmatch=True) | st.text(max_size=150),
    media_type=st.sampled_from(["video/mp4", "image/jpeg", "image/webp", "audio/mpeg", "audio/mp4", "x/y"]),
    number=st.none() | st.integers(1, 99),
)
def test_any_file_name_is_one_safe_file_everywhere(
    author: str, post_id: str, media_type: str, number: int | None
) -> None:
    name = multipart.file_name(author, post_id, media_type, number)
    assert len(name) <= 100
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name)  # so none of " : * ? < > | / \ or control
    assert not name.startswith("-")
    assert ".." not in name
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)\.", name)
    assert name.endswith(multipart.extension(media_type) or ".bin")


def test_an_ordinary_file_name_is_author_and_id() -> None:
    assert multipart.file_name("some.one", "731", "video/mp4") == "some.one_731.mp4"
    assert multipart.file_name("some.one", "731", "image/jpeg", 2) == "some.one_731_02.jpg"
    assert multipart.file_name("some.one", "731", "audio/mpeg") == "some.one_731.mp3"
    assert multipart.file_name("some.one", "731", "image/jpeg", mark="cover") == "some.one_731_cover.jpg"
    assert multipart.file_name("some.one", "731", "image/webp", 2, copy=3) == "some.one_731_02-3.webp"


@pytest.mark.parametrize("author", ["some.one", "../..", "", "名前", "a" * 300])
def test_the_names_of_an_answer_differ(author: str) -> None:
    names = [multipart.file_name(author, "7312345678901234567", "image/jpeg", n) for n in range(1, 36)]
    names.append(multipart.file_name(author, "7312345678901234567", "audio/mpeg"))
    assert len({name.lower() for name in names}) == 36


# Content-Meta


@pytest.mark.soak
@SAMPLE
@given(
    title=st.text(st.characters(), max_size=300), desc=st.text(st.characters(), max_size=300),
    times=st.sampled_from([1, 50]),
)  # fmt: skip
def test_any_content_meta_fits_and_is_read_by_python_and_json(title: str, desc: str, times: int) -> None:
    title, desc = title * times, desc * times
    value = multipart.content_meta(title, desc)
    assert len(value) <= 8000
    text = base64.b64decode(value, validate=True).decode("utf-8")
    found = json.loads(text)
    assert ast.literal_eval(text) == found
    assert list(found) == ["title", "desc"]
    assert _printable(title).startswith(found["title"])
    assert _printable(desc).startswith(found["desc"])
    if len(title) + len(desc) < 300:
        assert found == {"title": _printable(title), "desc": _printable(desc)}


def test_ten_thousand_emoji_are_cut_between_two_of_them() -> None:
    value = multipart.content_meta("title", "🎬" * 10_000)
    found = json.loads(base64.b64decode(value))
    assert found["title"] == "title"
    assert set(found["desc"]) == {"🎬"}
    assert 7990 < len(value) <= 8000  # as many as fit


def test_a_long_title_leaves_room_for_the_desc() -> None:
    found = json.loads(base64.b64decode(multipart.content_meta("t" * 10_000, "d" * 10_000)))
    assert len(found["title"]) > 2900
    assert len(found["desc"]) > 2900


def test_non_ascii_is_not_escaped() -> None:
    assert "Grüße 🎬".encode() in base64.b64decode(multipart.content_meta("", "Grüße 🎬"))


def test_lone_surrogates_are_left_out() -> None:
    found = json.loads(base64.b64decode(multipart.content_meta("a\ud83db", "\udc00c")))
    assert found == {"title": "ab", "desc": "c"}


def _printable(text: str) -> str:
    return "".join(c for c in text if not "\ud800" <= c <= "\udfff")


# reading back


@pytest.mark.parametrize("example", load.multipart(), ids=str)
def test_the_examples_are_framed_byte_for_byte(example: load.Multipart) -> None:
    parts = [
        (Part(part.name, part.media_type, part.length, part.link, part.range), part.payload)
        for part in example.parts
    ]
    assert framed(example.boundary, parts).body == example.body


@pytest.mark.parametrize("example", load.multipart(), ids=str)
def test_the_examples_are_read_back(example: load.Multipart) -> None:
    found = list(multipart.parts(example.body, example.boundary))
    assert [part.body for part in found] == [part.payload for part in example.parts]
    for part, expected in zip(found, example.parts, strict=True):
        assert part.headers["content-type"] == expected.media_type
        assert part.headers["content-disposition"] == f'attachment; filename="{expected.name}"'
        assert part.headers.get("content-location") == expected.link


@pytest.mark.parametrize("example", load.multipart(), ids=str)
def test_every_start_of_an_example_is_cut(example: load.Multipart) -> None:
    for end in range(len(example.body)):
        with pytest.raises(Cut):
            list(multipart.parts(example.body[:end], example.boundary))


@pytest.mark.parametrize("seed", range(20))
def test_random_bodies_are_read_back(seed: int) -> None:
    body = random_body(seed)
    assert [part.body for part in multipart.parts(body.body, body.boundary)] == body.payloads
