"""Turns at work of which only so much is done at once; who waits is counted, and not for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import Busy


class Turns:
    """`at_once` turns, for which `waiting_max` may wait, `wait_s` at the most."""

    def __init__(self, at_once: int, *, waiting_max: int, wait_s: float) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._waiting_max = waiting_max
        self._wait_s = wait_s

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn. Raises Busy when too many wait, or for too long."""
        if self._turns.locked() and self._waiting >= self._waiting_max:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
