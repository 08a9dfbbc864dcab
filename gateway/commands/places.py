"""Where files go: names that are safe, and those of files that are there already left alone."""

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from clipwire import files


class Places:
    """The names that one command gives to files; `taken` are left alone in any case."""

    def __init__(self, *, replace: bool, taken: Iterable[Path] = ()) -> None:
        self._replace = replace
        self._taken = {path.resolve() for path in taken}

    def free(self, folder: Path, name: str) -> Path:
        """A plain file in the folder by that name, or by the name and a number; given once."""
        name = files.safe_name(name)
        stem, dot, ending = name.rpartition(".")
        for number in count(1):
            numbered = f"{stem}-{number}{dot}{ending}" if stem else f"{name}-{number}"
            path = folder / (name if number == 1 else numbered)
            if path.resolve() not in self._taken and (self._replace or not path.exists()):
                self._taken.add(path.resolve())
                return path
        raise AssertionError("numbers do not end")
