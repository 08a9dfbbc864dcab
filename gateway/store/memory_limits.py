"""Buckets of tokens in memory: each is the moment when it will be full again (GCRA)."""

import math
import time
from collections import OrderedDict

from gateway.store.limits import Rate, Verdict

BUCKETS_MAX = 100_000  # the one asked longest ago goes first, and is full again


class MemoryLimits:
    """The buckets of this process."""

    def __init__(self) -> None:
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, name: str, rate: Rate, tokens: int = 1) -> Verdict:
        """Takes tokens out of a bucket, or none where there are too few."""
        now = time.monotonic()
        whole_s = rate.capacity / rate.refill_per_s
        ahead_s = min(max(self._full_at.get(name, 0) - now, 0), whole_s)
        after_s = ahead_s + tokens / rate.refill_per_s
        allowed = after_s <= whole_s + 1e-6
        if allowed:
            self._full_at[name] = now + after_s
            self._full_at.move_to_end(name)
            if len(self._full_at) > BUCKETS_MAX:
                self._full_at.popitem(last=False)
        left_s = after_s if allowed else ahead_s
        remaining = max(0, math.floor((whole_s - left_s) * rate.refill_per_s + 1e-6))
        wait_s = 0 if allowed else math.ceil(after_s - whole_s)
        return Verdict(allowed, rate.capacity, remaining, left_s, wait_s)
