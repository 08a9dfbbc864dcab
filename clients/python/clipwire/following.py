"""The events of a transcript, over as many connections as it takes.

Always: each event comes once, in order; after a loss the gateway is asked for what follows the last
event, and what it tells must follow; so each connection brings something new, or is one of the
tries that are counted.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext

import aiohttp

from .body import Body
from .errors import Cut, Malformed, Refused, TranscriptFailed, Unreachable
from .events import LINES, Event, Failed, Info, Parser, Progress, Segment
from .patience import Patience

Answered = AbstractAsyncContextManager[aiohttp.ClientResponse]


class Following:
    """One reader of a transcript. `again` asks for the events of an id after a number."""

    def __init__(
        self,
        again: Callable[[str, int], Answered],
        patience: Patience,
        transcript: str | None = None,
        after: int = -1,
    ) -> None:
        self._again = again
        self._patience = patience
        self._transcript = transcript
        self._last = after  # the number of the last event that has come; Progress has none
        self._segment = -1  # the id of the last segment that has come

    async def events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Event, None]:
        """What this answer tells, and after a loss those that go on with it. Raises Cut."""
        if response.status == 204:
            return  # there was nothing to come after the last one
        self._transcript = self._transcript or response.headers.get("Transcript-Id")
        answered: Answered = nullcontext(response)
        again, tried = False, 0
        while True:
            before = self._last
            try:
                async with answered as answer, aclosing(told(answer)) as found:
                    async for event in found:
                        self._pass(event, again=again)
                        yield event
                return
            except (Cut, Refused, Unreachable) as failure:
                loss = failure
            if self._transcript is None:
                raise loss
            tried = tried if self._last == before else 0  # it goes on: the next loss is the first again
            await asyncio.sleep(self._patience.wait_s(loss, tried))  # raises when that was enough
            tried += 1
            again, answered = True, self._again(self._transcript, self._last)

    def _pass(self, event: Event, *, again: bool) -> None:
        match event:
            case Progress():
                return
            case Info() if not again or self._last < 0:
                self._transcript = event.id
            case Segment() if not again or event.id > self._segment:
                self._segment = event.id
            case Info() | Segment():  # to go on here would be to begin again, for ever
                raise Cut("the gateway does not go on after the last event")
        self._last += 1


def checked(answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """The answer, which is one of events. Raises Malformed."""
    if answer.status != 204 and answer.content_type != LINES:
        raise Malformed(f"the answer is {answer.content_type}, not lines of events")
    return answer


async def told(answer: aiohttp.ClientResponse) -> AsyncGenerator[Event, None]:
    """The events of one answer. Raises Cut, Malformed and TranscriptFailed."""
    if answer.status == 204:
        raise Cut("the transcript has no end")
    body: Body[Event | Failed] = Body(checked(answer).content, Parser())
    while (event := await body.next()) is not None:
        if isinstance(event, Failed):
            raise TranscriptFailed(event.code, event.message)
        yield event
