"""Processes that are quick to start: forked from one that has imported everything."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.store.child"])

WAIT_S = 60


def started(what: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
    """A process that does this, with our end of its pipe; it has said that it is ready."""
    ours, its = _forks.Pipe()
    process = _forks.Process(target=what, args=(*arguments, its), daemon=True)
    process.start()
    its.close()
    assert heard(ours) == "ready"
    return process, ours


def heard(pipe: Connection) -> Any:
    """What the process says next. Raises EOFError when it is dead."""
    assert pipe.poll(WAIT_S), "the process says nothing"
    return pipe.recv()
