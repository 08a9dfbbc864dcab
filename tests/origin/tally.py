"""What the origin saw and sent; tests read it, nothing decides by it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Tally:
    """Counters of one origin."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.bytes_sent: Counter[str] = Counter()
        self.refused_hosts: Counter[str] = Counter()
        self.open_reads = 0

    def hit(self, names: Iterable[str]) -> None:
        """Count one request under each name once, however often the name comes."""
        self.hits.update(set(names))

    def sent(self, names: Iterable[str], count: int) -> None:
        for name in set(names):
            self.bytes_sent[name] += count

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One more media response is being sent, until it ended in whatever way."""
        self.open_reads += 1
        try:
            yield
        finally:
            self.open_reads -= 1
