"""How loud a sound gets: enough to tell silence from a sound without a voice."""

import numpy as np

_FRAME = 512  # samples, as the voice detector takes them

# A voice whose loudest frame was at -62 dBFS was still heard by the detector, at -68 none was; dither
# is at -93. So where nothing is louder than -66, a voice could not have been told from silence.
SILENCE = 16.0


class Loudness:
    """The loudest frame of a sound, as its samples pass. A click counts, a constant offset does not."""

    def __init__(self) -> None:
        self._most = 0.0

    @property
    def silence(self) -> bool:
        """Whether there was nothing to be heard so far."""
        return self._most < SILENCE

    def hear(self, samples: bytes) -> None:
        """Takes the next samples (s16le); those that make no whole frame are heard as one."""
        sound = np.frombuffer(samples, dtype="<i2").astype(np.float32)
        whole = len(sound) // _FRAME * _FRAME
        if whole:
            self._most = max(self._most, float(sound[:whole].reshape(-1, _FRAME).std(axis=1).max()))
        if whole < len(sound):
            self._most = max(self._most, float(sound[whole:].std()))
