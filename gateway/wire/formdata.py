"""`multipart/form-data` as it arrives: bytes to fields and files. Pure.

Always: what is given for the same bytes does not depend on where they were cut; a payload is held back
by no more than a delimiter; only the closing delimiter ends a form.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

HEAD_BYTES_MAX = 8192  # a part's head is two short lines; more is an attack
BOUNDARY_CHARS_MAX = 70  # as the standard has it

# the parameters of a header, whatever is quoted taken as one
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;]*)')


class Malformed(ValueError):
    """It is no form, or was cut; the text says why and is safe to show."""


class Part(msgspec.Struct, frozen=True):
    """The head of a part: whose value follows."""

    name: str


class PartEnd(msgspec.Struct, frozen=True):
    """The value is whole."""


Piece = Part | bytes | PartEnd


def boundary(content_type: str) -> str:
    """The boundary of a Content-Type. Raises Malformed."""
    found = dict(_parameters(content_type)).get("boundary", "")
    if not 0 < len(found) <= BOUNDARY_CHARS_MAX or not found.isascii():
        raise Malformed("The Content-Type of the form has no usable boundary.")
    return found


class FormReader:
    """One form. `ended` once its closing delimiter was read; what follows is passed over."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._left = bytearray(b"\r\n")  # so that the first delimiter is like the others
        self._at: Literal["before", "head", "payload"] = "before"
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """What is complete with these bytes. Raises Malformed."""
        self._left += data
        while not self.ended:
            if self._at == "head":
                part = self._head()
                if part is None:
                    return
                yield part
                continue
            start, length = self._delimited()
            if start:
                piece = self._taken(start)
                if self._at == "payload":
                    yield piece
            if not length:
                return
            was, self._at = self._at, "head"
            self.ended = self._taken(length).endswith(b"--")
            if was == "payload":
                yield PartEnd()

    def finish(self) -> None:
        """The body is at its end. Raises Malformed unless the form is."""
        if not self.ended:
            raise Malformed("The form ends before its closing delimiter.")

    def _head(self) -> Part | None:
        """The head that the bytes begin with, once all of it is there."""
        end = self._left.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if end < 0:
            if len(self._left) >= HEAD_BYTES_MAX:
                raise Malformed("A part of the form has a head that is too long.")
            return None
        self._at = "payload"
        return Part(_name(self._taken(end + 4).decode("utf-8", "replace")))

    def _delimited(self) -> tuple[int, int]:
        """How many bytes come before the next delimiter, and its length.

        Without one: how many surely are not of one, and 0. What only begins like a delimiter is payload.
        """
        at = 0
        while (at := self._left.find(self._delimiter, at)) >= 0:
            end = at + len(self._delimiter)
            after = bytes(self._left[end : end + 2])
            if after in (b"--", b"\r\n"):
                return at, len(self._delimiter) + 2
            if len(after) < 2:
                return at, 0
            at = end
        at = self._left.rfind(b"\r", max(0, len(self._left) - len(self._delimiter)))
        return (at if at >= 0 and self._delimiter.startswith(self._left[at:]) else len(self._left)), 0

    def _taken(self, length: int) -> bytes:
        data = bytes(self._left[:length])
        del self._left[:length]
        return data


def _name(head: str) -> str:
    for line in head.split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            name = dict(_parameters(value)).get("name")
            if name:
                return name
    raise Malformed("A part of the form has no name.")


def _parameters(header: str) -> Iterator[tuple[str, str]]:
    for name, value in _PARAMETER.findall(header):
        yield name.lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
