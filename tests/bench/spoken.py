"""The recordings that the speech benches use, as films that a post can show."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.origin import encoding
from tests.origin.drawing import scene
from tests.origin.encoding import Film
from tests.speech import clips
from tests.speech.clips import Clip

CACHE = Path(__file__).parents[2] / ".cache" / "bench"
ONE_S, LONG_S = 53, 200  # where they are made of sentences
PAUSE_S = 0.6
AT_ONCE = 8

BLOCK = clips.RATE // 100
PAUSE_BLOCKS = 20  # the quietest fifth of a second is between two sentences
SEARCH_BLOCKS = 400  # four seconds to either side

# the sound and hardly a picture: what is measured is the recognition
SMALL = Film(width=180, height=320, fps=1, preset="ultrafast", sample_rate=24_000, sound_bits=48_000)
# as heavy as the site's own, near 1 Mbit/s: what is measured is the arriving
HEAVY = Film(width=576, height=1024, fps=1, preset="ultrafast", crf=36, sound_bits=64_000)


@dataclass(frozen=True)
class Spoken:
    """One of a minute, a long one, and the long one in eight pieces."""

    one: Clip
    long: Clip
    several: Sequence[Clip]


def spoken() -> Spoken:
    """From the folder that CLIPWIRE_SPEECH names; otherwise from Debian's sentences."""
    if (held := clips.held()) is not None:
        by_length = sorted(held, key=lambda clip: clip.seconds)
        long, one = by_length[-1], by_length[-2]
    else:
        one = clips.joined(clips.debian(), PAUSE_S)
        one = clips.joined([one] * round(ONE_S / one.seconds), PAUSE_S)
        long = clips.joined([one] * round(LONG_S / one.seconds), PAUSE_S)
    return Spoken(one, long, pieces(long, AT_ONCE))


def pieces(clip: Clip, count: int) -> list[Clip]:
    """A clip cut at pauses into about equal pieces. The first has all their words."""
    sound = np.frombuffer(clip.samples, "<i2").astype(np.float32)
    blocks = sound[: len(sound) // BLOCK * BLOCK].reshape(-1, BLOCK)
    loudness = np.convolve(np.abs(blocks).mean(axis=1), np.ones(PAUSE_BLOCKS), "same")
    edges = [0]
    for k in range(1, count):
        middle = len(blocks) * k // count
        near = slice(middle - SEARCH_BLOCKS, middle + SEARCH_BLOCKS)
        edges.append(2 * BLOCK * (near.start + int(loudness[near].argmin())))
    edges.append(len(clip.samples))
    return [
        Clip(f"{clip.name} {n}", clip.samples[start:stop], "" if n else clip.text, clip.language)
        for n, (start, stop) in enumerate(pairwise(edges))
    ]


def film(clip: Clip, make: Film) -> Path:
    """A film with this sound, made once and kept."""
    name = hashlib.sha256(clip.samples + repr(make).encode()).hexdigest()[:16]
    kept = CACHE / f"{name}.mp4"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        sound = CACHE / f"{name}.raw"
        sound.write_bytes(clip.samples)
        grain = np.random.default_rng(1)
        still = scene(make.width, make.height, hue=0.6, turn=0.1, word="1")

        def picture(_: float) -> np.ndarray:
            if make is not HEAVY:
                return still
            return np.clip(still + grain.normal(0, 24, still.shape), 0, 255).astype(np.uint8)

        encoding.film(kept.with_suffix(".part"), make, sound, picture)
        kept.with_suffix(".part").replace(kept)
        sound.unlink()
    return kept


def copy(film: Path, to: Path, number: int) -> Path:
    """The same film in other bytes: a box that players skip makes each copy a file that was never seen."""
    mark = struct.pack(">I4sQ", 16, b"free", number)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(film.read_bytes() + mark)
    return to
