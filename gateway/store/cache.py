"""Bytes by name, kept for a time: in Redis where there is one, else in memory; and work done once.

Always: what is in memory has a bound; nothing here fails because Redis does.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from gateway.store.redis import Away, Redis


class Cache:
    """The values. `hits` and `misses` count what this process asked for."""

    def __init__(
        self,
        redis: Redis | None = None,
        *,
        bytes_max: int,
        ttl_s_max: float = math.inf,  # 0: nothing is kept
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hits = self.misses = 0
        self._redis = redis
        self._ttl_s_max = ttl_s_max
        self._memory = _Memory(bytes_max, clock)
        self._turns: dict[str, _Turn] = {}

    @property
    def entries(self) -> int:
        """How many values this process keeps itself."""
        return len(self._memory.values)

    @property
    def size(self) -> int:
        """How many bytes those are."""
        return self._memory.size

    async def get(self, name: str) -> bytes | None:
        """What was put there, if its time is not over. Never raises."""
        if not self._ttl_s_max:
            return None
        value = await self._get(name)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    async def put(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keeps a value for a time, and no longer than anything is kept. Never raises."""
        ttl_s = min(ttl_s, self._ttl_s_max)
        if ttl_s <= 0:
            return
        if self._redis is not None:
            try:
                await self._redis.put(name, value, ttl_s)
            except Away:
                pass
            else:
                self._memory.forget(name)  # an older one, of a time when Redis was away
                return
        self._memory.put(name, value, ttl_s)

    async def forget(self, name: str) -> None:
        """Drops a value. Never raises."""
        self._memory.forget(name)
        if self._redis is not None:
            with suppress(Away):
                await self._redis.forget(name)

    @asynccontextmanager
    async def once(self, name: str, wait_s: float) -> AsyncIterator[None]:
        """One at a time by this name, over all processes with Redis.

        Who has waited for `wait_s` goes on nonetheless: what is done here may be done twice.
        """
        async with AsyncExitStack() as held:
            try:
                if self._redis is None:
                    raise Away
                await held.enter_async_context(self._redis.once(name, wait_s))
            except Away:
                await held.enter_async_context(self._own(name, wait_s))
            yield

    async def _get(self, name: str) -> bytes | None:
        if self._redis is not None:
            try:
                return await self._redis.get(name)
            except Away:
                pass
        return self._memory.get(name)

    @asynccontextmanager
    async def _own(self, name: str, wait_s: float) -> AsyncIterator[None]:
        """One at a time in this process."""
        turn = self._turns.setdefault(name, _Turn())
        turn.wanted += 1
        mine = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    mine = await turn.lock.acquire()
            yield
        finally:
            if mine:
                turn.lock.release()
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[name]


class _Turn:
    """Whose turn it is, and how many want it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class _Memory:
    """This process's own values; least recently used ones go first."""

    def __init__(self, bytes_max: int, clock: Callable[[], float]) -> None:
        self.values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.size = 0
        self._bytes_max = bytes_max
        self._clock = clock

    def get(self, name: str) -> bytes | None:
        until, value = self.values.get(name, (0.0, None))
        if value is None:
            return None
        if until <= self._clock():
            self.forget(name)
            return None
        self.values.move_to_end(name)
        return value

    def put(self, name: str, value: bytes, ttl_s: float) -> None:
        self.forget(name)
        if _size(name, value) > self._bytes_max:
            return
        self.values[name] = (self._clock() + ttl_s, value)
        self.size += _size(name, value)
        while self.size > self._bytes_max:
            self.forget(next(iter(self.values)))

    def forget(self, name: str) -> None:
        _, value = self.values.pop(name, (0.0, None))
        if value is not None:
            self.size -= _size(name, value)


def _size(name: str, value: bytes) -> int:
    return len(name) + len(value)
