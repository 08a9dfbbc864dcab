"""A window on its way through the model: what was recognised of it, and the piece in work.

Always: times lie inside the window and never go back; what is no text or loops is dropped.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.speech.messages import Job, Recognised
from gateway.speech.spans import Span
from gateway.speech.windows import RATE
from gateway.wire.events import Segment, Word

HOP = 160  # samples of one feature frame
REPETITIVE = 2.4  # compression ratio of a loop, as in Whisper
UNSURE = -1.0  # mean log-probability of bad text, as in Whisper
SILENT = 0.6  # probability of no speech, as in Whisper
_SAME_MAX = 2  # segments of equal text in a row that a looping piece may keep: a chorus, not a loop
_SPEECH_S = 1.0  # so much speech has words: an empty answer to it is a bad one


@dataclass
class Decoded:
    """What the model said of a piece."""

    tokens: list[int]
    logprob: float
    silent: float
    ratio: float
    empty: bool
    encoded: Any  # what it was made of: a row of a batch
    row: int

    @property
    def looping(self) -> bool:
        return self.ratio > REPETITIVE

    @property
    def rank(self) -> tuple[bool, float]:
        """The likeliest text is the best, but any that does not loop is better than one that does."""
        return not self.looping, self.logprob


class Partial:
    """A job and what was recognised of it so far."""

    def __init__(self, number: int, job: Job, sound: Any) -> None:
        self.number = number
        self.job = job
        self.sound = sound
        self.language = ""
        self.probability: float | None = None
        self._segments: list[Segment] = []

    def speech_after(self, sample: int) -> int:
        """Samples of speech from there to the end."""
        return sum(max(0, end - max(start, sample)) for start, end in self.job.marks)

    def add(self, span: Span, offset: float, decoded: Decoded) -> None:
        """Appends a segment, unless it is no text or repeats the last one in a loop."""
        text, last = span.text, self._segments[-1] if self._segments else None
        same = [segment.text for segment in self._segments[-_SAME_MAX:]] == [text] * _SAME_MAX
        ratio = repetition(text)
        if not any(c.isalnum() for c in text) or ratio > REPETITIVE:
            return
        if decoded.looping and same:
            return
        length_s = len(self.sound) / RATE
        start = min(max(span.start + offset, last.end if last else 0.0), length_s)
        end = min(max(span.end + offset, start), length_s)
        words: list[Word] = []
        for word in span.words:
            begin = min(max(float(word["start"]) + offset, words[-1].end if words else start), end)
            stop = min(max(float(word["end"]) + offset, begin), end)
            words.append(
                Word(round(begin, 3), round(stop, 3), word["word"], round(float(word["probability"]), 4))
            )
        self._segments.append(
            Segment(
                id=len(self._segments),
                start=round(start, 3),
                end=round(end, 3),
                text=text,
                avg_logprob=round(decoded.logprob, 4),
                no_speech_prob=round(decoded.silent, 4),
                compression_ratio=round(ratio, 4),
                words=tuple(words) if self.job.options.words else None,
            )
        )

    def answer(self) -> Recognised:
        """All of it."""
        return Recognised(tuple(self._segments), self.language, self.probability)


class Piece:
    """A window from some sample to its end, and what the model says of it."""

    decoded: Decoded

    def __init__(self, window: Partial, start: int) -> None:
        self.window = window
        self.start = start
        self.sound = window.sound[start:]
        self.frames = len(self.sound) // HOP
        self.seconds = len(self.sound) / RATE

    @property
    def fine(self) -> bool:
        """Whether the text may stand; where the model hears no speech, trying again only invents some."""
        decoded = self.decoded
        if decoded.silent > SILENT:
            return True
        if decoded.empty and self.window.speech_after(self.start) >= _SPEECH_S * RATE:
            return False
        return not decoded.looping and decoded.logprob >= UNSURE


def repetition(text: str) -> float:
    """The compression ratio of a text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def floats(samples: bytes) -> Any:
    """Samples as the model takes them."""
    return np.frombuffer(samples, dtype="<i2").astype(np.float32) / 32768
