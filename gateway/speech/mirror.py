"""A transcript that runs in another gateway, as it is told from there.

Always: its readers get every event in order, as those do where it runs; where no more is told of it, they
are cut off by an error, and never by an end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import msgspec

from gateway.errors import Busy, Cancelled, GatewayError
from gateway.speech.messages import Options
from gateway.speech.transcript import Origin, Transcript
from gateway.wire.events import Failed, Logged, Progress, Segment


class About(msgspec.Struct, frozen=True):
    """What a log does not tell of its transcript."""

    process: str  # in which it runs
    run: str
    origin: Origin
    title: str | None
    options: Options | None
    owners: list[str]
    created_at: datetime
    standing: Progress
    paid: bool = False  # by who reads it


class Mirror(Transcript):
    """The log of one, as far as it has come here. `opened` is told when it is read, and `closed` when not
    any more; meanwhile its events come."""

    def __init__(
        self,
        id_: str,
        about: About,
        *,
        opened: Callable[["Mirror"], None],
        closed: Callable[["Mirror"], None],
        cancel: Callable[["Mirror"], Awaitable[bool]],
    ) -> None:
        super().__init__(lambda _: self._about.standing, id_=id_, origin=about.origin, options=about.options)
        self.created_at = about.created_at
        self.broken: GatewayError | None = None
        self._opened, self._closed, self._cancel_there = opened, closed, cancel
        self._readers = 0
        self.about = about

    @property
    def about(self) -> About:
        """What is known of it, as it was told last."""
        return self._about

    @about.setter
    def about(self, about: About) -> None:
        self._about, self.title, self.owners = about, about.title, list(about.owners)

    def tell(self, event: Logged, number: int) -> None:
        """Has an event of that number; one that is here already is passed over."""
        if number != len(self) or self.over:
            return
        if isinstance(event, Segment):
            self._segments.append(event)
        if isinstance(event, Failed):
            self._cancelled = event.code == Cancelled.code
        self._append(event)

    def cut(self) -> None:
        """No more is told of it."""
        if not self.over:
            self.broken = Busy("The gateway in which this transcript runs is not heard of. Ask again.")
            self._grown.set()

    @property
    def ending(self) -> bool:
        """Whether it is too late to follow it."""
        return self.over or self.broken is not None

    @property
    def running(self) -> bool:
        """Whether more may come of it."""
        return not self.over

    @property
    def _runs(self) -> bool:
        return True

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def held(self) -> AbstractAsyncContextManager[None]:
        """Keeps the work running, there."""
        return self._held()

    async def cancel(self) -> bool:
        """Ends the work, there. False: it came to its end. Raises Busy where it is not to be reached."""
        return await self._cancel_there(self)

    async def done(self) -> None:
        """Waits for its end, or for nothing more to be told."""
        while not self.ending:
            await self._grown.wait()

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        self._readers += 1
        if self._readers == 1 and not self.ending:
            self._opened(self)
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._closed(self)
