"""The nursery process: it has loaded what its children need, and forks one whenever it is asked.

It is asked over its standard input, a socket, with two sockets more: they become the child's
standard input and output, as if it had been started alone. The first word on the child's output is
its number, with a descriptor of itself that means no other process, ever.
Always: the nursery has one thread, for a fork copies no other; a child has nothing that is the
nursery's or another child's; when the gateway is gone, all of them are.
"""

import gc
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

BORN = struct.Struct("<I")  # a child's number


def serve(work: Callable[[], None]) -> None:
    """Forks children that do `work` and end, until the gateway is gone."""
    assert os.getpgrp() == os.getpid()  # a group of our own: it ends as one
    # uvloop leaves copies of what it hands over; one in a child would hide from the gateway that we died
    for one in os.listdir("/proc/self/fd"):
        if int(one) > 2:
            with suppress(OSError):  # the one that lists them is among them
                os.close(int(one))
    asked = socket.socket(fileno=os.dup(0))
    asked.setblocking(True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended: the kernel buries them
    gc.collect()
    gc.freeze()  # the collector would write into each page that is shared with the children
    while True:
        word, sockets, _, _ = socket.recv_fds(asked, 1, 2)
        if not word:
            os.killpg(0, signal.SIGKILL)  # the children too, also those that hear of nothing just now
        stdin, stdout = sockets
        if _forked() == 0:
            asked.close()
            _live(stdin, stdout, work)
        os.close(stdin)
        os.close(stdout)


def _forked() -> int:
    try:
        return os.fork()
    except OSError:
        # no process to be had: the gateway sees us end, and tries again with another
        os._exit(1)


def _live(stdin: int, stdout: int, work: Callable[[], None]) -> NoReturn:
    """The child's life; it does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        itself = os.pidfd_open(os.getpid())
        with socket.socket(fileno=stdout) as parent:
            socket.send_fds(parent, [BORN.pack(os.getpid())], [itself])
        os.close(itself)
        work()
        os._exit(0)
    except ConnectionError:
        os._exit(0)  # who asked has left
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
