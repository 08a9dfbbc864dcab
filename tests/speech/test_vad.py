import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from gateway.speech.vad import FRAME, Detector, Hearing
from tests.speech.clips import Clip


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.mark.parametrize("chunk", [2, 700, 1024, 32_000, 10**9])
def test_every_split_is_heard_as_the_whole(detector: Detector, passage: Clip, chunk: int) -> None:
    samples = passage.samples[: 2 * 16_000 * 12 + 246] if chunk < 1024 else passage.samples
    hearing = Hearing(detector)
    heard = [p for i in range(0, len(samples), chunk) for p in hearing.hear(samples[i : i + chunk])]
    heard += hearing.finish()

    sound = np.frombuffer(samples, dtype="<i2").astype(np.float32) / 32768
    rest = -len(sound) % FRAME
    whole = get_vad_model()(np.pad(sound, (0, rest + FRAME)))  # it blanks the end of its last frame
    assert np.allclose(heard, whole.ravel()[: len(heard)], atol=1e-4)
    assert len(heard) * FRAME == len(sound) + rest


def test_sounds_do_not_mix(detector: Detector, debian_clips: list[Clip]) -> None:
    alone = Hearing(detector).hear(debian_clips[0].samples)
    one, other = Hearing(detector), Hearing(detector)
    mixed: list[float] = []
    for a, b in itertools.zip_longest(
        _batches(debian_clips[0].samples), _batches(debian_clips[1].samples), fillvalue=b""
    ):
        mixed += one.hear(a)
        other.hear(b)
    assert np.allclose(mixed, alone, atol=1e-4)


def test_the_gateway_does_not_load_the_recogniser() -> None:
    heavy = {"ctranslate2", "av", "faster_whisper"}
    code = f"import sys, gateway.speech.transcripts; print({heavy} & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert said.stdout.strip() == "set()"


def _batches(data: bytes) -> list[bytes]:
    return [data[i : i + 9600] for i in range(0, len(data), 9600)]
