"""How a slideshow's film is to look, and what follows from it: its size and its times. Pure.

Also what crosses the pipe to the renderer process, so that neither side imports the other.
"""

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

import msgspec

FRAME = struct.Struct("<cI")  # kind and length of what follows
LENGTH, DATA, SKIPPED, END, FAILED, BROKEN = b"L", b"D", b"S", b"E", b"F", b"B"

LONG, SHORT = 1920, 1080  # the site's own; 8160 macroblocks, what level 4 allows (8192, H.264 table A-1)
SHORT_MIN = 256  # decoders in phones refuse much smaller pictures
ASPECT_MAX = 2.4  # 9:21 is the longest phone; a longer picture is shown whole on the usual canvas
AGREE = 1.01  # aspects this near are one: thumbnailers round
FPS_MIN = 5  # players that seek by frames, and chat apps that cut by them, stumble over fewer
FADE_FPS = 20  # a cross-fade in steps of a twentieth does not flicker
GAP_S_MAX = 1  # so much silence at the end is better than so much of the sound's beginning
# what a request may ask for; the sound is held in memory for as long as 35 slides can last
SLIDE_S_MIN, SLIDE_S_MAX = 0.5, 10.0

Size = tuple[int, int]  # width and height, in pixels


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """How a slideshow is to look. `live`: fragmented, streamed while it is rendered."""

    slide_s: float = 2.5  # what the site's own player shows a slide for
    slide_s_max: float = 5.0  # longer only to fit the sound, and then not for ever
    fade_s: float = 0.0  # a cross-fade to the next slide
    live: bool = False
    slides_max: int = 35  # the site takes no more to a post

    @property
    def least_s(self) -> float:
        """How long a slide is shown at least."""
        return min(max(self.slide_s, SLIDE_S_MIN), SLIDE_S_MAX)

    @property
    def most_s(self) -> float:
        """How long a slide is shown at most."""
        return min(max(self.slide_s_max, self.least_s), SLIDE_S_MAX)


USUAL = Film()


class Photo(msgspec.Struct, frozen=True):
    """One photo of a job: its number in the post, from 1, and its file."""

    number: int
    path: str


class Job(msgspec.Struct, frozen=True):
    """What the renderer is told: one line of JSON."""

    film: Film
    photos: tuple[Photo, ...]
    sound: str | None  # a file; None: the film is silent
    cpu_s: int


class Skipped(msgspec.Struct, frozen=True):
    """What the renderer says of a photo that it left out."""

    number: int
    reason: str


class Times(msgspec.Struct, frozen=True):
    """How long each slide is shown, the fade to the next one included, and how often the sound is played."""

    slide_s: Fraction
    fade_s: Fraction
    looped: bool  # the sound begins again when it has ended

    @property
    def hold_s(self) -> Fraction:
        """How long a slide that has a next one is shown alone."""
        return self.slide_s - self.fade_s


def times(film: Film, slides: int, sound_s: float | None) -> Times:
    """Slides long enough for the whole sound, within bounds; a shorter sound is looped."""
    wanted_s = 0.0 if sound_s is None else sound_s / slides
    slide_s = Fraction(math.ceil(1000 * min(max(film.least_s, wanted_s), film.most_s)), 1000)
    fade_s = Fraction(round(1000 * film.fade_s), 1000)
    return Times(
        slide_s=slide_s,
        fade_s=min(max(fade_s, Fraction(0)), slide_s / 2),
        looped=sound_s is not None and slide_s * slides - sound_s > GAP_S_MAX,
    )


def steps(seconds: Fraction, fps: int = FPS_MIN) -> int:
    """How many frames of one rate fill a time exactly, at no less than `fps`."""
    return math.ceil(seconds * fps)


def canvas(photos: Sequence[Size]) -> Size:
    """The film's size: the photos' own aspect where all agree, at the size of the largest; else 9:16."""
    aspects = [width / height for width, height in photos]
    if max(aspects) > min(aspects) * AGREE or not 1 / ASPECT_MAX <= aspects[0] <= ASPECT_MAX:
        return SHORT, LONG
    width, height = max(photos, key=lambda size: size[0] * size[1])
    bounds = (SHORT, LONG) if width < height else (LONG, SHORT)
    scale = min(1.0, bounds[0] / width, bounds[1] / height)
    scale = max(scale, SHORT_MIN / min(width, height))
    return _even(width * scale), _even(height * scale)


def fitted(photo: Size, onto: Size) -> Size:
    """The size at which the whole photo is shown on a canvas; all of it where the aspects agree."""
    across, down = onto[0] / photo[0], onto[1] / photo[1]
    if max(across, down) <= min(across, down) * AGREE * AGREE:  # each is rounded once
        return onto
    scale = min(across, down)
    return min(onto[0], _even(photo[0] * scale)), min(onto[1], _even(photo[1] * scale))


def _even(length: float) -> int:
    """4:2:0 halves the colour planes, so every length is even."""
    return max(2, round(length / 2) * 2)
