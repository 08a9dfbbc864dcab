"""A model's answer as stretches of text between timestamps. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_TICK_S = 0.02  # seconds of one timestamp token


@dataclass
class Span:
    """A stretch of text between two timestamps, in seconds from the piece's start."""

    start: float
    end: float
    tokens: list[int]
    text: str = ""
    words: list[dict[str, Any]] = field(default_factory=list)


def split(tokens: Sequence[int], time0: int, eot: int, length_s: float) -> tuple[list[Span], float, bool]:
    """The spans of an answer, the time up to which the model heard, and whether it meant to go on.

    faster-whisper's own split drops text that no timestamp closes; here it lasts to the end.
    """
    spans: list[Span] = []
    text: list[int] = []
    start = 0.0
    for token in tokens:
        if token < eot:
            text.append(token)
        elif token >= time0:
            time = min((token - time0) * _TICK_S, length_s)
            if text:
                spans.append(Span(start, max(time, start), text))
                text = []
            start = max(time, start)
    if text:
        spans.append(Span(start, length_s, text))
        return spans, length_s, False
    times = [token >= time0 for token in tokens[-2:]]
    return spans, start, times == [True, True]
