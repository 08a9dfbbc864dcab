"""A download's answer: the post's title and its parts, one after the other as they arrive.

Always: a part is read once, in its turn; asking for the next one drains it.
"""

import os
from collections.abc import Callable
from pathlib import Path

from . import files
from .body import Body
from .multipart import Event, Head, Meta


class Answer:
    """The parts of a post, in order: `async for part in answer`."""

    def __init__(self, meta: Meta, body: Body[Event]) -> None:
        self.title = meta.title
        self.desc = meta.desc
        self._body = body
        self._part: Part | None = None

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> "Part":
        if self._part is not None:
            await self._part._pass()
        event = await self._body.next()
        if event is None:
            raise StopAsyncIteration
        assert isinstance(event, Head)
        self._part = Part(event, self._body)
        return self._part


class Part:
    """One file of a post: `async for chunk in part`, or `save`. `length` in bytes, None if not told."""

    def __init__(self, head: Head, body: Body[Event]) -> None:
        self.name = head.name  # as sent: not safe as a path, `save` makes it so
        self.media_type = head.media_type
        self.length = head.length
        self._body = body
        self._begun = self._ended = self._passed = False

    def __aiter__(self) -> "Part":
        return self

    async def __anext__(self) -> bytes:
        if self._passed:
            raise RuntimeError("the answer is past this part; read each part in its turn")
        if self._ended:
            raise StopAsyncIteration
        self._begun = True
        event = await self._body.next()
        if isinstance(event, bytes):
            return event
        self._ended = True
        raise StopAsyncIteration

    async def save(
        self, folder: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None = None
    ) -> Path:
        """Writes the part into `folder` (made if missing) and returns its path; replaces a file of that name.

        `progress` hears (bytes done, bytes in all or None) at the start and after every chunk.
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
        await files.save(self, path, received)
        return path

    async def _pass(self) -> None:
        async for _ in self:
            pass
        self._passed = True
