"""The frames of a stream, past its corrupt packets."""

from collections.abc import Iterator
from typing import Any

import av

BAD_PACKETS_MAX = 100  # in a row: it is no longer media


def frames(container: Any, stream: Any, *, ends: bool = False) -> Iterator[Any]:
    """The stream's frames; a corrupt packet costs itself, not all that follows.

    Once there are too many in a row it raises InvalidDataError, or `ends` with what came before.
    """
    bad = 0
    for packet in container.demux(stream):
        try:
            found = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            if bad > BAD_PACKETS_MAX and ends:
                return
            if bad > BAD_PACKETS_MAX:
                raise
            continue
        if found:
            bad = 0
        yield from found
