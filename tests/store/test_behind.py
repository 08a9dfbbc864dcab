import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import StoreUnavailable
from gateway.store import behind


class Rows:
    """A database that fails at first as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.some = asyncio.Event()
        self.written = asyncio.Event()
        self.tries = 0
        self._failures = list(failures)

    async def write(self) -> None:
        self.tries += 1
        if self._failures:
            raise self._failures.pop(0)
        self.some.clear()
        self.written.set()


@asynccontextmanager
async def going(loop: "asyncio.Future[None]") -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        loop.cancel()
        await asyncio.wait([loop])
    assert loop.cancelled(), "it ended by itself"


async def test_no_failure_ends_what_is_written_again_and_again() -> None:
    rows = Rows(StoreUnavailable(), RuntimeError("a fault of ours"))
    async with going(asyncio.ensure_future(behind.every(0.001, rows.write, "counts were"))):
        await rows.written.wait()
    assert rows.tries >= 3


async def test_what_waits_is_written_when_the_database_is_back() -> None:
    rows = Rows(StoreUnavailable())
    async with going(asyncio.ensure_future(behind.whenever(rows.some, rows.write))):
        await asyncio.sleep(0.01)
        assert not rows.tries, "there was nothing to write"
        rows.some.set()
        await rows.written.wait()
        assert rows.tries == 2


async def test_the_last_time_has_an_end() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        await behind.last(stuck, 0.01)
        await behind.last(Rows(StoreUnavailable()).write, 1)
