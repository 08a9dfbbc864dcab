from collections.abc import Callable

import numpy as np
import pytest

from gateway.speech.loudness import SILENCE, Loudness
from tests.speech import sounds
from tests.speech.clips import RATE, Clip, silence


def hear(samples: bytes, chunk: int = 32_000) -> Loudness:
    loudness = Loudness()
    for i in range(0, len(samples), chunk):
        loudness.hear(samples[i : i + chunk])
    return loudness


def scaled(samples: bytes, factor: float) -> bytes:
    return (np.frombuffer(samples, "<i2") * factor).round().astype("<i2").tobytes()


def test_nothing_is_silence() -> None:
    assert Loudness().silence
    assert hear(silence(3)).silence


def test_dither_and_an_offset_are_silence() -> None:
    dither = np.random.default_rng(1).uniform(-1, 1, 3 * RATE).round().astype("<i2")
    assert hear(dither.tobytes()).silence
    assert hear((dither + 200).tobytes()).silence


@pytest.mark.parametrize("made", sounds.WORDLESS.values(), ids=sounds.WORDLESS)
def test_what_is_heard_is_not(made: Callable[[], bytes]) -> None:
    samples = made()
    assert not hear(samples).silence
    assert not hear(samples, chunk=1000).silence


def test_speech_too_soft_to_be_heard_is_silence(debian_clips: list[Clip]) -> None:
    assert not hear(debian_clips[0].samples).silence
    assert hear(scaled(debian_clips[0].samples, SILENCE / 32768)).silence
