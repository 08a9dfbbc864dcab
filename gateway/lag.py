"""How late the event loop is: what keeps every request waiting."""

import asyncio
from collections import deque

EVERY_S = 0.5
KEPT_S = 30  # what is told is the worst of so long, so that a scrape between two stalls sees both


class Lag:
    """The last measurements."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=int(KEPT_S / EVERY_S))

    @property
    def worst_s(self) -> float:
        """The most that the loop was late lately."""
        return max(self._late, default=0.0)

    async def run(self) -> None:
        """Measures for as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._late.append(max(0.0, loop.time() - due))
