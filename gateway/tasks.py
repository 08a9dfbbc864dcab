"""Work that outlives the request that began it, and who waits for it.

Always: every task has a parent that waits for it. Shared work counts its waiters; each waits
shielded, and the last to leave cancels it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger()

K = TypeVar("K")
T = TypeVar("T")

AGAIN_S = 1.0  # before what failed begins again
UNHEARD_S = 5.0  # after which who was cancelled has taken it for something else


class Background:
    """The parent of tasks that no single request owns."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def start(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Runs `work` until it ends or the gateway closes; an unwatched failure is logged once."""
        if self._closing:
            work.close()
            raise RuntimeError("background is closing")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> "asyncio.Task[None]":
        """Runs what goes on as long as the gateway: a failure is an error in the log, and it begins again."""
        return self.start(_kept(run, name), name)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            # retrieved here, so that work whose waiters have all left is not reported by the loop
            log.debug("task failed", task=task.get_name(), failure=repr(failure))

    async def close(self) -> None:
        """Cancels what still runs and waits for it; what has not heard that is told once more."""
        self._closing = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=UNHEARD_S)


@contextmanager
def heeded() -> Iterator[None]:
    """Lets a cancellation go on that a client library takes for a failure of its connection.

    One that came before is known: what is done nonetheless is to be done.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


async def _kept(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    while True:
        try:
            await run()
            return
        except Exception as failure:
            log.error("a task failed and begins again", task=name, exc_info=failure)
        await asyncio.sleep(AGAIN_S)


class Shared:
    """One running piece of work and the number of those who still want it."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self.task = task
        self.waiters = 0

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Counts the caller as a waiter; the last to leave cancels work that is not done."""
        self.waiters += 1
        try:
            yield
        finally:
            self.waiters -= 1
            if not self.waiters and not self.task.done():
                self.task.cancel()

    async def result(self) -> Any:
        """The work's result, waited for shielded: a waiter's cancellation is the waiter's alone."""
        return await asyncio.shield(self.task)


class SingleFlight(Generic[K, T]):
    """At most one piece of work per key at a time; those who come while it runs share it."""

    def __init__(self, background: Background, name: str) -> None:
        self._background = background
        self._name = name
        self._running: dict[K, Shared] = {}

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work` for `key`; a failure goes to those waiting and is not kept."""
        shared = self._running.get(key)
        if shared is None or shared.task.done() or shared.task.cancelling():
            shared = Shared(self._background.start(work(), f"{self._name} {key}"))
            self._running[key] = shared
            shared.task.add_done_callback(lambda _: self._forget(key, shared))
        async with shared.joined():
            result: T = await shared.result()
            return result

    def _forget(self, key: K, shared: Shared) -> None:
        if self._running.get(key) is shared:
            del self._running[key]
