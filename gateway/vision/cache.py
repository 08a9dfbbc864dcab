"""Analyses that were paid for, kept for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

BYTES_MAX = 8 << 20  # some 5,000 analyses


class Cache(Protocol):
    """Bytes by name, for a time."""

    async def get(self, name: str) -> bytes | None:
        """What is kept under a name, None where nothing is."""

    async def put(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keeps a value for so long at the most."""


class Memory:
    """A Cache of this process: bounded, the least recently wanted goes first."""

    def __init__(self, bytes_max: int = BYTES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max
        self._clock = clock

    async def get(self, name: str) -> bytes | None:
        """What is kept under a name, None where nothing is."""
        value, until = self._kept.get(name, (b"", 0.0))
        if until <= self._clock():
            self._forget(name)
            return None
        self._kept.move_to_end(name)
        return value

    async def put(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keeps a value for so long at the most."""
        self._forget(name)
        self._kept[name] = value, self._clock() + ttl_s
        self._bytes += len(value)
        while self._bytes > self._bytes_max:
            self._forget(next(iter(self._kept)))

    def _forget(self, name: str) -> None:
        value, _ = self._kept.pop(name, (b"", 0.0))
        self._bytes -= len(value)
