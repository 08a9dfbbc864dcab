"""The events of a transcript, and lines of bytes to events. Pure.

Always: `Info` first, then `Segment`s, then `End` as the last line, or `Failed` in its place;
`Progress` may come anywhere before. Fields that this client does not know are passed over.
"""

import msgspec

from .errors import Cut, Malformed

LINES = "application/x-ndjson"
LINE_BYTES_MAX = 1 << 20  # a segment with its words is some kilobytes


class Word(msgspec.Struct, frozen=True):
    """A spoken word; times in seconds from the start of the sound."""

    start: float
    end: float
    word: str
    probability: float


class Info(msgspec.Struct, frozen=True, tag_field="type", tag="info"):
    """What is being recognised. `duration` in seconds, None while it is not known."""

    id: str
    language: str | None
    language_probability: float | None
    duration: float | None
    model: str | None  # None for captions
    source: str
    captions: str | None = None  # who wrote them: recognised, translated or creator; None for speech


class Segment(msgspec.Struct, frozen=True, tag_field="type", tag="segment"):
    """A stretch of speech; times in seconds from the start of the sound; ids count from 0.

    What the model thought of it is None for captions.
    """

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    words: tuple[Word, ...] | None = None  # None unless asked for


class End(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The transcript is whole. `speech` (none, low, ok) says how much of the sound was speech, and
    `reasons` (silence, no_voice, little_voice, no_words) why that was not more."""

    segments: int
    duration: float
    text_sha256: str
    elapsed_ms: int
    speech: str
    reasons: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The transcript stops here; what came before is right."""

    code: str
    message: str


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="progress"):
    """Where a waiting transcript stands."""

    position: int
    wait_s: float | None
    bytes: int
    bytes_total: int | None


Event = Info | Segment | End | Progress

_decoder: msgspec.json.Decoder[Event | Failed] = msgspec.json.Decoder(Event | Failed)


class Parser:
    """Push bytes, then pull events until None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no line end before this place
        self.whole = False

    def push(self, data: bytes) -> None:
        """Takes the next bytes of the body."""
        self._buffer += data

    def pull(self) -> Event | Failed | None:
        """The next event, or None when more bytes are needed. Raises Malformed."""
        if self.whole and self._buffer:
            raise Malformed("there are lines after the last one")
        end = self._buffer.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._buffer)) > LINE_BYTES_MAX:
            raise Malformed("a line is too long")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        try:
            event = _decoder.decode(self._buffer[:end])
        except (ValueError, RecursionError) as failure:
            raise Malformed(f"a line is no event: {failure}") from failure
        del self._buffer[: end + 1]
        self._searched = 0
        self.whole = isinstance(event, End | Failed)
        return event

    def finish(self) -> None:
        """The body has ended. Raises Cut unless it is whole."""
        if not self.whole:
            raise Cut("the transcript ended before its last line")
