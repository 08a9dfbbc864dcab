"""A window on its way to an answer, and who waits for it."""

import asyncio
from collections.abc import Callable

from gateway.errors import SpeechFailed
from gateway.speech.messages import Heard, Job, Options, Recognised
from gateway.speech.windows import Window

HeardLanguage = Callable[[str, float | None], None]


class Wish:
    """One window. Always: answered, failed, given up, or still wanted."""

    def __init__(
        self, window: Window, options: Options, before: str | None, heard: HeardLanguage | None
    ) -> None:
        self.job = Job(window.samples, window.marks, options, before)
        self.seconds = window.seconds
        self._heard = heard
        self.answer: asyncio.Future[Recognised] = asyncio.get_running_loop().create_future()

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
