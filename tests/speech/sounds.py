"""Sounds without words, made by arithmetic: s16le mono 16 kHz."""

from collections.abc import Callable

import numpy as np

from tests.speech import clips
from tests.speech.clips import RATE

CHORDS = ((220, 277.2, 329.6), (174.6, 220, 261.6), (196, 246.9, 293.7), (164.8, 207.7, 246.9))
EE = ((300, 60), (2300, 100), (3000, 120))  # Hz of a vowel's formants, and their widths


def hiss() -> bytes:
    return clips.noise(10)


def tone() -> bytes:
    return _pcm(0.1 * np.sin(2 * np.pi * 440 * _seconds(10)))


def hum() -> bytes:
    """Of the mains."""
    at = _seconds(10)
    return _pcm(np.sum([0.05 / k * np.sin(2 * np.pi * 50 * k * at) for k in range(1, 6)], axis=0))


def rumble() -> bytes:
    """Of a street: noise below 80 Hz."""
    spectrum = np.fft.rfft(np.random.default_rng(2).normal(0, 1, 10 * RATE))
    spectrum[np.fft.rfftfreq(10 * RATE, 1 / RATE) > 80] = 0
    noise = np.fft.irfft(spectrum)
    return _pcm(0.3 * noise / np.abs(noise).max())


def click() -> bytes:
    """One in silence."""
    sound = np.zeros(10 * RATE)
    sound[5 * RATE : 5 * RATE + 40] = np.random.default_rng(3).uniform(-0.8, 0.8, 40)
    return _pcm(sound)


def music() -> bytes:
    """Chords over a bass drum, a snare drum and a hi-hat."""
    beat, noise = _seconds(0.5), np.random.default_rng(4)
    sound = []
    for n in range(40):
        chord = [np.sin(2 * np.pi * hertz * k * beat) / k for hertz in CHORDS[n // 4 % 4] for k in (1, 2, 3)]
        played = 0.06 * np.sum(chord, axis=0) * np.exp(-3 * beat)
        played += 0.05 * noise.normal(0, 1, len(beat)) * np.exp(-80 * beat)
        if n % 2:
            played += 0.15 * noise.normal(0, 1, len(beat)) * np.exp(-25 * beat)
        else:
            falling = 2 * np.pi * (50 + 80 * np.exp(-30 * beat)) * beat
            played += 0.4 * np.sin(falling) * np.exp(-12 * beat)
        sound.append(played)
    return _pcm(np.concatenate(sound))


def vowel() -> bytes:
    """A voice that says nothing: pulses of 110 Hz with some vibrato, through three formants."""
    at = _seconds(6)
    sound = np.diff(np.floor(np.cumsum(110 * (1 + 0.03 * np.sin(2 * np.pi * 5 * at))) / RATE), prepend=0)
    for hertz, width in EE:
        radius = np.exp(-np.pi * width / RATE)
        near, far = 2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2
        one = two = 0.0
        heard = []
        for pulse in sound:
            one, two = pulse + near * one - far * two, one
            heard.append(one)
        sound = np.array(heard)
    return _pcm(0.3 * sound / np.abs(sound).max())


WORDLESS: dict[str, Callable[[], bytes]] = {
    "hiss": hiss, "tone": tone, "hum": hum, "rumble": rumble, "click": click, "music": music
}  # fmt: skip


def _seconds(length_s: float) -> np.ndarray:
    return np.arange(round(length_s * RATE)) / RATE


def _pcm(sound: np.ndarray) -> bytes:
    return np.clip(sound * 32767, -32768, 32767).astype("<i2").tobytes()
