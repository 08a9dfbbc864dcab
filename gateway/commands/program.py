"""What all commands have: the settings, an event loop, and how they end."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError

from gateway.errors import GatewayError, Unprotected
from gateway.settings import Settings


def settings() -> Settings:
    """Those of the environment; the command ends here where they are not right."""
    try:
        return Settings()
    except ValidationError as error:
        for one in error.errors():
            names = (str(at) if str(at).isupper() else f"GATEWAY_{str(at).upper()}" for at in one["loc"])
            print(f"setting {'.'.join(names)}: {one['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None


def run(work: Any) -> Any:
    """What comes of some work on an event loop."""
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with plainly(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


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
