"""What all commands have: the settings, an event loop, and how they end."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from gateway.errors import GatewayError, Unprotected

if TYPE_CHECKING:  # who only asks another gateway, or for help, does not wait for them
    from gateway.settings import Settings


def begun(level: str | None = None) -> "Settings":
    """The settings of the environment, and the log at this level, or at theirs."""
    found = settings()
    from gateway import log

    log.configure(level or found.least_level)
    return found


def settings() -> "Settings":
    """Those of the environment; the command ends here where they are not right."""
    from pydantic import ValidationError

    from gateway.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        for one in error.errors():
            names = (str(at) if str(at).isupper() else f"GATEWAY_{str(at).upper()}" for at in one["loc"])
            print(f"setting {'.'.join(names)}: {one['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None


def run(work: Any) -> Any:
    """What comes of some work on an event loop."""
    _standing_in()
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with plainly(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _standing_in() -> None:
    """Something in the place of standard files that are closed: a socket would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    if sys.stderr is None:  # the log goes there
        sys.stderr = os.fdopen(2, "w", closefd=False)


@contextmanager
def plainly() -> Iterator[None]:
    """What fails for a foreseen reason ends the command with a line that says so."""
    try:
        yield
    except Unprotected as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(2) from None
    except GatewayError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:  # a port in use, a folder that cannot be written
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
