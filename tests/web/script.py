"""A transcript that says what a test tells it to, when it is told; no model is asked."""

import asyncio
from collections.abc import Hashable

from gateway.errors import GatewayError
from gateway.speech.transcript import Ending, Origin, Transcript
from gateway.speech.transcripts import Transcripts
from gateway.wire.events import Info, Segment

INFO = Info("", "en", 0.98, 6.5, None, "captions")
END = Ending(6.251, "ok")


class Script:
    """It runs from the start; a test that gives it no end leaves that to the gateway."""

    def __init__(
        self, transcripts: Transcripts, key: Hashable | None = None, origin: Origin | None = None
    ) -> None:
        """`key` is what it answers for, so that who asks for that is told this."""
        self._said: asyncio.Queue[Info | Segment | Ending | GatewayError] = asyncio.Queue()
        self.transcript = transcripts.written(
            object() if key is None else key, self._work, duration=None, origin=origin or Origin()
        )

    @property
    def path(self) -> str:
        return f"/transcripts/{self.transcript.id}"

    def say(self, *what: Info | Segment | Ending | GatewayError) -> None:
        """Says these soon."""
        for one in what:
            self._said.put_nowait(one)

    async def have(self, events: int) -> None:
        """Waits until so many are in the log, and until all is done that its end brings with it."""
        async with asyncio.timeout(10):
            while len(self.transcript) < events:
                await asyncio.sleep(0.001)
            if self.transcript.over:
                await self.transcript.done()

    async def _work(self, log: Transcript) -> Ending:
        while True:
            match await self._said.get():
                case Info() as info:
                    log.inform(info)
                case Segment() as segment:
                    log.add(segment)
                case Ending() as ending:
                    return ending
                case failure:
                    raise failure


def segment(number: int, text: str | None = None) -> Segment:
    return Segment(number, float(number), number + 0.9, text or f" Sentence {number}.")
