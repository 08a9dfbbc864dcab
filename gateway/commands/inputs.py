"""What a command is to work on, as it was typed."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

# an address, or a text with one in it; the gateway says whether it is one of a post
_ADDRESS = re.compile(r"(?i)https?://|\btiktokv?\.com/")


class NoInput(OSError):
    """Neither a file nor an address."""


def words(arguments: Sequence[str]) -> list[str]:
    """The arguments; in the place of a dash the lines of standard input."""
    found = list(_words(arguments))
    if not found:
        raise typer.BadParameter("standard input has no lines")
    return found


def media(word: str) -> str | Path:
    """A file of that name, or else an address. Raises OSError."""
    if os.path.isfile(word):
        return Path(word)
    if _ADDRESS.search(word):
        return word
    if os.path.exists(word):
        raise NoInput("It is not a plain file.")
    raise NoInput("There is no such file, and it is no address.")


def _words(arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments:
        if argument != "-":
            yield argument
        elif sys.stdin is not None:
            text = sys.stdin.buffer.read().decode(errors="replace")
            yield from (line for line in map(str.strip, text.splitlines()) if line)
