"""Bytes of a `multipart/x-mixed-replace` body to heads and payloads, as they come. Pure.

Always: the same bytes give the same events however they are split; a payload is never held back
beyond a delimiter's length; only a body with its closing delimiter is whole; bytes that do not
fit the format are never passed over.
"""

import base64
import re
from collections.abc import Callable
from email.message import Message
from typing import Final

import msgspec

from .errors import Cut, Malformed

HEAD_BYTES_MAX = 8192  # a head is five short lines; more is an attack


class Range(msgspec.Struct, frozen=True):
    """Of a slice: its first and its last byte, and the length of the whole, None if not told."""

    start: int
    end: int
    length: int | None


class Head(msgspec.Struct, frozen=True):
    """A part begins. `length` in bytes, `link` and `range` as sent, None where the head does not tell."""

    name: str
    media_type: str
    length: int | None
    link: str | None = None
    range: Range | None = None


class PartEnd(msgspec.Struct, frozen=True):
    """The part is whole: its delimiter was seen."""


class Meta(msgspec.Struct, frozen=True):
    """What `Content-Meta` tells about the post."""

    title: str
    desc: str


Event = Head | bytes | PartEnd
PART_END: Final = PartEnd()


class Parser:
    """Push bytes, then pull events until None."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._opening = self._delimiter + b"\r\n"
        self._closing = self._delimiter + b"--\r\n"
        # the first delimiter has no line end before it: with one, it is like all the others
        self._buffer = b"\r\n"
        self._at = 0
        self._left = 0  # payload bytes to come, of a part that told its length
        self._step: Callable[[], Event | None] = self._begin
        self.whole = False

    def push(self, data: bytes) -> None:
        """Takes the next bytes of the body."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def pull(self) -> Event | None:
        """The next event, or None when more bytes are needed. Raises Malformed."""
        return self._step()

    def finish(self) -> None:
        """The body has ended. Raises Cut unless it is whole."""
        if not self.whole:
            raise Cut("the answer ended before its closing delimiter")

    # the steps, in the order of a body

    def _begin(self) -> Event | None:
        return self._step() if self._passed_delimiter() else None

    def _head(self) -> Event | None:
        # the line end of the delimiter is still there, so that a head without lines ends as others do
        end = self._buffer.find(b"\r\n\r\n", self._at, self._at + HEAD_BYTES_MAX)
        if end < 0:
            if len(self._buffer) - self._at >= HEAD_BYTES_MAX:
                raise Malformed("the head of a part is too long")
            return None
        head = _head(self._buffer[self._at + 2 : end])
        self._at = end + 4
        self._left = head.length or 0
        self._step = self._searched if head.length is None else self._counted
        return head

    def _counted(self) -> Event | None:
        if self._left == 0:
            self._step = self._end
            return self._step()
        data = self._buffer[self._at : self._at + self._left]
        self._at += len(data)
        self._left -= len(data)
        return data or None

    def _searched(self) -> Event | None:
        end, found = self._delimiter_at(self._at)
        if found and end == self._at:
            self._step = self._end
            return self._step()
        data = self._buffer[self._at : end]
        self._at = end
        return data or None

    def _end(self) -> Event | None:
        return PART_END if self._passed_delimiter() else None

    def _after(self) -> Event | None:
        if self._at < len(self._buffer):
            raise Malformed("there are bytes after the closing delimiter")
        return None

    # their helpers

    def _delimiter_at(self, start: int) -> tuple[int, bool]:
        """Where the payload ends, and True; or how far it surely goes, and False."""
        while (at := self._buffer.find(self._delimiter, start)) >= 0:
            after = at + len(self._delimiter)
            follows = self._buffer[after : after + 2]
            if follows in (b"\r\n", b"--"):
                return at, True
            if follows in (b"", b"\r", b"-"):
                return at, False
            start = at + 1  # only looks like it
        return max(self._at, len(self._buffer) - len(self._delimiter) + 1), False

    def _passed_delimiter(self) -> bool:
        """Steps over the delimiter that must be here; False while it is not all there."""
        if self._buffer.startswith(self._opening, self._at):
            self._at += len(self._delimiter)
            self._step = self._head
            return True
        if self._buffer.startswith(self._closing, self._at):
            self._at += len(self._closing)
            self._step = self._after
            self.whole = True
            return True
        here = self._buffer[self._at : self._at + len(self._closing)]
        if not (self._opening.startswith(here) or self._closing.startswith(here)):
            raise Malformed("there is no delimiter where one must be")
        return False


def boundary(content_type: str) -> str:
    """The boundary that the answer's media type names. Raises Malformed."""
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_boundary()
    if message.get_content_type() != "multipart/x-mixed-replace" or not found:
        raise Malformed(f"the answer is {message.get_content_type()}, not parts")
    if len(found) > 70 or not (found.isascii() and found.isprintable()):
        raise Malformed("the boundary is not one")
    return found


def meta(content_meta: str) -> Meta:
    """The value of `Content-Meta`. Raises Malformed."""
    try:
        return msgspec.json.decode(base64.b64decode(content_meta, validate=True), type=Meta)
    except (ValueError, RecursionError) as failure:  # of Base64, UTF-8 and JSON
        raise Malformed("Content-Meta is not base64 of a title and a desc") from failure


def _head(data: bytes) -> Head:
    """A head's lines, without the line ends around them."""
    headers: dict[str, str] = {}
    try:
        lines = data.decode("utf-8").split("\r\n") if data else []
    except UnicodeDecodeError as failure:
        raise Malformed("the head of a part is not text") from failure
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or name in headers:
            raise Malformed("the head of a part has a line that is none, or twice the same")
        headers[name] = value.strip()
    disposition = re.search(r'(?:^|;)\s*filename="([^"]*)"', headers.get("content-disposition", ""))
    if disposition is None or not headers.get("content-type"):
        raise Malformed("a part has no file name or no media type")
    length = headers.get("content-length")
    if length is not None and re.fullmatch("[0-9]{1,15}", length) is None:
        raise Malformed("the length of a part is no number")
    return Head(
        disposition[1],
        headers["content-type"],
        None if length is None else int(length),
        headers.get("content-location"),
        _range(headers.get("content-range")),
    )


def _range(value: str | None) -> Range | None:
    if value is None:
        return None
    told = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", value)
    if told is None:
        raise Malformed("the range of a part is none")
    return Range(int(told[1]), int(told[2]), None if told[3] == "*" else int(told[3]))
