"""Work that runs side by side and comes out in order, only so much of it ahead.

Always: answers come in the order in which their work was added; a failure comes after the answers
of all work before it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Ahead = Callable[[], int]  # how much may be in flight just now


class Lane(Generic[T]):
    """Belongs to one task group, which is the parent of the work."""

    def __init__(self, group: asyncio.TaskGroup, ahead: Ahead) -> None:
        self._group = group
        self._ahead = ahead
        self._line: deque[asyncio.Task[T]] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._moved = asyncio.Event()  # something was added, taken or ended

    async def room(self) -> None:
        """Waits until one more may be added."""
        while len(self._line) >= self._ahead():
            await self._move()

    def add(self, work: Coroutine[Any, Any, T]) -> None:
        """Begins `work`."""
        self._line.append(self._group.create_task(work))
        self._moved.set()

    def end(self, failure: Exception | None) -> None:
        """No more will be added; `failure` is raised after the last answer."""
        self._ended, self._failure = True, failure
        self._moved.set()

    async def answers(self) -> AsyncGenerator[T, None]:
        """Each answer, as soon as those before it were given."""
        while self._line or not self._ended:
            if not self._line:
                await self._move()
                continue
            answer = await self._line[0]
            self._line.popleft()
            self._moved.set()
            yield answer
        if self._failure is not None:
            raise self._failure

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()
