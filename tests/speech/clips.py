"""Sounds for the tests: real speech as samples, its words, and how far a text is from them."""

import io
import json
import os
import re
import unicodedata
import wave
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import av
import jiwer
import numpy as np

from gateway.speech.sound import Sound
from tests.speech import debian_clips

RATE = 16_000
_NUMBERS = {"1": "one", "10": "ten", "mr": "mister"}


@dataclass(frozen=True)
class Clip:
    """Speech, s16le mono 16 kHz, and what is said."""

    name: str
    samples: bytes
    text: str
    language: str = "en"

    @property
    def seconds(self) -> float:
        return len(self.samples) / 2 / RATE


def debian() -> list[Clip]:
    """Five sentences read by one person."""
    return [Clip(path.stem[-4:], decoded(path), text) for path, text in debian_clips.librivox().items()]


def held() -> list[Clip] | None:
    """The clips of the folder named by CLIPWIRE_SPEECH; None when it is not set."""
    named = os.environ.get("CLIPWIRE_SPEECH")
    if not named:
        return None
    entries = json.loads((Path(named) / "manifest.json").read_text())
    return [Clip(e["file"], decoded(Path(named) / e["file"]), e["text"], e["language"]) for e in entries]


def joined(clips: list[Clip], pause_s: float) -> Clip:
    """Clips one after the other, as one sound."""
    samples = silence(pause_s).join(clip.samples for clip in clips)
    return Clip("joined", samples, " ".join(clip.text for clip in clips))


def decoded(path: Path) -> bytes:
    out = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            out += [part.to_ndarray().tobytes() for part in resampler.resample(frame)]
        out += [part.to_ndarray().tobytes() for part in resampler.resample(None)]
    return b"".join(out)


def wav(samples: bytes) -> bytes:
    """Samples as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as to:
        to.setnchannels(1)
        to.setsampwidth(2)
        to.setframerate(RATE)
        to.writeframes(samples)
    return file.getvalue()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def noise(seconds: float) -> bytes:
    hiss = np.random.default_rng(1).normal(0, 300, round(seconds * RATE))
    return hiss.astype("<i2").tobytes()


def sound(samples: bytes, chunk: int = 16_000) -> Sound:
    """Samples as the decoder hands them over."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for i in range(0, len(samples), chunk):
            yield samples[i : i + chunk]

    return Sound(chunks)


def error_rate(clip: Clip, text: str) -> float:
    """Word error rate, spelling and numbers aside."""
    return float(jiwer.wer(_plain(clip.text), _plain(text)))


def wrong(clip: Clip, text: str) -> tuple[int, int]:
    """How many words of a text are wrong, missing or too many, and how many there should be."""
    found = jiwer.process_words(_plain(clip.text), _plain(text))
    missed = found.substitutions + found.deletions
    return missed + found.insertions, missed + found.hits


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.lower()).replace("'", "").replace("-", " ")
    words = re.sub(r"[^\w\s]", " ", text).split()
    return " ".join(_NUMBERS.get(word, word) for word in words)
