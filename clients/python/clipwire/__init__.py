"""Client of a clipwire gateway: media parts and live transcripts as async iterators."""

from .blocking import BlockingClient
from .client import Client, Mode, Source, Task
from .errors import ClipwireError, Cut, Malformed, Refused, TranscriptFailed, Unreachable
from .events import End, Event, Info, Progress, Segment, Word
from .parts import Answer, Part
from .records import Code, Credit, Hit, NewCode, Plan, Submitted, Transcript
from .signing import signed

__all__ = [
    "Answer",
    "BlockingClient",
    "Client",
    "ClipwireError",
    "Code",
    "Credit",
    "Cut",
    "End",
    "Event",
    "Hit",
    "Info",
    "Malformed",
    "Mode",
    "NewCode",
    "Part",
    "Plan",
    "Progress",
    "Refused",
    "Segment",
    "Source",
    "Submitted",
    "Task",
    "Transcript",
    "TranscriptFailed",
    "Unreachable",
    "Word",
    "signed",
]
