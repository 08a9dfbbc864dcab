"""Windows to words: the only file that knows faster-whisper and CTranslate2. Used in a worker.

Always: every window of a batch is answered exactly once; times lie inside the window and never
go back; what the model left unheard at a window's end is heard again.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from gateway.speech import context
from gateway.speech.messages import Job, Recognised
from gateway.speech.pieces import HOP, SILENT, UNSURE, Decoded, Partial, Piece, floats, repetition
from gateway.speech.spans import Span, split
from gateway.speech.windows import RATE

_TOKENS_MAX = 448  # halved by CTranslate2 for the answer; most seen was 120 in 26 s
_FIRST_TIME_MAX = 50  # the first timestamp is within the first second, as in Whisper

LANGUAGE_SURE = 0.7  # below it, 5 s of silence are too little to tell (wrong on a 2.8 s clip)

# A looping window took 12 s instead of 1.6 with Whisper's five tries: two, alone, with all the
# context there is, after the other windows of the batch were answered.
FALLBACKS = (0.0, 0.4)  # temperatures
FALLBACKS_FULL = (0.2, 0.6)  # where the first try had the full context already
_BEST_OF = 5

# Speech after the last timestamp is heard again. Two equal timestamps at the end say that there
# is more; one says that there is not, and is believed less than the voice detector.
TAIL_S = 0.4
TAIL_AFTER_END_S = 1.0
_ROUNDS_MAX = 4

HeardLanguage = Callable[[int, str, float | None], None]


class Whisper:
    """One loaded model."""

    def __init__(self, folder: Path, *, name: str, compute_type: str, threads: int, beam_size: int) -> None:
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type=compute_type, cpu_threads=threads, num_workers=1
        )
        self._name = name
        self._beam_size = beam_size
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}

    def recognise(self, jobs: Sequence[Job], heard: HeardLanguage) -> Iterator[tuple[int, Recognised]]:
        """Answers each job as soon as it is done. All have equal context and an equal prompt.

        `heard` is told the language of each window before any text.
        """
        windows = [Partial(i, job, floats(job.samples)) for i, job in enumerate(jobs)]
        pieces = [Piece(window, 0) for window in windows]
        encoded = self._encode(pieces, self._context(pieces[0]))
        self._languages(windows, encoded)
        for window in windows:
            heard(window.number, window.language, window.probability)
        self._decode(pieces, encoded)
        for round_ in range(_ROUNDS_MAX):
            left = []
            for piece in sorted(pieces, key=lambda piece: not piece.fine):  # fallbacks last
                if (rest := self._finish(piece)) is not None and round_ < _ROUNDS_MAX - 1:
                    left.append(rest)
                else:
                    yield piece.window.number, piece.window.answer()
            pieces = []
            for _, same in groupby(sorted(left, key=self._kind), key=self._kind):
                group = list(same)
                self._decode(group, self._encode(group, self._context(group[0])))
                pieces += group
            if not pieces:
                return

    def _kind(self, piece: Piece) -> int:
        return self._context(piece)

    def _context(self, piece: Piece) -> int:
        return context.seconds(self._name, piece.seconds)

    def _encode(self, pieces: Sequence[Piece], context_s: int) -> Any:
        frames = context_s * RATE // HOP
        features = np.zeros(
            (len(pieces), self._model.feature_extractor.mel_filters.shape[0], frames), dtype=np.float32
        )
        for row, piece in zip(features, pieces, strict=True):
            found = self._model.feature_extractor(piece.sound)[:, : min(frames, piece.frames)]
            row[:, : found.shape[1]] = found  # zeros after it, as faster-whisper pads
        return self._model.model.encode(ctranslate2.StorageView.from_array(features))

    def _languages(self, windows: Sequence[Partial], encoded: Any) -> None:
        """Gives each window its language: the wished one, or the one heard."""
        if not self._model.model.is_multilingual:
            for window in windows:
                window.language, window.probability = "en", None
            return
        known = all(window.job.options.language for window in windows)
        found = None if known else self._model.model.detect_language(encoded)
        for i, window in enumerate(windows):
            if window.job.options.language:
                window.language, window.probability = window.job.options.language, None
                continue
            assert found is not None
            token, probability = found[i][0]
            piece = Piece(window, 0)
            if probability < LANGUAGE_SURE and self._context(piece) < context.FULL_S:
                full = self._encode([piece], context.FULL_S)
                token, probability = self._model.model.detect_language(full)[0][0]
            window.language, window.probability = token[2:-2], round(probability, 4)

    def _tokenizer(self, window: Partial) -> Tokenizer:
        key = window.language, window.job.options.task
        if key not in self._tokenizers:
            self._tokenizers[key] = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, key[1], key[0]
            )
        return self._tokenizers[key]

    def _prompt(self, window: Partial) -> list[int]:
        tokenizer = self._tokenizer(window)
        prompt = window.job.options.prompt
        before = tokenizer.encode(" " + prompt.strip()) if prompt and prompt.strip() else []
        tokens: list[int] = self._model.get_prompt(tokenizer, before)
        return tokens

    def _decode(self, pieces: Sequence[Piece], encoded: Any, temperature: float = 0) -> None:
        """Fills in what the model says of each piece."""
        how: dict[str, Any] = {"beam_size": self._beam_size, "patience": 1}
        if temperature:
            how = {
                "beam_size": 1,
                "num_hypotheses": _BEST_OF,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        tokenizer = self._tokenizer(pieces[0].window)
        results = self._model.model.generate(
            encoded,
            [self._prompt(piece.window) for piece in pieces],
            length_penalty=1,
            max_length=_TOKENS_MAX,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            max_initial_timestamp_index=_FIRST_TIME_MAX,
            **how,
        )
        for i, (piece, result) in enumerate(zip(pieces, results, strict=True)):
            tokens = result.sequences_ids[0]
            text = tokenizer.decode(tokens).strip()
            piece.decoded = Decoded(
                tokens=tokens,
                logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
                silent=result.no_speech_prob,
                ratio=repetition(text),
                empty=not text,
            )
            piece.encoded, piece.row = encoded, i

    def _finish(self, piece: Piece) -> Piece | None:
        """Adds the piece's segments to its window; returns the rest that must be heard again."""
        self._fall_back(piece)
        decoded, window = piece.decoded, piece.window
        if decoded.silent > SILENT and decoded.logprob < UNSURE:
            return None
        tokenizer = self._tokenizer(window)
        spans, heard_to, more = split(decoded.tokens, tokenizer.timestamp_begin, tokenizer.eot, piece.seconds)
        if window.job.options.words:
            self._align(piece, spans, tokenizer)
        offset = piece.start / RATE
        for span in spans:
            window.add(span, tokenizer.decode(span.tokens).strip(), offset, decoded)
        rest = piece.start + round(heard_to * RATE)
        enough_s = TAIL_S if more else TAIL_AFTER_END_S
        if spans and rest > piece.start and window.speech_after(rest) >= enough_s * RATE:
            return Piece(window, rest)
        return None

    def _fall_back(self, piece: Piece) -> None:
        """Tries a bad piece again; keeps the likeliest text that does not loop."""
        tried = [(piece.decoded, piece.encoded, piece.row)]
        full = self._context(piece) == context.FULL_S
        encoded = None
        for temperature in FALLBACKS_FULL if full else FALLBACKS:
            if piece.fine:
                return
            if encoded is None:
                encoded = self._encode([piece], context.FULL_S)
            self._decode([piece], encoded, temperature)
            tried.append((piece.decoded, encoded, 0))
        if not piece.fine:
            calm = [t for t in tried if not t[0].looping]
            piece.decoded, piece.encoded, piece.row = max(calm or tried, key=lambda t: t[0].logprob)

    def _align(self, piece: Piece, spans: list[Span], tokenizer: Tokenizer) -> None:
        """Gives the spans their words."""
        if not spans:
            return
        rows = np.asarray(piece.encoded)[piece.row : piece.row + 1]
        segments: list[dict[str, Any]] = [
            {"seek": 0, "start": s.start, "end": s.end, "tokens": s.tokens, "words": []} for s in spans
        ]
        self._model.add_word_timestamps(
            [segments],
            tokenizer,
            ctranslate2.StorageView.from_array(np.ascontiguousarray(rows)),
            min(piece.frames, rows.shape[1] * 2),
            "\"'“¿([{-",
            "\"'.。,，!！?？:：”)]}、",
            0.0,
        )
        for span, segment in zip(spans, segments, strict=True):
            span.words = segment["words"]
            span.start, span.end = float(segment["start"]), float(segment["end"])
