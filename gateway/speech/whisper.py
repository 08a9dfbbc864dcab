"""One model, as windows need it: the only file that knows faster-whisper and CTranslate2. In a worker."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from gateway.speech.pieces import HOP, Decoded, Partial, Piece, repetition
from gateway.speech.spans import Span, split
from gateway.speech.windows import RATE

_NO_WORDS = re.compile(r"<\|[^|>]*\|>|[\x00-\x1f\x7f]+")  # the model's own signs, and control characters
_PROMPT_MAX = 223  # tokens of hotwords and prompt together: half of what the decoder can see
_TOKENS_MAX = 224  # of an answer, the other half; most seen was 120 in 26 s
_TOKENS_PER_S = 30  # a loop ends sooner in a short piece: 2.8 s became .3 in one of .6 s
_TOKENS_LEAST = 20
_FIRST_TIME_MAX = 50  # the first timestamp is within the first second, as in Whisper
_BEST_OF = 5

_BEFORE_WORD = "\"'“¿([{-"
_AFTER_WORD = "\"'.。,，!！?？:：”)]}、"


class Whisper:
    """The model, loaded."""

    def __init__(
        self, folder: Path, *, compute_type: str, threads: int, beam_size: int, device: str = "cpu"
    ) -> None:
        self._model = WhisperModel(
            str(folder), device=device, compute_type=compute_type, cpu_threads=threads, num_workers=1
        )
        self._beam_size = beam_size
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}

    @property
    def multilingual(self) -> bool:
        """Whether it knows another language than English."""
        return bool(self._model.model.is_multilingual)

    def encode(self, pieces: Sequence[Piece], context_s: int) -> Any:
        """What the encoder makes of some pieces, a row of each."""
        frames = context_s * RATE // HOP
        features = np.zeros(
            (len(pieces), self._model.feature_extractor.mel_filters.shape[0], frames), dtype=np.float32
        )
        for row, piece in zip(features, pieces, strict=True):
            found = self._model.feature_extractor(piece.sound)[:, : min(frames, piece.frames)]
            row[:, : found.shape[1]] = found  # zeros after it, as faster-whisper pads
        return self._model.model.encode(ctranslate2.StorageView.from_array(features))

    def alone(self, decoded: Decoded) -> Any:
        """What the encoder made of one piece of a batch."""
        row = np.asarray(decoded.encoded)[decoded.row : decoded.row + 1]
        return ctranslate2.StorageView.from_array(np.ascontiguousarray(row))

    def languages(self, encoded: Any) -> list[tuple[str, float]]:
        """The likeliest language of each row, and how likely it is."""
        found = self._model.model.detect_language(encoded)
        return [(row[0][0][2:-2], row[0][1]) for row in found]

    def decode(self, pieces: Sequence[Piece], encoded: Any, temperature: float) -> None:
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
        prompts = [self._prompt(piece.window) for piece in pieces]
        results = self._model.model.generate(
            encoded,
            prompts,
            length_penalty=1,
            max_length=length(max(piece.seconds for piece in pieces), len(prompts[0])),
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
                encoded=encoded,
                row=i,
            )

    def spans(self, piece: Piece) -> tuple[list[Span], float, bool]:
        """What was decoded, as `split` has it; with words where they are wanted."""
        tokenizer = self._tokenizer(piece.window)
        tokens = piece.decoded.tokens
        spans, heard_to, more = split(tokens, tokenizer.timestamp_begin, tokenizer.eot, piece.seconds)
        for span in spans:
            span.text = tokenizer.decode(span.tokens).strip()
        if spans and piece.window.job.options.words:
            self._align(piece, spans, tokenizer)
        return spans, heard_to, more

    def _align(self, piece: Piece, spans: list[Span], tokenizer: Tokenizer) -> None:
        """Gives the spans their words."""
        encoded = self.alone(piece.decoded)
        segments: list[dict[str, Any]] = [
            {"seek": 0, "start": s.start, "end": s.end, "tokens": s.tokens, "words": []} for s in spans
        ]
        frames = min(piece.frames, encoded.shape[1] * 2)
        self._model.add_word_timestamps(
            [segments], tokenizer, encoded, frames, _BEFORE_WORD, _AFTER_WORD, 0.0
        )
        for span, segment in zip(spans, segments, strict=True):
            span.words = segment["words"]
            span.start, span.end = float(segment["start"]), float(segment["end"])

    def _tokenizer(self, window: Partial) -> Tokenizer:
        key = window.language, window.job.options.task
        if key not in self._tokenizers:
            self._tokenizers[key] = Tokenizer(self._model.hf_tokenizer, self.multilingual, key[1], key[0])
        return self._tokenizers[key]

    def _prompt(self, window: Partial) -> list[int]:
        """Hotwords, then the prompt, as faster-whisper has them; both together may be too long for it."""
        tokenizer = self._tokenizer(window)

        def tokens(text: str | None) -> list[int]:
            words = _NO_WORDS.sub(" ", text or "").strip()
            return list(tokenizer.encode(" " + words)) if words else []

        hotwords = tokens(window.job.options.hotwords)[:_PROMPT_MAX]
        prompt = tokens(window.job.options.prompt)
        before = hotwords + prompt[max(0, len(prompt) + len(hotwords) - _PROMPT_MAX) :]
        return [*([tokenizer.sot_prev] if before else []), *before, *tokenizer.sot_sequence]


def length(seconds: float, prompt: int) -> int:
    """What CTranslate2 is told so that an answer has as many tokens as such a piece may need.

    It allows for half of it, and for no more than is left after the prompt.
    """
    tokens = min(_TOKENS_MAX, _TOKENS_LEAST + round(seconds * _TOKENS_PER_S))
    return min(2 * _TOKENS_MAX, tokens + max(tokens, prompt))
