"""Which captions answer a wish, and what is in their files; read from the site in tests/web."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NotVideoContent, UpstreamFailed
from gateway.media.captions import caption, cues
from gateway.media.post import Caption, Post, Source, find
from gateway.wire.events import Segment
from gateway.wire.subtitles import VTT_HEAD, Cue, vtt
from tests.wire.sampling import SAMPLE


def made(language: str, origin: str | None, format: str = "webvtt") -> Caption:
    return Caption(language, format, origin, Source(f"https://v16.tiktok.com/{origin}/{language}/{format}"))


ASR, MT_ES, MT_DE = made("eng-US", "ASR"), made("spa-ES", "MT"), made("deu-DE", "MT")
MT_EN, ASR_DE = made("eng-US", "MT"), made("deu-DE", "ASR")
OWN, OWN_GB, OWN_DE = made("eng-US", None), made("eng-GB", "LC"), made("deu-DE", None)
JSON = made("eng-US", None, "creator_caption")
ODD, UNTOLD = made("ceb-PH", "ASR"), made("", "ASR")
POST = Post("1", "u", "a", "t", "d", 9.0, "video")


def post(*captions: Caption) -> Post:
    return msgspec.structs.replace(POST, captions=captions)


def chosen(captions: tuple[Caption, ...], **wish: Any) -> Caption | None:
    found = caption(post(*captions), **wish)
    return None if found is None else next(c for c in captions if (c.source,) == found.part.sources)


@pytest.mark.parametrize(
    ("captions", "wish", "expected"),
    [
        # what is spoken, without being asked twice
        ((), {}, None),
        ((ASR,), {}, ASR),
        ((MT_ES, ASR, MT_DE), {}, ASR),
        ((MT_ES, ASR), {"language": "en"}, ASR),
        ((ASR, OWN), {}, OWN),  # the creator knows better what was said
        ((ASR, OWN_GB), {"language": "en"}, OWN_GB),
        ((OWN,), {}, OWN),
        ((OWN, OWN_GB), {}, OWN),
        ((OWN, MT_ES), {}, OWN),
        ((ODD,), {}, ODD),
        ((UNTOLD,), {}, UNTOLD),
        ((JSON, ASR), {}, ASR),
        ((JSON,), {}, JSON),  # perhaps the page is wrong; the file tells
        # what may be another language than is spoken
        ((ASR, OWN_DE), {}, ASR),
        ((OWN, OWN_DE), {}, None),
        ((OWN, MT_EN), {}, None),
        ((MT_ES,), {}, None),
        ((ASR, MT_ES), {"language": "es"}, None),
        ((ASR, OWN_DE), {"language": "de"}, None),
        ((OWN,), {"language": "de"}, None),
        ((UNTOLD,), {"language": "en"}, None),
        # what only the model does
        ((ASR, OWN), {"modelled": True}, None),
        ((ASR, MT_EN), {"task": "translate"}, None),
        ((ASR_DE, MT_EN), {"task": "translate", "language": "de"}, None),
    ],
)  # fmt: skip
def test_captions_are_given_unasked_where_they_say_what_is_spoken(
    captions: tuple[Caption, ...], wish: dict[str, Any], expected: Caption | None
) -> None:
    assert chosen(captions, source="auto", **wish) == expected
    assert chosen(captions, source="speech", **wish) is None


@pytest.mark.parametrize(
    ("captions", "wish", "expected"),
    [
        ((ASR, MT_ES), {"language": "es"}, MT_ES),
        ((MT_EN, ASR), {"language": "en"}, ASR),
        ((MT_EN, ASR, OWN), {"language": "en"}, OWN),
        ((MT_EN, ASR_DE), {"language": "en"}, MT_EN),
        ((JSON, MT_EN), {"language": "en"}, MT_EN),
        ((MT_ES, ASR_DE, OWN_DE), {}, OWN_DE),
        ((MT_ES, OWN, ASR_DE), {}, ASR_DE),  # what is spoken before what the creator wrote beside it
        ((MT_ES, OWN, OWN_DE), {}, OWN),
        ((MT_ES, OWN, MT_EN), {}, OWN),
        ((MT_ES, MT_DE), {}, MT_ES),
        ((ASR_DE, MT_EN), {"task": "translate"}, MT_EN),
        ((ASR_DE, MT_EN, OWN), {"task": "translate", "language": "de"}, OWN),
        ((ASR,), {"task": "translate"}, ASR),
        ((ASR,), {"modelled": True}, ASR),
        ((UNTOLD,), {}, UNTOLD),
    ],
)  # fmt: skip
def test_captions_that_are_asked_for_are_the_nearest(
    captions: tuple[Caption, ...], wish: dict[str, Any], expected: Caption
) -> None:
    assert chosen(captions, source="captions", **wish) == expected


@pytest.mark.parametrize(
    ("captions", "wish", "words"),
    [
        ((), {}, "The post has no captions."),
        ((), {"language": "fr"}, "The post has no captions."),
        ((ASR, MT_ES), {"language": "fr"}, "in this language: fr. It has them in: en, es."),
        ((ASR_DE, MT_ES), {"task": "translate"}, "in this language: en. It has them in: de, es."),
        ((UNTOLD,), {"language": "fr"}, "The post has no captions in this language: fr."),
    ],
)
def test_captions_that_are_not_there_are_refused(
    captions: tuple[Caption, ...], wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(NotVideoContent) as refused:
        caption(post(*captions), source="captions", **wish)
    assert words in refused.value.message


def test_who_wrote_them_and_their_language_are_told() -> None:
    for one, kind, language in (
        (ASR, "recognised", "en"), (OWN_GB, "creator", "en"), (ODD, "recognised", "ceb-PH"),
        (MT_DE, "translated", "de"), (UNTOLD, "recognised", ""),
    ):  # fmt: skip
        found = caption(post(one), source="captions")
        assert found is not None
        assert (found.kind, found.language) == (kind, language)


def test_their_file_is_a_part_that_is_found_again() -> None:
    whole = post(MT_ES, ASR, OWN, JSON)
    found = caption(whole, source="captions")
    assert found is not None
    assert find(whole, found.part.key) == found.part
    assert len({caption(post(one), source="captions").part.key for one in whole.captions}) == 4  # type: ignore[union-attr]
    with pytest.raises(UpstreamFailed):
        find(post(MT_ES), found.part.key)


# Files


def file(*shown: tuple[float, float, str]) -> bytes:
    """A file with these cues; the lines of each kept."""

    def stamp(seconds: float) -> str:
        whole, ms = divmod(round(seconds * 1000), 1000)
        return f"{whole // 60:02}:{whole % 60:02}.{ms:03}"

    return ("WEBVTT\n\n" + "".join(f"{stamp(a)} --> {stamp(b)}\n{text}\n\n" for a, b, text in shown)).encode()


def test_cues_are_read_in_the_order_of_time_and_end_with_the_post() -> None:
    data = file((3, 4, "c"), (0, 1, "a\nA"), (1, 2.5, "b"), (5, 7, "d"), (6.5, 9, "e"), (8, 9, ""))
    assert cues(data, 6) == [
        Cue(0, 1, "a A"), Cue(1, 2.5, "b"), Cue(3, 4, "c"), Cue(5, 6, "d"), Cue(6, 6, "e")
    ]  # fmt: skip
    assert cues(data, None)[-2:] == [Cue(5, 6.5, "d"), Cue(6.5, 9, "e")]


def test_cues_beside_each_other_come_after_each_other() -> None:
    data = file((0, 4, "a"), (2, 3, "b"), (2, 6, "c"), (4, 5, "d"))
    assert cues(data, None) == [Cue(0, 2, "a"), Cue(2, 4, "b c"), Cue(4, 5, "d")]


def test_lines_that_roll_up_are_said_once() -> None:
    said = [Cue(0, 2.01, "one"), Cue(2.01, 4.01, "two"), Cue(4.01, 6, "three"), Cue(6, 7, "four")]
    rolled = file(
        (0, 2, "one"), (2, 2.01, "one"), (2.01, 4, "one\ntwo"), (4, 4.01, "two"), (4.01, 6, "two\nthree"),
        (6, 7, "three\nfour"),
    )  # fmt: skip
    assert cues(rolled, None) == said
    assert cues(file((0, 1, "one\ntwo"), (1, 2, "one\ntwo\nthree"), (2, 3, "three\nfour\nfive")), None) == [
        Cue(0, 1, "one two"), Cue(1, 2, "three"), Cue(2, 3, "four five")
    ]  # fmt: skip


def test_what_was_said_again_is_there_again() -> None:
    chorus = ((0, 1, "la la"), (1, 2, "la la"), (2, 3, "la la"))
    assert [cue.text for cue in cues(file(*chorus), None)] == ["la la"] * 3
    once = ((0, 1, "row"), (1, 2, "row\nyour boat"), (2, 3, "gently"), (3, 4, "down the"), (4, 5, "stream"))
    assert [cue.text for cue in cues(file(*once), None)][:2] == ["row", "row your boat"]
    later = ((0, 1, "why"), (5, 6, "why\nnot"))
    assert [cue.text for cue in cues(file(*later), None)] == ["why", "why not"]


@pytest.mark.parametrize("data", [b"", b"<html>", b"1\n00:00:01,000 --> 00:00:02,000\nx", b"WEBVTTX\n"])
def test_what_is_no_webvtt_is_told(data: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        cues(data, 9)


def test_a_file_without_a_word_has_no_cues() -> None:
    for data in (b"WEBVTT", b"\xef\xbb\xbfWEBVTT\r\n", file((0, 1, ""), (1, 2, "<i></i>"))):
        assert cues(data, 9) == []


def test_bytes_that_are_no_text_do_not_spoil_the_rest() -> None:
    assert [cue.text for cue in cues(file((0, 1, "fine")) + b"00:01.000 --> 00:02.000\n\xff\xfe!", None)] == [
        "fine", "\ufffd\ufffd!"
    ]  # fmt: skip


def test_a_file_that_is_made_to_take_long_does_not() -> None:
    """As large as is read; comparing each of its lines with each would take hours."""
    cues(file(*((0, 1, f"{n}") for n in range(30_000))), 9)
    lines = "x\n" * 250_000
    cues(file((0, 1, lines), (1, 2, lines), (2, 3, lines)), 9)
    cues(file((0, 1, "<" * 500_000 + "&" * 500_000)), 9)


texts = st.lists(st.sampled_from(["a", "b", "a b", "-->", "WEBVTT", "", "&lt;"]), max_size=4).map("\n".join)
spans = st.tuples(st.floats(0, 200), st.floats(0, 20), texts).map(lambda s: (s[0], s[0] + s[1], s[2]))


@pytest.mark.soak
@SAMPLE
@given(shown=st.lists(spans, max_size=12), duration_s=st.none() | st.floats(1, 100))
def test_the_times_of_any_file_go_on(shown: list[tuple[float, float, str]], duration_s: float | None) -> None:
    found = cues(file(*shown), duration_s)
    times = [time for cue in found for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert all(cue.text.strip() and "\n" not in cue.text for cue in found)
    assert all(a.start < b.start for a, b in pairwise(found))
    if duration_s is not None:
        assert all(time <= round(duration_s, 3) for time in times)


@pytest.mark.soak
@SAMPLE
@given(
    data=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: f"WEBVTT\n{text}".encode("utf-8", "replace"))
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        cues(data, 9)
    except UpstreamFailed:
        assert not data.startswith(b"WEBVTT\n")


def test_our_own_writing_is_read() -> None:
    segments = [Segment(0, 0.0, 1.5, "One & two"), Segment(1, 2.0, 3.0, "three")]
    data = (VTT_HEAD + "".join(map(vtt, segments))).encode()
    assert cues(data, None) == [Cue(0, 1.5, "One & two"), Cue(2, 3, "three")]
