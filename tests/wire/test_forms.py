"""A transcript in each of its forms: whole, cut after any event, and failed; read by parsers of others."""

import hashlib
import html
import io
import json
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import events
from gateway.wire.events import End, Event, Failed, Info, Progress, Segment, Word
from gateway.wire.forms import FORMS, NAMED, Form

from .sampling import SAMPLE

INFO = Info("3f", "en", 0.98, 6.5, "base", "speech")
HELLO = Segment(0, 0.0, 4.2, " Hello there.", -0.3, 0.01, 1.4)
EMPTY = Segment(1, 4.2, 4.2, "  ", -0.3, 0.01, 1.4)
GREETING = Segment(2, 4.2, 6.0, "Grüße & <so> --> weiter", words=(Word(4.2, 4.75, " Grüße", 0.9),))
END = End(3, 6.251, "9f", 4100, "low", ("little_voice",))
FAILED = Failed("SPEECH_FAILED", "Recognising the speech failed twice.")
PROGRESS = Progress(2, 4.5, 0, None)
LOG: list[Event] = [INFO, HELLO, EMPTY, GREETING, END]

# printable, and no lone surrogates: what a model writes
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
# libav takes equal cues at the same time for one
rows = st.lists(st.tuples(st.floats(0.0625, 20, width=32), st.floats(0, 5, width=32), texts), max_size=6)


def pieces(form: Form, log: list[Event]) -> list[bytes]:
    """What is written for each event."""
    write, number, found = form.writer(), 0, []
    for event in log:
        found.append(write(event, None if isinstance(event, Progress) else number))
        number += not isinstance(event, Progress)
    return found


def body(name: str, log: list[Event]) -> bytes:
    return b"".join(pieces(NAMED[name], log))


def transcript(rows: list[tuple[float, float, str]]) -> list[Event]:
    """Segments one after the other."""
    log: list[Event] = [INFO]
    at = 0.0
    for number, (pause, length, text) in enumerate(rows):
        start, at = at + pause, at + pause + length
        log.append(Segment(number, round(start, 3), round(at, 3), text, -0.3, 0.01, 1.4))
    return log


def segments(log: list[Event]) -> list[Segment]:
    return [event for event in log if isinstance(event, Segment)]


def subtitles(form: str, data: bytes) -> list[tuple[float, float, str]]:
    """The cues of a file, as libav reads them: start and length in seconds, and the text."""
    with av.open(io.BytesIO(data), format={"vtt": "webvtt", "srt": "srt"}[form]) as file:
        return [
            (packet.pts / 1000, packet.duration / 1000, bytes(packet).decode())
            for packet in file.demux()
            if packet.pts is not None and packet.duration is not None
        ]


def test_each_form_to_the_byte() -> None:
    assert body("vtt", LOG).decode() == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:04.200\nHello there.\n\n"
        "00:00:04.200 --> 00:00:06.000\nGrüße\n\n"
    )  # fmt: skip
    assert body("srt", LOG).decode() == (
        "1\n00:00:00,000 --> 00:00:04,200\nHello there.\n\n"
        "3\n00:00:04,200 --> 00:00:06,000\nGrüße & <so> -- > weiter\n\n"
    )
    assert body("txt", LOG).decode() == "Hello there. Grüße & <so> --> weiter"
    assert body("json", [*LOG[:2], END]).decode() == (
        '{"id":"3f","language":"en","language_probability":0.98,"model":"base","source":"speech",'
        '"segments":[\n'
        '{"id":0,"start":0.0,"end":4.2,"text":" Hello there.",'
        '"avg_logprob":-0.3,"no_speech_prob":0.01,"compression_ratio":1.4}\n'
        '],"text":"Hello there.","duration":6.251,"text_sha256":"9f","elapsed_ms":4100,"speech":"low",'
        '"reasons":["little_voice"]}\n'
    )
    assert pieces(NAMED["ndjson"], LOG) == [events.line(event) for event in LOG]
    assert pieces(NAMED["sse"], LOG) == [events.sse(event, number) for number, event in enumerate(LOG)]


def test_their_types_tell_the_charset_where_players_would_guess() -> None:
    assert [form.content_type for form in FORMS] == [
        "application/x-ndjson", "text/event-stream", "text/vtt; charset=utf-8",
        "application/x-subrip; charset=utf-8", "text/plain; charset=utf-8", "application/json",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_event_is_written_at_once_and_progress_only_where_there_are_lines(form: Form) -> None:
    written = pieces(form, [INFO, PROGRESS, HELLO, GREETING])
    assert bool(written[1]) == form.lines
    assert b"Hello" in written[2]
    assert "Grüße".encode() in written[3]


@pytest.mark.soak
@SAMPLE
@given(rows=rows)
def test_the_text_is_the_one_whose_hash_is_told(rows: list[tuple[float, float, str]]) -> None:
    log = transcript(rows)
    text = events.text_of(segments(log))
    assert body("txt", log).decode() == text
    document = json.loads(body("json", [*log, End(len(rows), 1.0, "", 1, "ok")]))
    assert document["text"] == text


@pytest.mark.soak
@SAMPLE
@given(rows=rows)
def test_a_document_is_whole_only_at_its_end(rows: list[tuple[float, float, str]]) -> None:
    log = transcript(rows)
    end = End(len(rows), 1.0, hashlib.sha256(b"x").hexdigest(), 1, "ok")
    whole = body("json", [*log, end])
    document = json.loads(whole)
    assert [core(one) for one in document["segments"]] == [
        (one.id, one.start, one.end, one.text) for one in segments(log)
    ]
    assert (document["duration"], document["text_sha256"]) == (end.duration, end.text_sha256)
    assert "error" not in document
    assert whole.count(b"\n") == len(rows) + 2  # one segment, one line
    for at in range(len(whole) - 1):
        with pytest.raises(ValueError):
            json.loads(whole[:at])


@pytest.mark.soak
@SAMPLE
@given(rows=rows, data=st.data())
def test_a_failed_document_is_read_but_has_no_text(
    rows: list[tuple[float, float, str]], data: st.DataObject
) -> None:
    log = transcript(rows)
    cut = log[: data.draw(st.integers(0, len(log)))]
    document = json.loads(body("json", [*cut, FAILED]))
    assert document["error"] == {"code": FAILED.code, "message": FAILED.message}
    assert not {"text", "text_sha256", "duration"} & set(document)
    assert len(document["segments"]) == len(segments(cut))


@pytest.mark.soak
@SAMPLE
@given(rows=rows, fails=st.booleans(), form=st.sampled_from(["vtt", "srt"]))
def test_subtitles_cut_after_any_event_are_a_file_of_what_came_so_far(
    rows: list[tuple[float, float, str]], fails: bool, form: str
) -> None:
    log: list[Event] = [*transcript(rows), FAILED if fails else END]
    written = pieces(NAMED[form], log)
    for count in range(1, len(log) + 1):
        said = [one for one in segments(log[:count]) if one.text.strip()]
        found = subtitles(form, b"".join(written[:count]))
        assert [cue[:2] for cue in found] == [
            (pytest.approx(one.start, abs=0.0011), pytest.approx(one.end - one.start, abs=0.0021))
            for one in said
        ]
        texts = [" ".join(one.text.split()) for one in said]
        if form == "vtt":
            assert [html.unescape(text) for *_, text in found] == texts
        else:
            assert [text for *_, text in found] == [text.replace("-->", "-- >") for text in texts]


def test_a_failure_is_a_note_or_nothing_where_files_have_no_place_for_it() -> None:
    assert pieces(NAMED["vtt"], [INFO, FAILED])[1] == b"NOTE The transcript stops here: SPEECH_FAILED\n\n"
    assert pieces(NAMED["srt"], [INFO, FAILED])[1] == b""
    assert pieces(NAMED["txt"], [INFO, FAILED])[1] == b""
    assert {form.name for form in FORMS if form.breaks} == {"vtt", "srt", "txt"}


def core(one: dict[str, Any]) -> tuple[int, float, float, str]:
    return one["id"], one["start"], one["end"], one["text"]
