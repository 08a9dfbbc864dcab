"""Where files go: names that are safe, and those of files that are there already left alone."""

import os
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
        return self.beside(folder / files.safe_name(name))

    def beside(self, wanted: Path) -> Path:
        """That path, or the same with a number; given once."""
        for number in count(1):
            path = wanted if number == 1 else wanted.with_name(_numbered(wanted.name, number))
            if path.resolve() not in self._taken and (self._replace or not path.exists()):
                self._taken.add(path.resolve())
                return path
        raise AssertionError("numbers do not end")


def _numbered(name: str, number: int) -> str:
    """The name with a number, and as short as a safe one: what is cut is before the number."""
    stem, dot, ending = name.rpartition(".") if "." in name[1:] else (name, "", "")
    end = f"-{number}{dot}{ending}"
    room = max(files.NAME_BYTES_MAX - len(os.fsencode(end)), 0)
    return os.fsencode(stem)[:room].decode(errors="ignore") + end
