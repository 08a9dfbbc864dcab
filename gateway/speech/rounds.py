"""Windows to words, in a worker: a batch goes through the model, and what was bad or left goes again.

Always: every window of a batch is answered exactly once; times lie inside the window and never
go back; what the model left unheard at a window's end is heard again.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from gateway.speech import context
from gateway.speech.messages import Job, Recognised
from gateway.speech.pieces import SILENT, UNSURE, Partial, Piece, floats
from gateway.speech.whisper import Whisper
from gateway.speech.windows import RATE

LANGUAGE_SURE = 0.7  # below it, 5 s of silence are too little to tell (wrong on a 2.8 s clip)

# In the language heard before, text of another one had -.62 at the best, text of its own -.49 at the
# worst, but for the last words of a window. Joins of English and German clips: 25.9 % of the words
# wrong without a second look, 9.3 % with it; clips of one language stay as they were.
DOUBTFUL = -0.5  # mean log-probability
_DOUBTFUL_S = 2.0  # of speech; less does not tell a language

# A looping window took 12 s instead of 1.6 with Whisper's five tries: two, alone, with all the
# context there is, after the other windows of the batch were answered.
FALLBACKS = (0.0, 0.4)  # temperatures above that of the first try
FALLBACKS_FULL = (0.2, 0.6)  # where the first try had the full context already
_TEMPERATURE_MAX = 1.0

# Speech after the last timestamp is heard again. Two equal timestamps at the end say that there
# is more; one says that there is not, and is believed less than the voice detector.
TAIL_S = 0.4
TAIL_AFTER_END_S = 1.0
_ROUNDS_MAX = 4

HeardLanguage = Callable[[int, str, float | None], None]


class Rounds:
    """How windows go through one model. `silence_s` as in `context.seconds`."""

    def __init__(self, model: Whisper, *, name: str, silence_s: float | None) -> None:
        self._model = model
        self._name = name
        self._silence_s = silence_s

    def recognise(self, jobs: Sequence[Job], heard: HeardLanguage) -> Iterator[tuple[int, Recognised]]:
        """Answers each job as soon as it is done. All have equal context, prompt, hotwords and temperature.

        `heard` is told the language of each window before any text.
        """
        windows = [Partial(i, job, floats(job.samples)) for i, job in enumerate(jobs)]
        pieces = [Piece(window, 0) for window in windows]
        encoded = self._model.encode(pieces, self._context(pieces[0]))
        self._languages(windows, encoded)
        for window in windows:
            heard(window.number, window.language, window.probability)
        temperature = jobs[0].options.temperature
        self._model.decode(pieces, encoded, temperature)
        for round_ in range(_ROUNDS_MAX):
            left = []
            for piece in sorted(pieces, key=self._bad):  # those that are tried again last
                if (rest := self._finish(piece)) is not None and round_ < _ROUNDS_MAX - 1:
                    left.append(rest)
                else:
                    yield piece.window.number, piece.window.answer()
            pieces = []
            for context_s, same in groupby(sorted(left, key=self._context), key=self._context):
                group = list(same)
                self._model.decode(group, self._model.encode(group, context_s), temperature)
                pieces += group
            if not pieces:
                return

    def _context(self, piece: Piece) -> int:
        return context.seconds(self._name, piece.seconds, self._silence_s)

    def _languages(self, windows: Sequence[Partial], encoded: Any) -> None:
        """Gives each window its language: the wished one, the one heard before, or the one heard now."""
        if not self._model.multilingual:
            for window in windows:
                window.language, window.probability = "en", None
            return
        known = [window.job.options.language or window.job.before for window in windows]
        found = [] if all(known) else self._model.languages(encoded)
        for i, (window, language) in enumerate(zip(windows, known, strict=True)):
            if language is not None:
                window.language, window.probability = language, None
            else:
                window.language, probability = self._surer(Piece(window, 0), *found[i])
                window.probability = round(probability, 4)

    def _surer(self, piece: Piece, language: str, probability: float) -> tuple[str, float]:
        """The language found in a piece; where that is not sure, the one found with more context."""
        if probability >= LANGUAGE_SURE or self._context(piece) == context.FULL_S:
            return language, probability
        return self._model.languages(self._model.encode([piece], context.FULL_S))[0]

    def _finish(self, piece: Piece) -> Piece | None:
        """Adds the piece's segments to its window; returns the rest that must be heard again."""
        self._listen_again(piece)
        self._fall_back(piece)
        decoded, window = piece.decoded, piece.window
        if decoded.silent > SILENT and decoded.logprob < UNSURE:
            return None
        spans, heard_to, more = self._model.spans(piece)
        for span in spans:
            window.add(span, piece.start / RATE, decoded)
        rest = piece.start + round(heard_to * RATE)
        enough_s = TAIL_S if more else TAIL_AFTER_END_S
        if spans and rest > piece.start and window.speech_after(rest) >= enough_s * RATE:
            return Piece(window, rest)
        return None

    def _bad(self, piece: Piece) -> bool:
        return not piece.fine or self._doubtful(piece)

    def _doubtful(self, piece: Piece) -> bool:
        """Whether the text is so bad that it may be in another language than was heard before."""
        if piece.window.job.before is None or not self._model.multilingual:
            return False
        if piece.window.speech_after(piece.start) < _DOUBTFUL_S * RATE:
            return False
        return piece.decoded.logprob < DOUBTFUL or not piece.fine

    def _listen_again(self, piece: Piece) -> None:
        """Tries a bad piece in the language that is heard in it, if that is not the one heard before."""
        if not self._doubtful(piece):
            return
        window = piece.window
        before, first = window.language, piece.decoded
        encoded = self._model.alone(first)
        language, probability = self._surer(piece, *self._model.languages(encoded)[0])
        if language == before or probability < LANGUAGE_SURE:
            return
        window.language = language
        self._model.decode([piece], encoded, window.job.options.temperature)
        if piece.decoded.empty or not (first.empty or piece.decoded.rank > first.rank):
            window.language, piece.decoded = before, first

    def _fall_back(self, piece: Piece) -> None:
        """Tries a bad piece again; keeps the likeliest text that does not loop."""
        tried = [piece.decoded]
        full = self._context(piece) == context.FULL_S
        encoded = None
        for step in FALLBACKS_FULL if full else FALLBACKS:
            if piece.fine:
                return
            if encoded is None:
                encoded = self._model.encode([piece], context.FULL_S)
            temperature = piece.window.job.options.temperature + step
            self._model.decode([piece], encoded, min(temperature, _TEMPERATURE_MAX))
            tried.append(piece.decoded)
        if not piece.fine:
            piece.decoded = max(tried, key=lambda decoded: decoded.rank)
