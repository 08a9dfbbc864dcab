"""The client's parsers: the same bytes give the same events however they are split."""

import msgspec
import pytest
from clipwire import Cut, Info, Malformed
from clipwire import events as client_events
from clipwire.events import Failed
from clipwire.multipart import HEAD_BYTES_MAX, Event, Head, Parser, PartEnd, boundary, meta
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import load
from tests.wire.sampling import SAMPLE

from .stand_in import CLOSING, B, part

EXAMPLES = {example.name: example for example in load.multipart()}
LINES = b"".join(example.line for example in load.events()[:6])  # to the first end


def read(name: str, *pieces: bytes) -> list[Event]:
    """The events of an example's pieces; neighbouring payload bytes joined."""
    parser, found = Parser(EXAMPLES[name].boundary if name in EXAMPLES else B), list[Event]()
    for piece in pieces:
        parser.push(piece)
        while (event := parser.pull()) is not None:
            if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                event = found.pop() + event  # type: ignore[operator]
            found.append(event)
    parser.finish()
    return found


def expected(example: load.Multipart) -> list[Event]:
    found: list[Event] = []
    for one in example.parts:
        found.append(Head(one.name, one.media_type, one.length, one.link))
        found += [one.payload] if one.payload else []
        found.append(PartEnd())
    return found


# multipart


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_split_gives_the_same_parts(name: str) -> None:
    body = EXAMPLES[name].body
    for at in range(len(body)):
        assert read(name, body[:at], body[at:]) == expected(EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_byte_by_byte_gives_the_same_parts(name: str) -> None:
    assert read(name, *(bytes([one]) for one in EXAMPLES[name].body)) == expected(EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_start_is_cut(name: str) -> None:
    body = EXAMPLES[name].body
    for end in range(len(body)):
        with pytest.raises(Cut):
            read(name, body[:end])


tricky = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"\r\n", b"\r", b"--", f"\r\n--{B}"[:-1].encode(), f"--{B}--".encode(), b"\r\n--"])
).map(b"".join)


@pytest.mark.soak
@SAMPLE
@given(payloads=st.lists(st.tuples(tricky, st.booleans()), min_size=1, max_size=4), data=st.data())
def test_any_payloads_at_any_splits_are_exact(
    payloads: list[tuple[bytes, bool]], data: st.DataObject
) -> None:
    # a payload of untold length must not hold the delimiter itself
    payloads = [(p, told or f"\r\n--{B}".encode() in b"\r\n" + p) for p, told in payloads]
    body = CLOSING
    for n, (payload, told) in reversed(list(enumerate(payloads))):
        body = part(f"{n}.mp4", payload, first=n == 0, length=-1 if told else None) + body
    splits = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[a:b] for a, b in zip([0, *splits], [*splits, len(body)], strict=True)]
    found = read("", *pieces)
    heads = [one for one in found if isinstance(one, Head)]
    assert [one.name for one in heads] == [f"{n}.mp4" for n in range(len(payloads))]
    assert [one.length for one in heads] == [len(p) if told else None for p, told in payloads]
    assert [one for one in found if isinstance(one, bytes)] == [p for p, _ in payloads if p]
    assert sum(isinstance(one, PartEnd) for one in found) == len(payloads)


@pytest.mark.soak
@SAMPLE
@given(
    body=st.binary(max_size=300),
    start=st.sampled_from([b"", f"--{B}\r\n".encode(), part("a", b"x", first=True)]),
)
def test_any_bytes_end_in_an_error_of_ours_or_whole(body: bytes, start: bytes) -> None:
    def outcome(*pieces: bytes) -> object:
        try:
            return read("", *pieces)
        except (Cut, Malformed) as failure:
            return type(failure), str(failure)

    body = start + body
    whole = outcome(body)
    assert all(outcome(body[:at], body[at:]) == whole for at in range(len(body)))


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("another delimiter", b"--other\r\n"),
        ("something before the first delimiter", b"hello\r\n" + part("a", b"x", first=True) + CLOSING),
        ("more after the closing delimiter", part("a", b"x", first=True) + CLOSING + b"x"),
        ("a payload longer than told", part("a", b"xyz", first=True, length=2) + CLOSING),
        ("a payload shorter than told", part("a", b"xyz", first=True, length=9) + CLOSING + CLOSING),
        ("no head", f"--{B}\r\n\r\n".encode() + b"x" + CLOSING),
        ("no file name", f"--{B}\r\nContent-Type: video/mp4\r\n\r\nx".encode() + CLOSING),
        (
            "only an extended file name",
            f'--{B}\r\nContent-Type: a/b\r\nContent-Disposition: attachment; filename*="a"\r\n\r\n'.encode(),
        ),
        ("no media type", f'--{B}\r\nContent-Disposition: attachment; filename="a"\r\n\r\nx'.encode()),
        ("a line that is none", f"--{B}\r\nhello\r\n\r\nx".encode()),
        ("two lengths", part("a", b"", first=True).replace(b"Length: 0", b"Length: 1\r\ncontent-length: 0")),
        ("a length that is no number", part("a", b"", first=True).replace(b"Length: 0", b"Length: +0")),
        ("an endless length", part("a", b"", first=True).replace(b"Length: 0", b"Length: " + b"9" * 19)),
        ("a head that is not text", part("a", b"", first=True).replace(b'"a"', b'"\xff"')),
        ("an endless head", f"--{B}\r\nA: ".encode() + b"a" * HEAD_BYTES_MAX),
    ],
)
def test_what_is_outside_the_format_is_malformed(what: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        read("", body)
    with pytest.raises(Malformed):
        read("", *(bytes([one]) for one in body))


def test_a_payload_is_passed_on_before_its_end_is_known() -> None:
    parser = Parser(B)
    parser.push(part("a.mp4", b"x" * 1000, first=True, length=None))
    assert isinstance(parser.pull(), Head)
    data = parser.pull()
    assert isinstance(data, bytes)
    assert len(data) > 1000 - len(CLOSING)


def test_a_length_told_outranks_what_looks_like_a_delimiter() -> None:
    payload = CLOSING + part("evil.mp4", b"y") + CLOSING
    assert payload in read("", part("a.mp4", payload, first=True) + CLOSING)


@pytest.mark.parametrize(
    "value", [f"multipart/x-mixed-replace; boundary={B}", f'Multipart/X-Mixed-Replace;boundary="{B}"']
)
def test_the_boundary_is_read_from_the_media_type(value: str) -> None:
    assert boundary(value) == B


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text/html",
        "multipart/x-mixed-replace",
        "multipart/x-mixed-replace; boundary=",
        "multipart/form-data; boundary=a",
        "multipart/x-mixed-replace; boundary=" + "a" * 71,
        "multipart/x-mixed-replace; boundary=é",
    ],
)
def test_an_answer_that_is_no_parts_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        boundary(value)


@pytest.mark.parametrize(
    "value", ["", "é", "a", "e30=", "bnVsbA==", "/w==", "eyJ0aXRsZSI6MSwiZGVzYyI6MX0=", "W1tb" * 2000]
)
def test_a_content_meta_that_is_none_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        meta(value)


# events


def lines(*pieces: bytes) -> list[client_events.Event | Failed]:
    parser, found = client_events.Parser(), list[client_events.Event | Failed]()
    for piece in pieces:
        parser.push(piece)
        while (event := parser.pull()) is not None:
            found.append(event)
    parser.finish()
    return found


def test_every_split_gives_the_same_events() -> None:
    whole = lines(LINES)
    assert len(whole) == LINES.count(b"\n")
    for at in range(len(LINES)):
        assert lines(LINES[:at], LINES[at:]) == whole
    assert lines(*(bytes([one]) for one in LINES)) == whole


def test_every_start_of_a_transcript_is_cut() -> None:
    end = LINES.index(b'"type":"end"')
    for at in range(LINES.index(b"\n", end) + 1):
        with pytest.raises(Cut):
            lines(LINES[:at])


@pytest.mark.parametrize("example", load.events(), ids=str)
def test_the_examples_are_read_as_values(example: load.Event) -> None:
    parser = client_events.Parser()
    parser.push(example.line)
    event = parser.pull()
    found = msgspec.json.decode(msgspec.json.encode(event))
    untold = {name: value for name, value in found.items() if name not in example.event}
    assert {name: value for name, value in found.items() if name not in untold} == example.event
    assert all(value in (None, []) for value in untold.values())


def test_fields_of_a_later_version_are_passed_over() -> None:
    line = next(one for one in load.events() if one.event["type"] == "info").line
    parser = client_events.Parser()
    parser.push(line.replace(b'"id"', b'"new":{"a":[1]},"id"'))
    assert isinstance(parser.pull(), Info)


@pytest.mark.parametrize(
    "body",
    [
        b"\n",
        b"<html>\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"type":"other"}\n',
        b'{"type":"end"}\n',
        b'{"new":' + b"[" * 5000 + b"]" * 5000 + b',"type":"error","code":"","message":""}\n',
        LINES + b"{",
        LINES * 2,
    ],
)
def test_what_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        lines(body)
    with pytest.raises(Malformed):
        lines(*(bytes([one]) for one in body))


def test_an_endless_line_is_malformed() -> None:
    with pytest.raises(Malformed):
        lines(*[b"a" * 65_536] * 17)
