"""Makes the files in `clips/`; run by hand, only when they should change: `python -m tests.origin.render`.

Needs the speech synthesiser `espeak-ng` on the path, which nothing else here needs.
"""

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from tests.origin import encoding
from tests.origin.drawing import Picture, scene
from tests.origin.media import FOLDER

# about as fast as a calm reader; the default speed is harder for a recogniser
VOICE = ("-v", "en-us", "-s", "145", "-g", "2")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        speech, video, sound = (
            spoken(Path(folder), name) for name in ("narration.txt", "video.txt", "sound.txt")
        )
        make = encoding.Film(width=576, height=1024, crf=30, preset="medium")
        encoding.film(FOLDER / "video.mp4", make, video, harbour)
        make = encoding.Film(width=576, height=1024, fps=8, crf=38, preset="medium", sound_bits=48_000)
        encoding.film(FOLDER / "speech.mp4", make, speech, lighthouse)
        make = encoding.Film(width=360, height=640, fps=5, crf=36, sound_bits=32_000, sample_rate=22_050)
        encoding.film(FOLDER / "watermarked.mp4", make, video, watermarked)
        encoding.mp3(FOLDER / "sound.mp3", sound)
        encoding.mp3(FOLDER / "music.mp3", melody(Path(folder)))
        for number in (1, 2, 3):
            slide = scene(720, 1280, hue=number / 3 - 0.2, turn=number / 3, word=str(number), line="CLIPWIRE")
            (FOLDER / f"slide-{number}.jpg").write_bytes(encoding.image(slide, quality=5))


def harbour(second: float) -> Picture:
    return scene(576, 1024, hue=0.95, turn=second / 6, word=str(int(second)), line="CLIPWIRE")


def lighthouse(second: float) -> Picture:
    return scene(576, 1024, hue=0.55, turn=second / 60, word=str(int(second)), line="CLIPWIRE")


def watermarked(second: float) -> Picture:
    return scene(360, 640, hue=0.95, turn=second / 6, word="WATERMARK", line=str(int(second)))


def spoken(folder: Path, text: str) -> Path:
    path = folder / f"{text}.wav"
    subprocess.run(["espeak-ng", *VOICE, "-w", str(path), "-f", str(FOLDER / text)], check=True)
    return path


def melody(folder: Path, rate: int = 22_050) -> Path:
    """Four notes, twice, without a word: nobody can take it for what the videos say."""
    path, seconds = folder / "melody.wav", np.arange(rate) / rate
    notes = [np.sin(2 * np.pi * hertz * seconds) * np.exp(-3 * seconds) for hertz in (262, 330, 392, 523)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.concatenate(notes * 2) * 12_000).astype("<i2").tobytes())
    return path


if __name__ == "__main__":
    main()
