"""What a person is told meanwhile: on standard error, and how far things are only on a terminal.

Always: nothing of it is on standard output; no text of others moves the cursor.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.commands import plain
from gateway.commands.out import ReaderLeft

if TYPE_CHECKING:  # it takes a while to load, and a pipe needs none of it
    from rich.console import Console
    from rich.status import Status

TITLE_CHARS_MAX = 200  # some titles are essays

Progress = Callable[[int, int | None], None]  # bytes done, bytes in all or None


class Telling:
    """Lines, bars and what is going on; `quiet` leaves only what went wrong."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console: Console | None = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console as Terminal

            self._console = Terminal(stderr=True, highlight=False)

    @property
    def terminal(self) -> bool:
        """Whether bars are seen."""
        return self._console is not None

    def failed(self, text: str) -> None:
        """What went wrong. Raises ReaderLeft."""
        self._line(text, "red")

    def note(self, text: str) -> None:
        """What is good to know. Raises ReaderLeft."""
        if not self._quiet:
            self._line(text, "dim")

    def title(self, text: str) -> None:
        """What comes next, for who watches."""
        if self.terminal:
            self._line(plain.line(text)[:TITLE_CHARS_MAX], "bold")

    @contextmanager
    def bar(self, name: str, length: int | None) -> Iterator[Progress]:
        """How far a file is; it stays to be read."""
        if self._console is None:
            yield lambda done, whole: None
            return
        from rich import progress as rich

        columns = (
            rich.TextColumn("  {task.description}", markup=False),
            rich.BarColumn(30),
            rich.DownloadColumn(),
        )
        with rich.Progress(*columns, console=self._console) as shown:
            bar = shown.add_task(plain.line(name), total=length)
            yield lambda done, whole: shown.update(bar, completed=done, total=whole)
            shown.update(bar, total=shown.tasks[bar].completed)  # whole, whether or not that was told

    @contextmanager
    def going(self, text: str) -> Iterator["Going"]:
        """What is going on; it is gone afterwards."""
        if self._console is None:
            yield Going(None)
            return
        from rich.text import Text

        with self._console.status(Text(text)) as status:
            yield Going(status)

    def _line(self, text: str, style: str) -> None:
        text = plain.line(text)
        if self._console is not None:
            self._console.print(text, style=style, markup=False, soft_wrap=True, emoji=False)
            return
        if sys.stderr is None:
            return
        try:
            os.write(sys.stderr.fileno(), f"{text}\n".encode(errors="replace"))
        except BrokenPipeError:
            raise ReaderLeft from None


class Going:
    """What is going on, as it changes."""

    def __init__(self, status: "Status | None") -> None:
        self._status = status

    def tell(self, text: str) -> None:
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(text))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Not shown while something is written to the terminal that it may be on."""
        if self._status is None:
            yield
            return
        self._status.stop()
        yield
        self._status.start()
