"""What is told meanwhile is text, and no markup."""

import io

from rich.console import Console

from gateway.commands.telling import Going


def test_what_is_going_on_is_no_markup() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with console.status("") as status:
        Going(status).tell("[/b] [red]heard")
    assert isinstance(console.file, io.StringIO)
    assert "[/b] [red]heard" in console.file.getvalue()
