"""How much a bench does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """`quick` is for seeing whether a bench works: one run with little, whose figures mean nothing."""

    quick: bool = False

    @property
    def runs(self) -> int:
        """Runs of what is compared, in turns."""
        return 1 if self.quick else 3
