"""Subtitles of segments, read by a parser of others' words; WebVTT of others to cues."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import subtitles
from gateway.wire.events import Segment, Word
from gateway.wire.subtitles import Cue


def segment(
    number: int, start: float, end: float, text: str, words: tuple[Word, ...] | None = None
) -> Segment:
    return Segment(number, start, end, text, words=words)


def test_a_cue_has_its_times_and_cannot_be_ended_by_its_text() -> None:
    one = segment(0, 3661.5, 3663.0421, "a < b --> c & d\n\nnext")
    assert subtitles.vtt(one) == "01:01:01.500 --> 01:01:03.042\na &lt; b --&gt; c &amp; d next\n\n"
    assert subtitles.srt(one) == "1\n01:01:01,500 --> 01:01:03,042\na < b -- > c & d next\n\n"


def test_a_cue_lasts_at_least_a_moment() -> None:
    assert subtitles.vtt(segment(0, 2, 2, "x")).startswith("00:00:02.000 --> 00:00:02.001\n")


def test_words_have_times_inside_their_cue() -> None:
    words = (
        Word(1.0, 1.2, " One", 0.9), Word(1.2, 1.5, " <two>", 0.9), Word(1.2, 1.6, "-", 0.9),
        Word(1.7, 1.9, "three", 0.9), Word(2.0, 2.0, ".", 0.9),
    )  # fmt: skip
    text = subtitles.vtt(segment(0, 1, 2, "One <two>-three.", words)).split("\n")[1]
    assert text == "One <00:00:01.200>&lt;two&gt;-<00:00:01.700>three."
    assert subtitles.cues(subtitles.VTT_HEAD + subtitles.vtt(segment(0, 1, 2, "", words)))[0].text == (
        "One <two>-three."
    )


@given(
    st.lists(
        st.tuples(
            st.floats(0, 35_000), st.floats(0, 30),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: t.split()),
        )
    )
)  # fmt: skip
def test_what_is_written_is_read_again(rows: list[tuple[float, float, str]]) -> None:
    segments = [segment(i, start, start + length, text) for i, (start, length, text) in enumerate(rows)]
    file = subtitles.VTT_HEAD + "".join(map(subtitles.vtt, segments))
    # our own text may look like an entity once more: only what was escaped is undone
    found = subtitles.cues(file)
    assert [cue.text for cue in found] == [" ".join(one.text.split()) for one in segments]
    for cue, one in zip(found, segments, strict=True):
        assert cue.start == pytest.approx(one.start, abs=0.0006)
        assert cue.end == pytest.approx(max(one.end, one.start + 0.001), abs=0.0006)
    numbered = "".join(map(subtitles.srt, segments))
    assert len(re.findall(r"^\d+\n\d\d+:\d\d:\d\d,\d{3} --> \d\d+:\d\d:\d\d,\d{3}$", numbered, re.M)) == len(
        rows
    )


def test_the_webvtt_of_others_is_read() -> None:
    file = (
        "\ufeffWEBVTT - made elsewhere\r\nKind: captions\r\n\r\nNOTE\r\nnothing --> here\r\n\r\n"
        "STYLE\r\n::cue {}\r\n\r\nfirst\r\n00:01.000 --> 00:02.500 align:start line:0%\r\n"
        "<v Ann>Hello <i>there</i> &amp; you&nbsp;too\r\nsecond line\r\n\r\n"
        "1:00:00.000 --> 1:00:01.000\r\n<00:00:00.5>\r\n\r\n00:00:05.000 --> 00:00:04.000\r\nback\r\n\r\n"
        "00:00:06,000 --> 00:00:07,000\r\nlast"
    )
    assert subtitles.cues(file) == [
        Cue(1.0, 2.5, "Hello there & you too\nsecond line"), Cue(6.0, 7.0, "last")
    ]  # fmt: skip


@pytest.mark.parametrize("file", ["", "1\n00:00:01,000 --> 00:00:02,000\nx", "WEBVTTX\n\n", "<html>"])
def test_what_is_no_webvtt_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match="WEBVTT"):
        subtitles.cues(file)


@given(st.text())
def test_any_text_is_read_or_refused(file: str) -> None:
    for text in (file, "WEBVTT\n" + file):
        try:
            subtitles.cues(text)
        except ValueError:
            assert not text.startswith("WEBVTT\n")
