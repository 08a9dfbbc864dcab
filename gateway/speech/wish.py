"""A window on its way to an answer, and who waits for it."""

import asyncio
import time
from collections.abc import Callable

from gateway.errors import SpeechFailed
from gateway.speech.cost import Cost
from gateway.speech.messages import Heard, Job, Options, Recognised
from gateway.speech.windows import Window

HeardLanguage = Callable[[str, float | None], None]


class Wish:
    """One window. Always: answered, failed, given up, or still wanted."""

    def __init__(
        self,
        window: Window,
        options: Options,
        before: str | None,
        heard: HeardLanguage | None,
        cost: Cost | None = None,  # of the transcript that it is for
        trace: dict[str, str] | None = None,  # the span that it is for
    ) -> None:
        self.job = Job(window.samples, window.marks, options, before, trace)
        self.seconds = window.seconds
        self._heard = heard
        self._cost = cost if cost is not None else Cost()
        self._queued_at = time.monotonic()
        self.answer: asyncio.Future[Recognised] = asyncio.get_running_loop().create_future()

    def taken(self, at: float) -> None:
        """A worker is given it, at this time of the monotonic clock."""
        self._cost.taken(at - self._queued_at)

    def worked(self, seconds: float) -> None:
        """A worker was at work on it for so long; it may be queued again."""
        self._cost.worked(seconds)
        self._queued_at = time.monotonic()

    def hear(self, message: Heard) -> None:
        """The language is known."""
        if self._heard is not None and not self.answer.done():
            self._heard(message.language, message.probability)

    def end(self, recognised: Recognised) -> None:
        """The answer is there."""
        if not self.answer.done():
            self.answer.set_result(recognised)

    def fail(self) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(SpeechFailed())
