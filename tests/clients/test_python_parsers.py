"""The client's parsers, on the shared examples: the same bytes give the same however they are split."""

import msgspec
import pytest
from clipwire import Cut, Info, Malformed, signed
from clipwire import events as client_events
from clipwire.errors import refused
from clipwire.events import Failed
from clipwire.multipart import Event, Head, Parser, PartEnd, Range, boundary, meta
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
        found.append(Head(one.name, one.media_type, one.length, one.link, ranged(one.range)))
        found += [one.payload] if one.payload else []
        found.append(PartEnd())
    return found


def ranged(told: str | None) -> Range | None:
    if told is None:
        return None
    first, last, length = told.removeprefix("bytes ").replace("/", "-").split("-")
    return Range(int(first), int(last), None if length == "*" else int(length))


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


BOUNDARY, MALFORMED = load.malformed()


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_outside_the_format_is_malformed(body: bytes) -> None:
    assert BOUNDARY == B
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
    [*(f"{line}\n".encode() for line in load.no_events()), b"\xff\n", LINES + b"{", LINES * 2],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        lines(body)
    with pytest.raises(Malformed):
        lines(*(bytes([one]) for one in body))


def test_an_endless_line_is_malformed() -> None:
    with pytest.raises(Malformed):
        lines(*[b"a" * 65_536] * 17)


pieces = st.sampled_from([one.line for one in load.events()]) | st.binary(max_size=40) | st.just(b"\n")


@pytest.mark.soak
@SAMPLE
@given(body=st.lists(pieces, max_size=6).map(b"".join), data=st.data())
def test_any_lines_are_events_or_an_error_of_ours_however_they_are_split(
    body: bytes, data: st.DataObject
) -> None:
    def outcome(*pieces: bytes) -> object:
        try:
            return lines(*pieces)
        except (Cut, Malformed) as failure:
            return type(failure)

    splits = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    split = [body[a:b] for a, b in zip([0, *splits], [*splits, len(body)], strict=True)]
    assert outcome(*split) == outcome(body)


@pytest.mark.parametrize("example", load.events(), ids=str)
def test_the_two_forms_of_an_event_say_the_same(example: load.Event) -> None:
    """The client reads lines; what a browser's EventSource is given has the same words and number."""
    told = dict(line.split(": ", 1) for line in example.sse.decode().strip().split("\n"))
    assert told.pop("data") == example.line.decode().strip()
    number = {} if example.number is None else {"id": str(example.number)}
    assert told == {"event": example.event["type"]} | number


# refusals and signatures


@pytest.mark.parametrize("example", load.refusals(), ids=str)
def test_every_shape_of_refusal_is_read(example: load.Refusal) -> None:
    found = refused(
        example.status,
        example.body.encode(),
        retry_after=example.headers.get("Retry-After"),
        request_id=example.headers.get("X-Request-Id"),
    )
    for name in ("status", "code", "message", "retry_after_s", "request_id"):
        assert getattr(found, name) == getattr(example, name)
    assert example.message in str(found)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "detail", "code", "message", "metadata", "request_id", "loc", "msg", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=9,
)


@pytest.mark.soak
@SAMPLE
@given(
    body=anything.map(msgspec.json.encode) | st.binary(max_size=60),
    after=st.none() | st.text(max_size=9),
)
def test_whatever_refuses_is_a_refusal(body: bytes, after: str | None) -> None:
    found = refused(500, body, retry_after=after, request_id=None)
    assert found.message
    assert found.retry_after_s is None or found.retry_after_s >= 0


@pytest.mark.parametrize("example", load.signatures(), ids=lambda one: one.secret)
def test_a_signature_is_the_documented_one(example: load.Signature) -> None:
    assert signed("k", example.secret, example.body.encode(), example.timestamp_ms) == {
        "X-API-Key": "k",
        "X-Timestamp": str(example.timestamp_ms),
        "X-Signature": example.signature,
    }
