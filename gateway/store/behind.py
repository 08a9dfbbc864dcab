"""Writing behind the answer: the loops of what waits in memory for its rows.

Always: the database being away ends no loop, and nothing that waits is given up before the gateway ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from gateway.errors import StoreUnavailable

RETRY_S, RETRY_S_MAX = 0.5, 15.0

log = structlog.get_logger()

Write = Callable[[], Awaitable[None]]


async def every(seconds: float, write: Write, what: str) -> None:
    """Writes again and again; a fault of ours, which the log has as that of `what`, does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await write()
        except StoreUnavailable:
            pass  # the log has it
        except Exception as failure:
            log.error(f"{what} not written", exc_info=failure)


async def whenever(some: asyncio.Event, write: Write, *, together_s: float = 0) -> None:
    """Writes as soon as there is some, which `write` clears; what comes in `together_s` comes together."""
    wait_s = RETRY_S
    while True:
        await some.wait()
        try:
            await write()
            wait_s = RETRY_S
            if together_s:
                await asyncio.sleep(together_s)
        except StoreUnavailable:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)


async def last(write: Write, within_s: float) -> None:
    """Writes what is left, for so long at the most."""
    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(within_s):
            await write()
