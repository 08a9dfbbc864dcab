"""The body of an answer, read through a parser.

Always: one chunk in hand, so a slow reader slows the gateway; an end of the connection is an end
of the body only where the parser says that the body is whole.
"""

from typing import Generic, Protocol, TypeVar

import aiohttp

from .errors import Cut

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Parser(Protocol[E_co]):
    """Bytes to events."""

    whole: bool

    def push(self, data: bytes) -> None: ...
    def pull(self) -> E_co | None: ...
    def finish(self) -> None: ...


class Body(Generic[E]):
    """The events of one answer."""

    def __init__(self, content: aiohttp.StreamReader, parser: Parser[E]) -> None:
        self._content = content
        self._parser = parser

    async def next(self) -> E | None:
        """The next event; None after the last one. Raises Cut or Malformed, and again if asked again."""
        while (event := self._parser.pull()) is None:
            if not (data := await self._read()):
                self._parser.finish()
                return None
            self._parser.push(data)
        return event

    async def _read(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as failure:  # OSError: timeouts and resets
            if self._parser.whole:
                return b""  # nothing is missing
            raise Cut(f"the connection broke: {str(failure) or type(failure).__name__}") from failure
