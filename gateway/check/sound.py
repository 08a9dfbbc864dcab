"""A sound to hear: made here, so that nobody has to bring one. Pure."""

import math
import struct

RATE = 16_000


def tone(seconds: float, *, hertz: float = 440) -> bytes:
    """A tone as a WAV file; another pitch is another file."""
    count = int(seconds * RATE)
    samples = struct.pack(
        f"<{count}h", *(int(3000 * math.sin(2 * math.pi * hertz * at / RATE)) for at in range(count))
    )
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16
    )
    return head + struct.pack("<4sI", b"data", len(samples)) + samples
