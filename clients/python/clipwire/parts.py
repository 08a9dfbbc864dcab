"""A download's answer: the post's title and its parts, one after the other as they arrive.

Always: a part is read once, in its turn; asking for the next one drains it; slices of a part are
one part here, each beginning where the one before has ended.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec

from . import files, resume
from .body import Body
from .connection import Connection
from .errors import Malformed
from .events import LINES, Failed, Parser
from .events import Event as Words
from .multipart import Event, Head, Meta, PartEnd

Heard = Callable[[Words | Failed], None]


class Answer:
    """The parts of a post, in order: `async for part in answer`.

    `alone` says that there is but one part; `heard` is told the words that come between.
    """

    def __init__(
        self,
        meta: Meta,
        body: Body[Event],
        connection: Connection,
        *,
        alone: bool,
        heard: Heard | None = None,
    ) -> None:
        self.title = meta.title
        self.desc = meta.desc
        self._body = body
        self._connection = connection
        self._alone = alone
        self._heard = heard
        self._lines = Parser()
        self._part: Part | None = None
        self._head: Head | None = None  # of the part, or of its slice
        self._received = resume.Received("", None)
        self._next: Head | None = None  # of the next part, where that has come already
        self._between = False  # a slice has ended

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> "Part":
        if self._part is not None:
            if self._alone and self._part._resumed:
                raise StopAsyncIteration  # the stream was cut, and nothing is missing
            await self._part._pass()
        head = self._next or await self._media()
        if head is None:
            if self._heard is not None:
                self._lines.finish()
            raise StopAsyncIteration
        self._head, self._next, self._between = head, None, False
        link = self._connection.own(head.link) if head.link and head.link.startswith("/") else None
        length = head.length
        if head.range is not None:
            length = head.range.length
            _follows(head.range.start, 0)
        self._received = resume.Received(link or "", length)
        self._part = Part(head, length, link, self._read, self._received, self._connection)
        return self._part

    async def _read(self) -> bytes | None:
        """The next bytes of the part, over its slices; None at its end."""
        while True:  # whoever is cancelled at an `await` may ask again
            if not self._between:
                if isinstance(event := await self._body.next(), bytes):
                    self._received.add(event)
                    return event
                self._between = True
            assert self._head is not None
            told = self._head.range
            if self._next is not None or told is None or told.end + 1 == told.length:
                return None
            head = await self._media()
            if head is None or head.range is None or head.name != self._head.name:
                self._head, self._next = msgspec.structs.replace(self._head, range=None), head
                return None
            _follows(head.range.start, told.end + 1)
            self._head, self._between = head, False

    async def _media(self) -> Head | None:
        """The next head of media; words before it are told. None after the last one."""
        while (event := await self._body.next()) is not None:
            if isinstance(event, bytes):
                self._lines.push(event)
                while self._heard is not None and (words := self._lines.pull()) is not None:
                    self._heard(words)
            elif isinstance(event, Head) and (self._heard is None or event.media_type != LINES):
                return event
            else:
                assert isinstance(event, Head | PartEnd)
        return None


class Part:
    """One file of a post: `async for chunk in part`, or `save`. `length` in bytes, None if not told.

    `link` is the file's own address, good for a while and with ranges; None if not told.
    """

    def __init__(
        self,
        head: Head,
        length: int | None,
        link: str | None,
        read: Callable[[], Awaitable[bytes | None]],
        received: resume.Received,
        connection: Connection,
    ) -> None:
        self.name = head.name  # as sent: not safe as a path, `save` makes it so
        self.media_type = head.media_type
        self.length = length
        self.link = link
        self._read = read
        self._received = received
        self._get = connection.file
        self._patience = connection.patience
        self._begun = self._ended = self._passed = self._resumed = False

    def __aiter__(self) -> "Part":
        return self

    async def __anext__(self) -> bytes:
        if self._passed:
            raise RuntimeError("the answer is past this part; read each part in its turn")
        if self._ended:
            raise StopAsyncIteration
        self._begun = True
        if (chunk := await self._read()) is not None:
            return chunk
        self._ended = True
        raise StopAsyncIteration

    async def save(
        self,
        folder: str | os.PathLike[str],
        progress: Callable[[int, int | None], None] | None = None,
        *,
        tries: int | None = None,
    ) -> Path:
        """Writes the part into `folder` (made if missing) and returns its path; replaces a file of that name.

        `progress` hears (bytes done, bytes in all or None) at the start and after every chunk. If the
        stream is cut, the rest is asked for by the part's link, `tries` times at the most; without it
        as often as the client tries.
        """
        if self._begun or self._passed:
            raise RuntimeError("a part that was begun or passed cannot be saved whole")
        done = 0

        def received(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress(done, self.length)

        received(0)
        path = Path(folder) / files.safe_name(self.name)
        tries = 0 if self.link is None else self._patience.tries if tries is None else tries
        patience = msgspec.structs.replace(self._patience, tries=tries)
        async with aclosing(resume.whole(self, self._received, self._get, patience)) as chunks:
            await files.save(chunks, path, received)
        self._resumed = not self._ended
        return path

    async def _pass(self) -> None:
        async for _ in self:
            pass
        self._passed = True


def _follows(start: int, end: int) -> None:
    if start != end:
        raise Malformed("a slice does not begin where the one before it has ended")
