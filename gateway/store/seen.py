"""What must not be used twice: names that are remembered for a time, over all processes with Redis."""

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.errors import Busy
from gateway.store.redis import Away, Full, Redis

NAMES_MAX = 200_000  # of some 200 bytes; ten minutes of 300 calls a second


class Seen:
    """The names. What this process saw itself it also knows while Redis is away.

    Where Redis is well and we have too much to do to ask it, nothing is taken for new: that raises Busy.
    """

    def __init__(self, redis: Redis | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    async def has(self, name: str) -> bool:
        """Whether a name is remembered. Raises Busy."""
        if self._until.get(name, 0) > self._clock():
            return True
        if self._redis is not None:
            try:
                return await self._redis.has(name)
            except Full:
                raise Busy from None
            except Away:
                pass
        return False

    async def add(self, name: str, keep_s: float) -> bool:
        """Remembers a name; False: it was there. Of two at once one is first. Raises Busy."""
        now = self._clock()
        if self._until.get(name, 0) > now:
            return False
        self._until[name] = now + keep_s
        self._until.move_to_end(name)
        self._sweep(now)
        if self._redis is not None:
            try:
                return await self._redis.add(name, keep_s)
            except Full:
                del self._until[name]  # it was not used, and may come again
                raise Busy from None
            except Away:
                pass
        return True

    def _sweep(self, now: float) -> None:
        """Drops those whose time is over from where the oldest are, and what is too much."""
        while self._until:
            first = next(iter(self._until))
            if self._until[first] > now and len(self._until) <= NAMES_MAX:
                return
            del self._until[first]
