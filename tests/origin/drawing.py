"""Pictures of our own making: a soft gradient, a disc that moves, and drawn words and digits.

No fonts are needed; the few letters we write are bitmaps below.
"""

import colorsys
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]  # height x width x RGB

INK = np.array([255, 252, 244])
SHADE = np.array([28, 26, 40])

# seven rows of five pixels, each row one number from its bits
GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (30, 1, 1, 14, 1, 1, 30), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), "A": (14, 17, 17, 31, 17, 17, 17), "C": (14, 17, 16, 16, 16, 17, 14),
    "E": (31, 16, 16, 30, 16, 16, 31), "I": (14, 4, 4, 4, 4, 4, 14), "K": (17, 18, 20, 24, 20, 18, 17),
    "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17), "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17), "T": (31, 4, 4, 4, 4, 4, 4), "W": (17, 17, 17, 21, 21, 27, 17),
}  # fmt: skip


def scene(width: int, height: int, *, hue: float, turn: float, word: str, line: str = "") -> Picture:
    """One picture: `hue` and `turn` go from 0 to 1, `word` is large in the middle, `line` small below."""
    down, right = np.mgrid[0:height, 0:width]
    slope = (down / height * 0.7 + right / width * 0.3)[..., None]
    picture = _colour(hue) * (1 - slope) + _colour(hue + 0.16) * slope
    for size, phase in ((0.30, 0.0), (0.17, 0.45)):
        angle = 2 * np.pi * (turn + phase)
        middle = width * (0.5 + 0.3 * np.cos(angle)), height * (0.5 + 0.3 * np.sin(angle))
        distance = np.hypot(right - middle[0], down - middle[1])[..., None]
        disc = np.clip((width * size - distance) / 3, 0, 1) * 0.75  # three pixels of soft edge
        picture = picture * (1 - disc) + _colour(hue + 0.45 + phase / 3) * disc
    _write(picture, word, middle=0.46, scale=max(1, min(width // (7 * max(2, len(word))), height // 16)))
    _write(picture, line, middle=0.88, scale=max(1, width // 90))
    made: Picture = np.clip(picture, 0, 255).astype(np.uint8)
    return made


def _colour(hue: float) -> npt.NDArray[np.float64]:
    return np.array(colorsys.hsv_to_rgb(hue % 1, 0.55, 0.85)) * 255


def _write(picture: npt.NDArray[np.float64], text: str, *, middle: float, scale: int) -> None:
    if not text:
        return
    letters = [GLYPHS.get(letter, (0,) * 7) for letter in text]
    columns = (4, 3, 2, 1, 0, 5)  # bit 5 is never set: the gap between letters
    rows = [[letter[row] >> bit & 1 for letter in letters for bit in columns] for row in range(7)]
    mask = np.kron(np.array(rows), np.ones((scale, scale))).astype(bool)
    top = int(picture.shape[0] * middle) - mask.shape[0] // 2
    left = (picture.shape[1] - mask.shape[1]) // 2
    for offset, colour in ((max(1, scale // 3), SHADE), (0, INK)):
        place = picture[top + offset : top + offset + mask.shape[0], left + offset :][:, : mask.shape[1]]
        place[mask[: place.shape[0], : place.shape[1]]] = colour
