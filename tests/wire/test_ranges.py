"""Range, If-Range and Content-Range: what is understood, what is passed over, and which bytes it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import ranges
from gateway.wire.ranges import Asked

from .sampling import SAMPLE


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("bytes=0-0", Asked(0, 0)),
        ("bytes=0-499", Asked(0, 499)),
        ("bytes=500-", Asked(500, None)),
        ("bytes=-500", Asked(None, 500)),
        ("bytes=-0", Asked(None, 0)),
        ("BYTES=1-2", Asked(1, 2)),
        (" bytes=1-2 ", Asked(1, 2)),
        ("bytes= 1-2,", Asked(1, 2)),
        ("bytes=,, 1-2 ,\t", Asked(1, 2)),
        ("bytes=007-008", Asked(7, 8)),
        ("bytes=0-999999999999999999", Asked(0, 999999999999999999)),
        # the whole is the answer to all of these
        (None, None),
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=2-1", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1, -1", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=1 -2", None),
        ("bytes=1-2x", None),
        ("bytes=0x1-2", None),
        ("bytes=١-٢", None),
        ("bytes=0-9999999999999999999", None),
        ("bytes =1-2", None),
        ("seconds=1-2", None),
        ("bytes=1-2\n", Asked(1, 2)),
    ],
)
def test_a_range_is_one_or_the_whole(header: str | None, asked: Asked | None) -> None:
    assert ranges.asked(header) == asked


@pytest.mark.parametrize(
    ("header", "total", "span"),
    [
        ("bytes=0-0", 10, range(1)),
        ("bytes=0-9", 10, range(10)),
        ("bytes=0-10", 10, range(10)),
        ("bytes=9-", 10, range(9, 10)),
        ("bytes=10-", 10, None),
        ("bytes=10-20", 10, None),
        ("bytes=-1", 10, range(9, 10)),
        ("bytes=-10", 10, range(10)),
        ("bytes=-11", 10, range(10)),
        ("bytes=-0", 10, None),
        ("bytes=0-", 0, None),
        ("bytes=-5", 0, None),
        ("bytes=3-7", None, range(3, 8)),
    ],
)
def test_a_span_is_what_there_is_of_it(header: str, total: int | None, span: range | None) -> None:
    asked = ranges.asked(header)
    assert asked is not None
    assert ranges.span(asked, total) == span


@pytest.mark.soak
@SAMPLE
@given(data=st.binary(max_size=60), first=st.integers(0, 70), last=st.integers(0, 70))
def test_any_span_is_the_slice_of_that_name(data: bytes, first: int, last: int) -> None:
    def sliced(header: str) -> bytes:
        asked = ranges.asked(header)
        span = ranges.span(asked, len(data)) if asked else range(len(data))
        return data[span.start : span.stop] if span else b""

    assert sliced(f"bytes={first}-") == data[first:]
    assert sliced(f"bytes=-{last}") == (data[-last:] if last else b"")
    assert sliced(f"bytes={first}-{last}") == (data[first : last + 1] if first <= last else data)


@pytest.mark.soak
@SAMPLE
@given(header=st.text() | st.text("bytes=0123-, \t").map(lambda text: f"bytes={text}"))
def test_any_header_is_a_range_within_the_file_or_none(header: str) -> None:
    asked = ranges.asked(header)
    span = ranges.span(asked, 100) if asked else None
    assert span is None or 0 <= span.start < span.stop <= 100


@pytest.mark.soak
@SAMPLE
@given(start=st.integers(0, 10**12), size=st.integers(1, 10**12), more=st.none() | st.integers(0, 10**9))
def test_what_is_told_is_read_back(start: int, size: int, more: int | None) -> None:
    span = range(start, start + size)
    total = None if more is None else span.stop + more
    told = ranges.told(ranges.content_range(span, total))
    assert told == ranges.Told(span, total)


def test_content_ranges_are_written_as_the_rfc_has_them() -> None:
    assert ranges.content_range(range(1, 5), 10) == "bytes 1-4/10"
    assert ranges.content_range(range(1, 5), None) == "bytes 1-4/*"
    assert ranges.content_range(None, 10) == "bytes */10"


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes */10", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-/10", "items 0-1/2", "bytes 0-1/2 "],
)
def test_what_tells_of_no_bytes_is_none(header: str | None) -> None:
    assert ranges.told(header) is None


@pytest.mark.parametrize(
    ("etag", "strong"),
    [
        ('"a"', '"a"'),
        ('""', '""'),
        ('W/"a"', None),
        ("a", None),
        ('"a', None),
        ('"a"b"', None),
        ('"a b"', None),
        ('"a\r\nX: y"', None),
        ('"ä"', None),
        ('"' + "a" * 300 + '"', None),
        (None, None),
    ],
)
def test_only_a_plain_quoted_tag_is_strong(etag: str | None, strong: str | None) -> None:
    assert ranges.strong(etag) == strong


@pytest.mark.parametrize(
    ("if_range", "etag", "still"),
    [
        (None, None, True),
        (None, '"a"', True),
        ('"a"', '"a"', True),
        (' "a" ', '"a"', True),
        ('"a"', '"b"', False),
        ('"a"', None, False),
        ('W/"a"', '"a"', False),
        ('W/"a"', 'W/"a"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", '"a"', False),
        ("", '"a"', False),
    ],
)
def test_a_range_needs_the_very_same_file(if_range: str | None, etag: str | None, still: bool) -> None:
    assert ranges.still(if_range, etag) is still
