"""A client's events as the bytes of a form; on a terminal, text with times beside it."""

from collections.abc import Callable
from typing import Any, Literal

import clipwire
import msgspec

from gateway.commands import plain
from gateway.wire import events, forms

Format = Literal["txt", "srt", "vtt", "json"]

WIRE: dict[type, Callable[..., events.Event]] = {
    clipwire.Info: events.Info,
    clipwire.Segment: events.Segment,
    clipwire.End: events.End,
}


class Writing:
    """One transcript in a form. `shown`: a terminal reads it; `dim` is how times look there."""

    def __init__(self, form: Format, *, shown: bool = False, dim: Callable[[str], str] = str) -> None:
        self._write = _line if form == "txt" else forms.NAMED[form].writer()
        self._text = form == "txt"
        self._shown = shown
        self._dim = dim

    def event(self, event: clipwire.Info | clipwire.Segment | clipwire.End) -> bytes:
        """What is written for an event."""
        return self._written(WIRE[type(event)](**_fields(event)))

    def failed(self, failure: clipwire.TranscriptFailed) -> bytes:
        """What is written where the transcript stops."""
        return self._written(events.Failed(failure.code, failure.message))

    def _written(self, event: events.Event) -> bytes:
        data = self._write(event, None)
        if not self._shown or not data:
            return data
        if self._text and isinstance(event, events.Segment):
            return f"{self._dim(plain.clock(event.start).rjust(7))}  {data.decode()}".encode()
        return plain.lines(data.decode()).encode()


def _line(event: events.Event, number: int | None) -> bytes:
    """A segment's text as a line of its own, so that whoever reads lines has each at once."""
    text = plain.line(event.text) if isinstance(event, events.Segment) else ""
    return f"{text}\n".encode() if text else b""


def _fields(event: msgspec.Struct) -> dict[str, Any]:
    # as they are: a newer gateway may have other words than those that this one knows
    return msgspec.structs.asdict(event)
