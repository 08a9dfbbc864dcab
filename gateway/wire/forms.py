"""The forms in which a transcript is told: its events to bytes, each as soon as it is there. Pure.

Always: a form that was cut never looks whole, by its own end or, where it has none, because the
connection is broken; what a file (VTT, SubRip, text) holds after any event is a file of its own.
"""

from collections.abc import Callable

import msgspec

from gateway.wire import events, subtitles
from gateway.wire.events import End, Event, Failed, Info, Segment

# what is written for an event; the number is its place in the log, None for progress
Write = Callable[[Event, int | None], bytes]


class Form(msgspec.Struct, frozen=True):
    """One way to tell a transcript. `name` is what it is asked for by, and a file's ending."""

    name: str
    media_type: str
    writer: Callable[[], Write]  # of one transcript, from its first event on
    lines: bool = False  # one event after the other: it may begin at any, takes progress, ends with `error`
    breaks: bool = False  # has no place for a failure: only a broken connection tells it

    @property
    def content_type(self) -> str:
        """The media type as a header; players guess the charset of a file that does not tell it."""
        return f"{self.media_type}; charset=utf-8" if self.breaks else self.media_type


def _line(event: Event, number: int | None) -> bytes:
    return events.line(event)


def _vtt(event: Event, number: int | None) -> bytes:
    match event:
        case Info():
            text = subtitles.VTT_HEAD
        case Segment() if event.text.strip():
            text = subtitles.vtt(event)
        case Failed():
            text = f"NOTE The transcript stops here: {event.code}\n\n"
        case _:
            text = ""
    return text.encode()


def _srt(event: Event, number: int | None) -> bytes:
    return subtitles.srt(event).encode() if isinstance(event, Segment) and event.text.strip() else b""


class _Text:
    """The transcript's text and nothing else, so that its hash is the `text_sha256` of the end."""

    def __init__(self) -> None:
        self._space = ""

    def __call__(self, event: Event, number: int | None) -> bytes:
        text = event.text.strip() if isinstance(event, Segment) else ""
        if not text:
            return b""
        space, self._space = self._space, " "
        return (space + text).encode()


class _Document:
    """One JSON object; it is only valid once it has its end, which is the text or an `error`."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._begun = False

    def __call__(self, event: Event, number: int | None) -> bytes:
        match event:
            case Info():
                return self._head(event)
            case Segment():
                comma = b"," if self._segments else b""
                self._segments.append(event)
                return comma + b"\n" + msgspec.json.encode(events.fields(event))
            case End():
                return self._end({"text": events.text_of(self._segments), **events.fields(event, "segments")})
            case Failed():
                # it may be all that there is
                return (b"" if self._begun else self._head(None)) + self._end({"error": events.fields(event)})
            case _:
                return b""

    def _head(self, info: Info | None) -> bytes:
        self._begun = True
        # the duration is told at the end, when it is the true one
        told = events.fields(info, "duration") if info is not None else {}
        return msgspec.json.encode(told | {"segments": []})[:-2]

    def _end(self, members: dict[str, object]) -> bytes:
        return b"\n]," + msgspec.json.encode(members)[1:] + b"\n"


# the first is for those who do not ask, and of those that fit a range of types the first counts
FORMS = (
    Form("ndjson", "application/x-ndjson", lambda: _line, lines=True),
    Form("sse", "text/event-stream", lambda: events.sse, lines=True),
    Form("vtt", "text/vtt", lambda: _vtt, breaks=True),
    Form("srt", "application/x-subrip", lambda: _srt, breaks=True),
    Form("txt", "text/plain", _Text, breaks=True),
    Form("json", "application/json", _Document),
)
NAMED = {form.name: form for form in FORMS}
