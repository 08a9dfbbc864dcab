"""Client of a clipwire gateway: media parts and live transcripts as async iterators."""

from .client import Client, Mode, Source, Task
from .errors import ClipwireError, Cut, Malformed, Refused, TranscriptFailed, Unreachable
from .events import End, Event, Info, Progress, Segment, Word
from .parts import Answer, Part

__all__ = [
    "Answer",
    "Client",
    "ClipwireError",
    "Cut",
    "End",
    "Event",
    "Info",
    "Malformed",
    "Mode",
    "Part",
    "Progress",
    "Refused",
    "Segment",
    "Source",
    "Task",
    "TranscriptFailed",
    "Unreachable",
    "Word",
]
