import pytest

from gateway.speech.spans import split

EOT, TIME0 = 100, 200


def at(seconds: float) -> int:
    return TIME0 + round(seconds / 0.02)


@pytest.mark.parametrize(
    ("tokens", "spans", "to", "more"),
    [
        ([at(0), 1, 2, at(3)], [(0, 3, [1, 2])], 3, False),
        ([at(0), 1, at(3), at(3)], [(0, 3, [1])], 3, True),
        ([at(0), 1, at(3), at(3.5), 2, at(6)], [(0, 3, [1]), (3.5, 6, [2])], 6, False),
        ([at(0), 1, at(3), at(3), 2], [(0, 3, [1]), (3, 10, [2])], 10, False),
        ([1, 2], [(0, 10, [1, 2])], 10, False),
        ([at(0), 1, at(29)], [(0, 10, [1])], 10, False),
        ([at(5), 1, at(3), at(3), 2, at(9)], [(5, 5, [1]), (5, 9, [2])], 9, False),
        ([], [], 0, False),
        ([at(0), at(0)], [], 0, True),
    ],
)
def test_no_text_is_dropped_at_timestamps(
    tokens: list[int], spans: list[tuple[float, float, list[int]]], to: float, more: bool
) -> None:
    found, heard_to, goes_on = split(tokens, TIME0, EOT, 10)
    assert [(s.start, s.end, s.tokens) for s in found] == spans
    assert (heard_to, goes_on) == (to, more)
