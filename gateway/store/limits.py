"""How often somebody may call: buckets of tokens, in memory or in Redis."""

from typing import Protocol

import msgspec

from gateway.settings import Rate as Rate


class Verdict(msgspec.Struct, frozen=True):
    """What a bucket said."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float  # until it is full again
    retry_after_s: int = 0  # whole seconds until the tokens are there that were asked for


class Limits(Protocol):
    """The buckets, by the name of whose they are."""

    async def take(self, name: str, rate: Rate, tokens: int = 1) -> Verdict:
        """Takes tokens out of a bucket, or none where there are too few. Never raises."""
