"""One batch at one worker: its answers, its deadline, and its end when nobody waits any more."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from gateway.speech.messages import Batch, Heard
from gateway.speech.process import Worker, WorkerDied
from gateway.speech.wish import Wish

_REST_S = 1.0  # what is taken to be left of a batch while nobody knows


class GivenUp(Exception):
    """Nobody waits for the worker any more, and to replace it costs less than to wait."""


class Working:
    """A worker with a batch, which is expected to take `expected_s`; None where nobody knows."""

    def __init__(
        self, worker: Worker, wishes: Sequence[Wish], *, within_s: float, expected_s: float | None
    ) -> None:
        self._worker = worker
        self._wishes = wishes
        self._open = set(wishes)  # those that the worker did not answer yet
        self._began = asyncio.get_running_loop().time()
        self._deadline = asyncio.timeout(within_s)
        self._expected_s = expected_s
        self._given_up = False

    async def run(self) -> None:
        """Hands the answers out. Raises WorkerDied when the worker is lost or late, and GivenUp."""
        for wish in self._wishes:
            wish.answer.add_done_callback(self._left)
        batch = Batch(tuple(wish.job for wish in self._wishes))
        try:
            async with self._deadline, aclosing(self._worker.work(batch)) as said:
                async for message in said:
                    wish = self._wishes[message.job]
                    if isinstance(message, Heard):
                        wish.hear(message)
                    else:
                        self._open.discard(wish)
                        wish.end(message.recognised)
        except TimeoutError:
            if self._given_up:
                raise GivenUp from None
            raise WorkerDied("deadline") from None
        except LookupError:
            raise WorkerDied("the worker answered what it was not asked") from None
        finally:
            self._open.clear()  # a callback may still come

    def _left(self, _: object) -> None:
        """Somebody got an answer, or does not wait for it any more."""
        if not self._open or self._given_up or self._deadline.expired():
            return
        if all(wish.answer.done() for wish in self._open):
            self._given_up = True
            now, when = asyncio.get_running_loop().time(), self._deadline.when()
            assert when is not None
            patience = patience_s(self._expected_s, now - self._began, self._worker.load_s)
            self._deadline.reschedule(min(when, now + patience))


def patience_s(expected_s: float | None, elapsed_s: float, load_s: float) -> float:
    """How long a worker may go on for nobody: as long as another takes to load, at the most. Pure."""
    rest_s = _REST_S if expected_s is None else expected_s - elapsed_s
    return 0.0 if rest_s > load_s else load_s
