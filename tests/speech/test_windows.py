import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.speech.windows import (
    FIRST_MAX,
    FRAME,
    GAP,
    LOOK_AHEAD,
    ON,
    PAD,
    RATE,
    SEARCH,
    SEARCH_SPEECH,
    SPEECH_LEAST,
    WINDOW_LEAST,
    WINDOW_MAX,
    Cutter,
    Window,
)

FRAMES_PER_S = RATE / FRAME


def cut(probabilities: list[float], *, chunk: int = 31, rest: int = 0) -> tuple[list[Window], Cutter]:
    """The windows of a sound whose samples count themselves, so that each can be recognised."""
    cutter = Cutter()
    windows = []
    for i in range(0, len(probabilities), chunk):
        some = probabilities[i : i + chunk]
        windows += cutter.feed(counted(i * FRAME, len(some) * FRAME), some)
    end = len(probabilities) * FRAME
    windows += cutter.feed(counted(end, rest), [0.0] if rest else [])
    return windows + cutter.finish(), cutter


def counted(start: int, length: int) -> bytes:
    return np.arange(start, start + length).astype("<u2").tobytes()


def talk(*stretches: tuple[float, float]) -> list[float]:
    """Probabilities of (seconds, probability) stretches."""
    return [p for seconds, p in stretches for _ in range(round(seconds * FRAMES_PER_S))]


stretches = st.lists(
    st.tuples(
        st.one_of(st.floats(0.03, 1.5), st.floats(1.5, 9), st.floats(9, 45)),
        st.sampled_from([0.0, 0.1, 0.3, 0.4, 0.6, 0.99, 0.99, 0.99]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(stretches, st.integers(1, 400), st.integers(0, FRAME - 1))
@example([(90, 0.99)], 31, 0)
@example([(8.5, 0.99), (0.3, 0)], 31, 200)
@example([(0.8, 0.99), (120, 0), (0.8, 0.99)], 31, 0)
def test_windows_hold_all_speech_once(parts: list[tuple[float, float]], chunk: int, rest: int) -> None:
    probabilities = talk(*parts)
    windows, cutter = cut(probabilities, chunk=chunk, rest=rest)

    covered = bytearray(len(probabilities))
    end = 0
    for window in windows:
        assert window.start >= end, "windows overlap"
        end = window.start + window.length
        assert window.samples == counted(window.start, window.length)
        assert window.length <= WINDOW_MAX
        assert all(0 <= a < b <= window.length for a, b in window.marks)
        for i in range(-(-window.start // FRAME), end // FRAME):
            covered[i] = 1
        covered[window.start // FRAME] = 1  # a cut may fall inside a frame: both sides have their part
        if end // FRAME < len(covered):
            covered[end // FRAME] = 1
    assert end <= cutter.received
    assert [w.first for w in windows] == [i == 0 for i in range(len(windows))]

    lost = 0  # only clicks may be missing
    for i, probability in enumerate(probabilities):
        lost = lost + FRAME if probability >= ON and not covered[i] else 0
        assert lost < SPEECH_LEAST


def test_the_split_of_the_sound_changes_nothing() -> None:
    shape = random.Random(3)
    probabilities = [shape.choice([0.0, 0.2, 0.9, 0.9, 0.9]) for _ in range(int(70 * FRAMES_PER_S))]
    whole, _ = cut(probabilities, chunk=10**6)
    for chunk in (1, 7, 100):
        assert cut(probabilities, chunk=chunk)[0] == whole


def test_the_first_window_is_short_and_others_are_long() -> None:
    sentences = talk(*[(2.5, 0.9), (0.4, 0.05)] * 40)
    windows, _ = cut(sentences)
    assert WINDOW_LEAST <= windows[0].length <= FIRST_MAX
    assert all(w.length > WINDOW_MAX - SEARCH for w in windows[1:-1])


def test_the_first_window_comes_before_the_sound_has_ended() -> None:
    cutter = Cutter()
    needed = int((FIRST_MAX + LOOK_AHEAD) / RATE * FRAMES_PER_S) + 1
    assert cutter.feed(bytes(2 * needed * FRAME), [0.9] * needed)


def test_a_gap_closes_a_window_at_once() -> None:
    cutter = Cutter()
    sound = talk((4, 0.9), (2.1, 0.0))
    (window,) = cutter.feed(bytes(2 * len(sound) * FRAME), sound)
    assert window.length == 4 * RATE + PAD


def test_a_crumb_before_a_gap_waits_for_more() -> None:
    (window,), _ = cut(talk((0.8, 0.9), (4, 0.0), (3, 0.9)))
    assert window.seconds > 7


def test_speech_that_soon_ends_is_not_left_as_a_crumb() -> None:
    (short,), _ = cut(talk((FIRST_MAX / RATE + 3, 0.9)))
    assert short.length > FIRST_MAX
    windows, _ = cut(talk((5, 0.9), (2.5, 0), (31, 0.9)))
    assert min(w.length for w in windows) >= WINDOW_LEAST


def test_without_a_silence_the_cut_is_at_the_least_speech() -> None:
    probabilities = talk((60, 0.95))
    dip = int(6.2 * FRAMES_PER_S)
    probabilities[dip] = 0.41  # not low enough to be a silence
    windows, _ = cut(probabilities)
    assert windows[0].length // FRAME == dip
    assert windows[1].start == windows[0].length
    assert windows[1].length > WINDOW_MAX - SEARCH_SPEECH - FRAME


def test_silences_outside_windows_are_not_sent() -> None:
    windows, cutter = cut(talk((20, 0.0), (4, 0.9), (30, 0.0), (4, 0.9), (9, 0.0)))
    assert sum(w.length for w in windows) <= 2 * (4 * RATE + 2 * PAD) + 2 * FRAME
    assert abs(cutter.speech - 8 * RATE) <= 2 * FRAME


def test_speech_is_counted_in_windows_only() -> None:
    assert cut([])[1].speech == 0
    assert cut(talk((30, 0.1)))[1].speech == 0
    assert abs(cut(talk((60, 0.1), (3, 0.9)))[1].speech - 3 * RATE) <= FRAME
    assert cut(talk((5, 0.1), (0.1, 0.9), (5, 0.1)))[1].speech == 0


def test_an_hour_needs_the_memory_of_a_window() -> None:
    cutter = Cutter()
    shape = random.Random(5)
    second = bytes(2 * 31 * FRAME)
    speaking = 0.9
    most = 0
    for _ in range(3600):
        speaking = shape.choice([speaking] * 9 + [0.9, 0.02])
        cutter.feed(second, [speaking] * 31)
        kept = len(cutter._samples), len(cutter._probabilities) * 2 * FRAME, len(cutter._runs)
        most = max(most, *kept)
    assert most <= 2 * (WINDOW_MAX + LOOK_AHEAD + GAP + RATE)
