"""Sounds with words, as many different ones as are wanted: pieces of the origin's own narration."""

import io
import random
import wave
from functools import cache

from tests.origin.media import FOLDER
from tests.speech import clips

SHORTEST_S, LONGEST_S = 1.5, 4.0
TELEPHONE = 8000  # samples a second of what goes over a slow line


def piece(chance: random.Random) -> bytes:
    """Some seconds of speech, as a WAV that nobody has sent before."""
    samples = _narration()
    count = 2 * int(chance.uniform(SHORTEST_S, LONGEST_S) * clips.RATE)
    at = 2 * chance.randrange((len(samples) - count) // 2)
    return clips.wav(samples[at : at + count])


def hush(chance: random.Random) -> bytes:
    """Silence that nobody has sent before: it costs no model."""
    return clips.wav(clips.silence(chance.uniform(0.5, 3)))


def telephone(seconds: float) -> bytes:
    """Silence in few bytes."""
    file = io.BytesIO()
    with wave.open(file, "wb") as to:
        to.setnchannels(1)
        to.setsampwidth(1)
        to.setframerate(TELEPHONE)
        to.writeframes(b"\x80" * round(seconds * TELEPHONE))
    return file.getvalue()


@cache
def _narration() -> bytes:
    return clips.decoded(FOLDER / "speech.mp4")
