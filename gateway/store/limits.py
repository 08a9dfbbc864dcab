"""How often somebody may call: buckets of tokens, in Redis where there is one, else in memory.

Always: a bucket is one number, when it will be full again, in whole microseconds (GCRA). So both
places give the same answers, and nothing is lost to rounding: with floating point, full buckets
were found one token short.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from gateway.settings import Rate as Rate
from gateway.store.redis import Away, Full, Redis

BUCKETS_MAX = 100_000  # of some 200 bytes; the one asked longest ago goes first, and is full again
SECOND_US = 1_000_000


class Verdict(msgspec.Struct, frozen=True):
    """What a bucket said."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float  # until it is full again
    retry_after_s: int = 0  # whole seconds until the tokens are there that were asked for


class Limits:
    """The buckets, by the name of whose they are."""

    def __init__(self, redis: Redis | None = None, *, clock_us: Callable[[], int] | None = None) -> None:
        self._redis = redis
        self._own = _Buckets(clock_us or _monotonic_us)
        self._last = _Buckets(clock_us or _monotonic_us)  # as Redis said last

    async def take(self, name: str, rate: Rate, tokens: int = 1) -> Verdict:
        """Takes tokens out of a bucket, or none where there are too few. Never raises.

        Who asks for more than it holds gets all of it, once it is full.
        """
        if self._redis is not None:
            try:
                ahead_us = await self._redis.take(name, _cost_us(rate, tokens), _whole_us(rate))
                return self._last.told(name, rate, tokens, ahead_us)
            except Full:
                return self._last.take(name, rate, tokens)  # a burst fills no bucket
            except Away:
                pass
        return self._own.take(name, rate, tokens)


class _Buckets:
    """This process's own."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._full_at_us: OrderedDict[str, int] = OrderedDict()

    def take(self, name: str, rate: Rate, tokens: int) -> Verdict:
        now_us = self._clock_us()
        ahead_us = min(max(self._full_at_us.get(name, 0) - now_us, 0), _whole_us(rate))
        verdict = judged(ahead_us, rate, tokens)
        if verdict.allowed and tokens:
            self._put(name, now_us + ahead_us + _cost_us(rate, tokens))
        return verdict

    def told(self, name: str, rate: Rate, tokens: int, ahead_us: int) -> Verdict:
        """What was taken elsewhere out of a bucket that would have been full again in `ahead_us`."""
        verdict = judged(ahead_us, rate, tokens)
        cost_us = _cost_us(rate, tokens) if verdict.allowed else 0
        self._put(name, self._clock_us() + ahead_us + cost_us)
        return verdict

    def _put(self, name: str, full_at_us: int) -> None:
        self._full_at_us[name] = full_at_us
        self._full_at_us.move_to_end(name)
        if len(self._full_at_us) > BUCKETS_MAX:
            self._full_at_us.popitem(last=False)


def judged(ahead_us: int, rate: Rate, tokens: int) -> Verdict:
    """The answer of a bucket that would be full again in `ahead_us`."""
    whole_us, after_us = _whole_us(rate), ahead_us + _cost_us(rate, tokens)
    allowed = after_us <= whole_us
    left_us = after_us if allowed else ahead_us
    return Verdict(
        allowed,
        limit=rate.capacity,
        remaining=(whole_us - left_us) // rate.interval_us,
        reset_s=left_us / SECOND_US,
        retry_after_s=0 if allowed else -((whole_us - after_us) // SECOND_US),
    )


def _whole_us(rate: Rate) -> int:
    """How long an empty bucket takes to be full."""
    return rate.capacity * rate.interval_us


def _cost_us(rate: Rate, tokens: int) -> int:
    return min(tokens, rate.capacity) * rate.interval_us


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
