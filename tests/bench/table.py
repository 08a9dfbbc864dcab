"""What a bench found, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import median


@dataclass(frozen=True)
class Table:
    """Rows under columns; `notes` say how it was measured."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        # words to the left, figures to the right
        left = [all(not row[i][:1].isdigit() for row in self.rows) for i in range(len(self.columns))]
        body = [
            "  ".join(
                text.ljust(width) if words else text.rjust(width)
                for text, width, words in zip(line, widths, left, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *self.notes, "", body[0], "-" * len(body[0]), *body[1:]])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the ratios of each run: what slowed one run down slowed both."""
    return f"{median(a / (b or nan) for a, b in zip(ours, theirs, strict=True)):.2f}x"
