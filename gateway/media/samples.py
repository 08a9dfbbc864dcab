"""What crosses the pipes between the gateway and a decoder: what there is to hear, and what is heard."""

import struct
from typing import Literal

import msgspec

RATE = 16_000  # samples per second; what the model hears
SAMPLE_BYTES = 2  # s16le, mono
FRAME = struct.Struct("<cI")  # kind and length of what follows
SAMPLES, END, FAILED = b"S", b"E", b"F"
FRAME_BYTES_MAX = 16 << 20  # a minute of silence and a long packet are 3 MB; more is not ours


class Told(msgspec.Struct, frozen=True):
    """What the decoder is told of the spool, as a JSON line.

    Only the first one says where it is, and how much of the processor may be spent on it.
    """

    size: int
    state: Literal["growing", "whole", "broken"]
    path: str | None = None
    cpu_s: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a sound is not decoded: to tell the caller, where there is something to tell, and for the log."""

    text: str | None
    reason: str
