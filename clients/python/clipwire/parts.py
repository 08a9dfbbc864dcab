"""A download's answer: the post's title and its parts, one after the other as they arrive.

Always: a part is read once, in its turn; asking for the next one drains it.
"""

import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from . import files, resume
from .body import Body
from .multipart import Event, Head, Meta


class Answer:
    """The parts of a post, in order: `async for part in answer`.

    `links` is the address that the parts' links are below; `alone` says that there is but one part.
    """

    def __init__(self, meta: Meta, body: Body[Event], links: str, get: resume.Get, *, alone: bool) -> None:
        self.title = meta.title
        self.desc = meta.desc
        self._body = body
        self._links = links
        self._get = get
        self._alone = alone
        self._part: Part | None = None

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> "Part":
        if self._part is not None:
            if self._alone and self._part._resumed:
                raise StopAsyncIteration  # the stream was cut, and nothing is missing
            await self._part._pass()
        event = await self._body.next()
        if event is None:
            raise StopAsyncIteration
        assert isinstance(event, Head)
        # only a path of this gateway: a link to elsewhere would get our key
        link = self._links + event.link if event.link and event.link.startswith("/") else None
        self._part = Part(event, self._body, link, self._get)
        return self._part


class Part:
    """One file of a post: `async for chunk in part`, or `save`. `length` in bytes, None if not told.

    `link` is the file's own address, good for a while and with ranges; None if not told.
    """

    def __init__(self, head: Head, body: Body[Event], link: str | None, get: resume.Get) -> None:
        self.name = head.name  # as sent: not safe as a path, `save` makes it so
        self.media_type = head.media_type
        self.length = head.length
        self.link = link
        self._body = body
        self._get = get
        self._begun = self._ended = self._passed = self._resumed = False

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
        self,
        folder: str | os.PathLike[str],
        progress: Callable[[int, int | None], None] | None = None,
        *,
        tries: int = 3,
    ) -> Path:
        """Writes the part into `folder` (made if missing) and returns its path; replaces a file of that name.

        `progress` hears (bytes done, bytes in all or None) at the start and after every chunk. If the
        stream is cut, the rest is asked for by the part's link, `tries` times at the most.
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
        so_far = resume.Received(self.link or "", self.length)
        async with aclosing(resume.whole(self, so_far, self._get, tries if self.link else 0)) as chunks:
            await files.save(chunks, path, received)
        self._resumed = not self._ended
        return path

    async def _pass(self) -> None:
        async for _ in self:
            pass
        self._passed = True
