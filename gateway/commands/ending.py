"""How a command ends: its exit code, and what a signal or a reader that leaves makes of it."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any, NoReturn

import typer

from gateway.commands import program
from gateway.commands.out import ReaderLeft

EXITS = {
    0: "Everything that was asked for is there.",
    1: "Some or all of it failed; a line on standard error for each says why.",
    2: "The command was called wrongly, or a setting is wrong. Nothing was done.",
    129: "The terminal went away (SIGHUP).",
    130: "It was stopped, as by Ctrl-C (SIGINT).",
    141: "Nobody read the output any more, as after `head -1`.",
    143: "It was stopped (SIGTERM).",
}


def end(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Does the work and ends the command with its exit code; what was open is closed first."""
    if find_spec("clipwire") is None:  # it is run from its folder, with no more than its packages
        work.close()
        print("The client is not installed: pip install ./clients/python", file=sys.stderr)
        raise typer.Exit(2)
    logging.getLogger().addHandler(logging.NullHandler())  # a library's warnings are no words for a person
    told = _told(work)
    try:
        code = program.run(told)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has been heard
        code = 128 + signal.SIGINT
    finally:  # it may not even have begun
        told.close()
        work.close()
    raise typer.Exit(code)


async def _told(work: Coroutine[Any, Any, int]) -> int:
    """The work's exit code, or that of the signal that ended it."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    stopped: list[int] = []

    def stop(number: int) -> None:
        if not stopped:
            task.cancel()
        stopped.append(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except ReaderLeft:
        return 128 + signal.SIGPIPE
    except asyncio.CancelledError:
        if not stopped:
            raise  # by Ctrl-C, of which the runner makes a KeyboardInterrupt
        return 128 + stopped[0]
