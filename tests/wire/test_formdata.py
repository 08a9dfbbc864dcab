"""multipart/form-data read as it arrives: cut anywhere, with look-alikes inside, whole or not at all."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser

from gateway.wire import formdata
from gateway.wire.formdata import HEAD_BYTES_MAX, FormReader, Malformed, Part, PartEnd

from .sampling import SAMPLE

B = "----x7MA"
HEAD = b'Content-Disposition: form-data; name="%s"\r\n\r\n'
LOOK_ALIKES = (
    b"\r\n--" + B.encode(), b"--" + B.encode() + b"\r\n", b"\r\n--" + B.encode() + b"-", b"\r", b"\r\n", b"-",
    b"\r\n--" + B.encode()[:-1], b"\r\n--" + B.encode() + b"x", b"\r\r\n--",
)  # fmt: skip
DELIMITERS = (b"\r\n--" + B.encode() + b"\r\n", b"\r\n--" + B.encode() + b"--")
PADDED = (
    b"\r\n--" + B.encode() + b" ",
    b"\r\n--" + B.encode() + b"\t",
)  # which not all readers take for data
payloads = st.lists(st.sampled_from(LOOK_ALIKES) | st.binary(max_size=40), max_size=6).map(b"".join)
forms = st.lists(st.tuples(st.sampled_from(["file", "model", "a b"]), payloads), min_size=1, max_size=5)


def body(fields: list[tuple[str, bytes]]) -> bytes:
    parts = [b"--%s\r\n" % B.encode() + HEAD % name.encode() + value + b"\r\n" for name, value in fields]
    return b"".join(parts) + b"--%s--\r\n" % B.encode()


def harmless(fields: list[tuple[str, bytes]]) -> bool:
    """Whether no payload has a delimiter in it, be it with the line end that follows."""
    return not any(one in b"\r\n" + value + b"\r\n--" for _, value in fields for one in DELIMITERS)


def unpadded(fields: list[tuple[str, bytes]]) -> bool:
    """Whether no payload has what a delimiter with blanks behind it begins with."""
    return not any(one in b"\r\n" + value for _, value in fields for one in PADDED)


def read(data: bytes, cuts: list[int] | None = None) -> list[tuple[str, bytes]]:
    """The fields of a form that is fed in pieces."""
    reader, found, value, name = FormReader(B), [], b"", ""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for start, end in itertools.pairwise(places):
        for piece in reader.feed(data[start:end]):
            match piece:
                case Part(name):
                    value = b""
                case PartEnd():
                    found.append((name, value))
                case _:
                    assert piece
                    value += piece
    reader.finish()
    return found


@pytest.mark.soak
@SAMPLE
@given(forms.filter(harmless), st.lists(st.integers(0, 10_000), max_size=8))
def test_every_split_gives_the_same_fields(fields: list[tuple[str, bytes]], cuts: list[int]) -> None:
    assert read(body(fields), cuts) == fields


def test_every_single_split_and_byte_by_byte_give_the_same_fields() -> None:
    fields = [("model", b"base"), ("file", b"".join(LOOK_ALIKES[3:])), ("empty", b"")]
    data = body(fields)
    for at in range(len(data)):
        assert read(data, [at]) == fields
    assert read(data, list(range(len(data)))) == fields


@pytest.mark.soak
@SAMPLE
@given(forms.filter(harmless).filter(unpadded))
def test_another_reader_reads_the_same(fields: list[tuple[str, bytes]]) -> None:
    values: list[bytes] = []

    def begin() -> None:
        values.append(b"")

    def data(chunk: bytes, start: int, end: int) -> None:
        values[-1] += chunk[start:end]

    parser = MultipartParser(B.encode(), {"on_part_begin": begin, "on_part_data": data})
    parser.write(body(fields))
    parser.finalize()
    assert values == [value for _, value in read(body(fields))]


@pytest.mark.soak
@SAMPLE
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_nonsense_is_malformed_and_nothing_else(data: bytes, cuts: list[int]) -> None:
    with pytest.raises(Malformed):
        read(data, cuts)


@pytest.mark.soak
@SAMPLE
@given(forms.filter(harmless), st.integers(0, 10_000))
def test_a_form_that_is_cut_is_never_whole(fields: list[tuple[str, bytes]], cut: int) -> None:
    data = body(fields)
    with pytest.raises(Malformed):
        read(data[: cut % (len(data) - 2)])


def test_payload_is_not_held_back_but_for_what_may_be_a_delimiter() -> None:
    reader = FormReader(B)
    list(reader.feed(b"--%s\r\n" % B.encode() + HEAD % b"file"))
    assert list(reader.feed(b"abc\rd")) == [b"abc\rd"]
    assert list(reader.feed(b"abc\r\n--")) == [b"abc"]
    assert list(reader.feed(b"d")) == [b"\r\n--d"]


def test_what_surrounds_a_form_is_passed_over() -> None:
    assert read(b"hello\r\n" + body([("a b", b"1")]) + b"more\r\n--" + B.encode()) == [("a b", b"1")]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('Content-Disposition: form-data; name="file"; filename="a.mp3"', "file"),
        ('content-disposition:form-data; filename="; name=\\"x\\""; name=file', "file"),
        ('Content-Type: audio/mpeg\r\nContent-Disposition: form-data; name="a\\"b"', 'a"b'),
        ('Content-Disposition: form-data; filename="C:\\\\x"; NAME="größe"', "größe"),
        ('Content-Disposition: form-data; name="timestamp_granularities[]"', "timestamp_granularities[]"),
    ],
)
def test_a_name_is_found_whatever_is_beside_it(head: str, name: str) -> None:
    data = f"--{B}\r\n{head}\r\n\r\nvalue\r\n--{B}--".encode()
    assert read(data) == [(name, b"value")]


@pytest.mark.parametrize(
    "head",
    [
        "", "Content-Type: text/plain", "Content-Disposition: form-data",
        'Content-Disposition: form-data; filename="name=x"', 'Content-Disposition: form-data; name=""',
        'Content-Disposition: form-data; name="x"; y="' + "z" * HEAD_BYTES_MAX + '"',
    ],
)  # fmt: skip
def test_a_part_without_a_name_or_with_an_endless_head_is_malformed(head: str) -> None:
    data = f"--{B}\r\n{head}\r\n\r\nvalue\r\n--{B}--".encode()
    for cuts in ([], list(range(0, len(data), 7))):
        with pytest.raises(Malformed):
            read(data, cuts)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data;charset=x; Boundary="a b"', "a b"),
        ("multipart/form-data", None), ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=" + "x" * 71, None), ("multipart/form-data; boundary=ü", None),
    ],
)  # fmt: skip
def test_the_boundary_is_told_by_the_content_type(content_type: str, boundary: str | None) -> None:
    if boundary is not None:
        assert formdata.boundary(content_type) == boundary
        return
    with pytest.raises(Malformed):
        formdata.boundary(content_type)
