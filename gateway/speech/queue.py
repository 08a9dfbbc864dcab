"""Whose window is next. Pure: no await, no clock.

Always: transcripts take turns window by window, so a long sound never starves a short one; first
windows go ahead, each alone, so that text comes early, but only so many in a row while others wait;
a batch holds windows of equal kind only, and a window that was tried before goes alone.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

BATCH_MAX = 4  # windows; a tenth more than one at a time, and nothing after that
BATCH_S_MAX = 60.0  # of sound: how long a newcomer may have to wait for a worker
# First windows in a row, before another has its turn: as much work as the batch that then comes. Two
# of them in a batch take as long as one after the other, and the text of the first comes later.
FIRSTS_MAX = 8

T = TypeVar("T")


class Waiting(Generic[T]):
    """A window in the queue."""

    def __init__(self, item: T, *, transcript: str, kind: Hashable, seconds: float, first: bool) -> None:
        self.item = item
        self.transcript = transcript
        self.kind = kind  # equal for windows that may share a batch
        self.seconds = seconds
        self.first = first
        self.tries = 0


class Queue(Generic[T]):
    """The windows that wait for a worker."""

    def __init__(self) -> None:
        self._firsts: deque[Waiting[T]] = deque()
        self._turns: OrderedDict[str, deque[Waiting[T]]] = OrderedDict()  # next transcript in front
        self._ahead = 0  # first windows in a row, while others waited
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, waiting: Waiting[T]) -> None:
        self._size += 1
        if waiting.first:
            self._firsts.append(waiting)
        else:
            self._turns.setdefault(waiting.transcript, deque()).append(waiting)

    def put_back(self, waiting: Waiting[T], *, tried: bool = True) -> None:
        """A window whose worker died: at the front, and alone once it was tried."""
        self._size += 1
        waiting.tries += tried
        if waiting.first:
            self._firsts.appendleft(waiting)
            return
        self._turns.setdefault(waiting.transcript, deque()).appendleft(waiting)
        self._turns.move_to_end(waiting.transcript, last=False)

    def remove(self, waiting: Waiting[T]) -> None:
        """Takes a window out that nobody wants any more; it may be gone already."""
        line = self._firsts if waiting.first else self._turns.get(waiting.transcript, deque())
        if waiting not in line:
            return
        line.remove(waiting)
        self._size -= 1
        if not line and not waiting.first:
            del self._turns[waiting.transcript]

    def before(self, transcript: str) -> tuple[int, float]:
        """How many windows go before the next one of a transcript, and their seconds of sound."""
        ahead: list[Waiting[T]] = []
        for waiting in self._firsts:
            if waiting.transcript == transcript:
                return _sum(ahead)
            ahead.append(waiting)
        for name, line in self._turns.items():
            if name == transcript:
                return _sum(ahead)
            ahead.append(line[0])
        return 0, 0.0

    @property
    def ahead_of_first(self) -> float:
        """Seconds of sound that go before the first window of a transcript that begins now."""
        return _sum(list(self._firsts))[1]

    def take(self, workers: int) -> list[Waiting[T]]:
        """The next batch for one of so many workers; empty when nothing waits."""
        if self._firsts and (self._ahead < FIRSTS_MAX or not self._turns):
            self._ahead = self._ahead + 1 if self._turns else 0
            batch = [self._firsts.popleft()]
        else:
            self._ahead = 0
            # a share: the other workers are idle soon
            batch = self._take_turns(min(BATCH_MAX, -(-self._size // workers)))
        self._size -= len(batch)
        return batch

    def _take_turns(self, most: int) -> list[Waiting[T]]:
        batch: list[Waiting[T]] = []
        found = True
        while found:  # once round all transcripts, one window of each, and again while any fits
            found = False
            for transcript in list(self._turns):
                if len(batch) >= most:
                    return batch
                line = self._turns[transcript]
                if batch and not _fits(batch, line[0]):
                    continue
                batch.append(line.popleft())
                found = True
                if line:
                    self._turns.move_to_end(transcript)
                else:
                    del self._turns[transcript]
        return batch

    def drain(self) -> list[Waiting[T]]:
        """Everything that waits, taken out."""
        everything = [*self._firsts, *(w for line in self._turns.values() for w in line)]
        self._firsts.clear()
        self._turns.clear()
        self._size = 0
        return everything


def _sum(some: list[Waiting[T]]) -> tuple[int, float]:
    return len(some), sum(waiting.seconds for waiting in some)


def _fits(batch: list[Waiting[T]], waiting: Waiting[T]) -> bool:
    return (
        waiting.kind == batch[0].kind
        and not waiting.tries
        and not batch[0].tries
        and sum(w.seconds for w in batch) + waiting.seconds <= BATCH_S_MAX
    )
