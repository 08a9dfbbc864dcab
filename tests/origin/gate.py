"""What hanging answers wait at, until the test lets them go."""

import asyncio


class Gate:
    """Opening it lets all that wait go; those who come later wait again, unless it was opened for good."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._for_good = False

    async def wait(self) -> None:
        await self._event.wait()

    def next_opening(self) -> asyncio.Event:
        """For those who have something to do while they wait; take it before the wait begins."""
        return self._event

    def open(self, *, for_good: bool = False) -> None:
        self._for_good = self._for_good or for_good
        self._event.set()
        if not self._for_good:
            self._event = asyncio.Event()
