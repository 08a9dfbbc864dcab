"""How fast one worker recognises, as measured lately. Pure."""

_FADING = 0.9  # of what was measured before, at each batch: the last ten or so count


class Pace:
    """Seconds of sound to seconds of work, of the batches of all workers."""

    def __init__(self) -> None:
        self._sound_s = 0.0
        self._work_s = 0.0

    def add(self, sound_s: float, work_s: float) -> None:
        """A batch was done."""
        self._sound_s = self._sound_s * _FADING + sound_s
        self._work_s = self._work_s * _FADING + work_s

    @property
    def speed(self) -> float | None:
        """Seconds of sound in a second of work; None before the first batch."""
        return self._sound_s / self._work_s if self._work_s else None
