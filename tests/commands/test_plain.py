"""Text of others never steers a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands import plain
from tests.wire.sampling import SAMPLE

JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x9b2J\x07\x00\x7f", "2J"),
        ("a\u202eb\u2066c\u200bd", "abcd"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("a\u2028b\u2029c", "a b c"),
        ("\ud800x", "x"),
    ],
)
def test_a_line_is_one_line(text: str, shown: str) -> None:
    assert plain.line(text) == shown


@pytest.mark.soak
@SAMPLE
@given(st.text(st.characters(), max_size=200))
def test_nothing_that_is_shown_is_a_control(text: str) -> None:
    for shown in (plain.line(text), plain.lines(text).replace("\n", "")):
        shown.encode()
        assert all(
            unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in JOINERS
            for character in shown
        )
    assert plain.lines(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (-1, "0:00"), (63.9, "1:03"), (3661, "1:01:01")])
def test_a_time_is_as_players_show_it(seconds: float, shown: str) -> None:
    assert plain.clock(seconds) == shown
