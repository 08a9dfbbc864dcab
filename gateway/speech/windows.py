"""Cuts a sound at its silences into windows for the model. Pure: no await, no clock.

Always: windows follow each other without overlap; none is longer than 30 s; together they hold
all speech. A sound of any length needs the memory of one window and the look ahead.
"""

from collections.abc import Iterable

import msgspec

RATE = 16_000  # samples per second of everything the model hears
FRAME = 512  # samples of one speech probability

# Measured on 26 clips in six languages by word error rate and time to first text.
FIRST_MAX = 8 * RATE  # the first window is short so that text comes early; 5 s gains little more
WINDOW_MAX = 30 * RATE  # what the model can hear at once; 25 and 20 s cost .3 and .8 points
GAP = 2 * RATE  # so long a silence closes a window ...
WINDOW_LEAST = 3 * RATE  # ... once it has this: a window of .8 s came out as nonsense
PAD = RATE // 4  # silence kept around speech: the model needs the onset
LOOK_AHEAD = 4 * RATE  # speech that ends so soon after a cut is not left behind as a crumb
SEARCH = 8 * RATE  # how far before the limit the longest silence is looked for: it ends a sentence
SEARCH_SPEECH = 5 * RATE  # where there is none: how far the least speech is looked for
SILENCE = RATE // 10  # a shorter pause is inside a word
SPEECH_LEAST = RATE // 5  # less in a whole window is a click, not a word

ON = 0.5  # speech begins at this probability ...
OFF = 0.35  # ... and ends below this one, as in silero's own iterator


class Window(msgspec.Struct, frozen=True):
    """A cut of a sound, self-contained. Offsets in samples."""

    start: int  # in the sound
    samples: bytes  # s16le, mono, 16 kHz
    marks: tuple[tuple[int, int], ...]  # the speech inside, from the window's own start
    first: bool  # of its sound

    @property
    def length(self) -> int:
        return len(self.samples) // 2

    @property
    def seconds(self) -> float:
        return self.length / RATE


class Cutter:
    """Fed with samples and their speech probabilities, gives windows as soon as they are sure."""

    def __init__(self) -> None:
        self._samples = bytearray()  # from _base on
        self._base = 0
        self._probabilities: list[float] = []  # of the frames from _frame_base on
        self._frame_base = 0
        self._runs: list[tuple[int, int]] = []  # speech not yet in a window, in samples
        self._speaking = False  # the last run is still going on
        self._edge = 0  # end of the last window
        self._cuts = 0
        self._speech = 0

    @property
    def received(self) -> int:
        """Samples so far."""
        return self._base + len(self._samples) // 2

    @property
    def speech(self) -> int:
        """Samples of speech in the windows so far."""
        return self._speech

    def feed(self, samples: bytes, probabilities: Iterable[float]) -> list[Window]:
        """Windows that these samples and the probabilities of the next frames complete."""
        self._samples += samples
        for probability in probabilities:
            self._hear(probability)
        return self._windows(final=False)

    def finish(self) -> list[Window]:
        """The windows that are left at the end of the sound."""
        end = self.received
        self._runs = [(start, min(stop, end)) for start, stop in self._runs if start < end]
        self._speaking = False
        return self._windows(final=True)

    def _hear(self, probability: float) -> None:
        start = self._heard
        self._probabilities.append(probability)
        if self._speaking:
            begun, _ = self._runs[-1]
            self._speaking = probability >= OFF
            if self._speaking:
                self._runs[-1] = (begun, start + FRAME)
        elif probability >= ON:
            self._speaking = True
            if self._runs and start - self._runs[-1][1] < SILENCE:
                self._runs[-1] = (self._runs[-1][0], start + FRAME)
            else:
                self._runs.append((start, start + FRAME))

    @property
    def _heard(self) -> int:
        """Samples whose probability is known."""
        return (self._frame_base + len(self._probabilities)) * FRAME

    def _windows(self, *, final: bool) -> list[Window]:
        windows: list[Window] = []
        while self._runs:
            start = max(self._edge, self._runs[0][0] - PAD)
            end = self._end(start, final=final)
            if end is None:
                self._forget(start)
                return windows
            if (window := self._take(start, end)) is not None:
                windows.append(window)
        self._forget(max(self._edge, self._heard - PAD))
        return windows

    def _end(self, start: int, *, final: bool) -> int | None:
        """Where the window that begins at `start` ends; None while that is not sure."""
        limit = start + (WINDOW_MAX if self._cuts else FIRST_MAX)
        known = self.received if final else self._heard
        closing = self._closing(start, known, final=final)
        if closing is not None and closing + PAD <= limit + (0 if self._cuts else LOOK_AHEAD):
            return min(closing + PAD, self.received)
        if not final and known < limit + LOOK_AHEAD:
            return None
        if closing is not None and self._cuts and closing < limit + LOOK_AHEAD:
            limit = closing - LOOK_AHEAD  # leave a window, not a crumb
        return self._best_cut(start, limit)

    def _closing(self, start: int, known: int, *, final: bool) -> int | None:
        """Where the speech from `start` comes to a silence that closes a window."""
        for i, (_, stop) in enumerate(self._runs):
            last = i == len(self._runs) - 1
            if last and final:
                return stop
            if last and self._speaking:
                return None
            until = known if last else self._runs[i + 1][0]
            if until - stop < GAP:
                continue
            # a crumb waits for more speech, as long as that fits into the same window
            if stop - start >= WINDOW_LEAST or until - start > WINDOW_MAX - WINDOW_LEAST:
                return stop
        return None

    def _best_cut(self, start: int, limit: int) -> int:
        """The longest silence shortly before `limit`, else an earlier one, else the least speech."""
        earliest = max(start + WINDOW_LEAST, start + (limit - start) // 2)
        search = max(limit - SEARCH, start + WINDOW_LEAST)
        near: tuple[int, int] | None = None  # length, where
        far: int | None = None
        for (_, stop), (begin, _) in zip(self._runs, self._runs[1:], strict=False):
            middle = (stop + begin) // 2
            cut = min(middle, stop + PAD)
            if search <= cut <= limit:
                near = max(near or (0, 0), (begin - stop, cut))
            elif earliest <= cut < search:
                far = cut
        if near is not None:
            return near[1]
        if far is not None:
            return far
        search = max(limit - SEARCH_SPEECH, start + WINDOW_LEAST)
        frames = range(search // FRAME + 1, max(limit // FRAME, search // FRAME + 2))
        least = min(frames, key=lambda i: self._probabilities[i - self._frame_base])
        return least * FRAME + FRAME // 2

    def _take(self, start: int, end: int) -> Window | None:
        """Cuts [start, end) off; None where it has too little speech to be a word."""
        marks = tuple((max(a, start) - start, min(b, end) - start) for a, b in self._runs if a < end)
        self._runs = [(max(a, end), b) for a, b in self._runs if b > end]
        self._edge = end
        speech = sum(b - a for a, b in marks)
        samples = bytes(self._samples[2 * (start - self._base) : 2 * (end - self._base)])
        self._forget(end)
        if speech < SPEECH_LEAST:
            return None
        self._cuts += 1
        self._speech += speech
        return Window(start, samples, marks, first=self._cuts == 1)

    def _forget(self, before: int) -> None:
        """Drops what no window can need any more."""
        drop = max(0, min(before, self.received) - self._base)
        del self._samples[: 2 * drop]
        self._base += drop
        frames = max(0, min(before // FRAME - self._frame_base, len(self._probabilities)))
        del self._probabilities[:frames]
        self._frame_base += frames
