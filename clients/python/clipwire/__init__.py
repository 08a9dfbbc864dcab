"""Client of a clipwire gateway: media parts and live transcripts as async iterators."""

from .blocking import BlockingClient
from .client import Choice, Client, Mode, Source, Speech, Task
from .errors import ClipwireError, Cut, Malformed, Refused, TranscriptFailed, Unreachable
from .events import End, Event, Failed, Info, Progress, Segment, Word
from .parts import Answer, Part
from .records import (
    Batch,
    Captions,
    Code,
    Credit,
    Heard,
    Hit,
    Job,
    Jobs,
    MediaHead,
    NewCode,
    Plan,
    Post,
    Ready,
    Submitted,
    Transcript,
)
from .signing import signed

__all__ = [
    "Answer",
    "Batch",
    "BlockingClient",
    "Captions",
    "Choice",
    "Client",
    "ClipwireError",
    "Code",
    "Credit",
    "Cut",
    "End",
    "Event",
    "Failed",
    "Heard",
    "Hit",
    "Info",
    "Job",
    "Jobs",
    "Malformed",
    "MediaHead",
    "Mode",
    "NewCode",
    "Part",
    "Plan",
    "Post",
    "Progress",
    "Ready",
    "Refused",
    "Segment",
    "Source",
    "Speech",
    "Submitted",
    "Task",
    "Transcript",
    "TranscriptFailed",
    "Unreachable",
    "Word",
    "signed",
]
