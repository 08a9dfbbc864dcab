"""What came of the requests, by their kind, and as a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from tests.bench.table import Table

MIB = 1 << 20


@dataclass
class Kind:
    """The requests of one kind."""

    times: list[float] = field(default_factory=list)  # seconds, of those that were answered as they should
    ends: Counter[str] = field(default_factory=Counter)  # statuses; or how it ended otherwise
    bytes: int = 0
    audio_s: float = 0.0


@dataclass
class Tally:
    """All of them, and what was wrong with any."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str) -> Kind:
        return self.kinds.setdefault(kind, Kind())

    @property
    def ends(self) -> Counter[str]:
        return sum((kind.ends for kind in self.kinds.values()), Counter())

    def table(self, title: str, leaks: Sequence[str]) -> Table:
        rows = []
        for name, kind in sorted(self.kinds.items()):
            p50, p95, p99 = _cuts(kind.times)
            ends = ", ".join(f"{end} {count}" for end, count in sorted(kind.ends.items()))
            rows.append(
                (name, str(kind.ends.total()), f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}",
                 f"{kind.bytes / MIB:.1f}", f"{kind.audio_s:.0f}", ends)
            )  # fmt: skip
        every = self.ends
        rows.append(
            ("all", str(every.total()), *(f"{cut:.2f}" for cut in _cuts(self._times())),
             f"{sum(kind.bytes for kind in self.kinds.values()) / MIB:.1f}",
             f"{sum(kind.audio_s for kind in self.kinds.values()):.0f}",
             f"rate limited {every['429']}, busy {every['503']}, cut by us {every['cut']}, "
             f"by them {every['left']}, wrong {len(self.wrong)}, leaks {len(leaks)}")
        )  # fmt: skip
        columns = ("kind", "requests", "p50 s", "p95 s", "p99 s", "MiB", "audio s", "statuses")
        return Table(title, columns, rows, notes=tuple(self.notes))

    def _times(self) -> list[float]:
        return [time for kind in self.kinds.values() for time in kind.times]


def _cuts(times: list[float]) -> tuple[float, float, float]:
    if len(times) < 2:
        return (times * 3 + [0.0] * 3)[0:3]  # type: ignore[return-value]
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]
