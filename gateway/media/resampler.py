"""Sound of any form to samples of 16 bits, without a thread. For processes that decode only."""

from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from gateway.media.samples import SAMPLE_BYTES


class Resampler:
    """Frames of one form to samples of 16 bits. PyAV's own starts a thread for each core."""

    def __init__(self, frame: Any, layout: str, rate: int) -> None:
        self._form = _form(frame)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        sample_format, its_layout, its_rate = self._form
        self._sample_bytes = SAMPLE_BYTES * (2 if layout == "stereo" else 1)
        self._graph.link_nodes(
            self._graph.add_abuffer(
                sample_rate=its_rate, format=sample_format, layout=its_layout,
                time_base=frame.time_base or Fraction(1, its_rate),
            ),
            self._graph.add("aformat", sample_fmts="s16", channel_layouts=layout, sample_rates=str(rate)),
            self._graph.add("abuffersink"),
        ).configure()  # fmt: skip

    def takes(self, frame: Any) -> bool:
        """Whether a frame has the form of the first one; a broadcast may change its own."""
        return _form(frame) == self._form

    def resampled(self, frame: Any) -> bytes:
        self._graph.push(frame)
        return self._pulled()

    def end(self) -> bytes:
        """What is left of the frames before."""
        self._graph.push(None)
        return self._pulled()

    def _pulled(self) -> bytes:
        pieces = bytearray()
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                piece = self._graph.pull()
                pieces += bytes(piece.planes[0])[: piece.samples * self._sample_bytes]
        return bytes(pieces)


def _form(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
