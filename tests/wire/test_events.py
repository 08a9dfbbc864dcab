"""The events of a transcript, as lines and as server-sent events."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import events
from gateway.wire.events import End, Event, Failed, Info, Progress, Segment, Word
from tests.vectors import load

from .sampling import SAMPLE

floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=60)
counts = st.integers(0, 2**53)


def maybe(some: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | some


words = st.builds(Word, start=floats, end=floats, word=texts, probability=floats)
segments = st.builds(
    Segment, id=counts, start=floats, end=floats, text=texts, avg_logprob=maybe(floats),
    no_speech_prob=maybe(floats), compression_ratio=maybe(floats),
    words=st.none() | st.lists(words, max_size=4).map(tuple),
)  # fmt: skip
infos = st.builds(
    Info, id=texts, language=st.none() | texts, language_probability=maybe(floats), duration=maybe(floats),
    model=st.none() | texts, source=st.sampled_from(["speech", "captions"]),
    captions=st.sampled_from([None, "recognised", "translated", "creator"]),
)  # fmt: skip
ends = st.builds(
    End, segments=counts, duration=floats, text_sha256=texts, elapsed_ms=counts,
    speech=st.sampled_from(["none", "low", "ok"]),
    reasons=st.lists(st.sampled_from(["silence", "no_voice"])).map(tuple),
)  # fmt: skip
progresses = st.builds(
    Progress, position=counts, wait_s=maybe(floats), bytes=counts, bytes_total=st.none() | counts
)
any_event = st.one_of(infos, segments, ends, progresses, st.builds(Failed, code=texts, message=texts))


@pytest.mark.parametrize("example", load.events(), ids=str)
def test_the_examples_are_written_byte_for_byte(example: load.Event) -> None:
    event = events.parse(example.line)
    assert events.line(event) == example.line
    assert events.sse(event, example.number) == example.sse
    assert events.kind(event) == example.event["type"]


@pytest.mark.soak
@SAMPLE
@given(event=any_event)
def test_any_event_is_one_line_and_read_back(event: Event) -> None:
    line = events.line(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert events.parse(line) == event
    assert events.parse(line.decode()) == event
    assert next(iter(json.loads(line).items())) == ("type", events.kind(event))


@pytest.mark.soak
@SAMPLE
@given(event=any_event, number=st.none() | counts)
def test_any_event_is_one_server_sent_one(event: Event, number: int | None) -> None:
    fields = _server_sent(events.sse(event, number))
    assert fields.pop("id", None) == (None if number is None else str(number))
    assert fields.pop("event") == events.kind(event)
    assert events.parse(fields.pop("data")) == event
    assert not fields


def test_words_are_told_only_when_asked_for() -> None:
    segment = Segment(0, 0.0, 1.0, "a", -0.1, 0.0, 1.0)
    assert b"words" not in events.line(segment)
    assert b'"words":[]' in events.line(msgspec.structs.replace(segment, words=()))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"type":"other"}',
        b'{"type":"end"}',
        b'{"type":"error","code":1}',
    ],
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        events.parse(line)


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert events.parse(b'{"type":"error","code":"A","message":"b","more":[1]}') == Failed("A", "b")


@pytest.mark.parametrize(
    ("texts", "text"),
    [([], ""), ([" a ", "b"], "a b"), (["a", "  ", "b"], "a b"), ([" a\n"], "a")],
)
def test_the_text_is_the_segments_stripped_and_joined(texts: list[str], text: str) -> None:
    assert events.text_of([Segment(0, 0.0, 1.0, one, 0.0, 0.0, 1.0) for one in texts]) == text


def _server_sent(data: bytes) -> dict[str, str]:
    """One event as a browser reads it: lines end at CR LF, CR or LF, an empty one dispatches."""
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert text.endswith("\n\n")
    lines = text[:-2].split("\n")
    assert all(lines)  # no empty line before the end
    fields = dict(line.split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return fields
