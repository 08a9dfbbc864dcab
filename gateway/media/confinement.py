"""What a child process may cost: memory, time, files and processes, as the kernel keeps it.

What it works on is made by strangers: a few bytes may claim the memory of any machine, loop a codec,
or name files and addresses. Limits only ever shrink.
"""

import os
import resource
from pathlib import Path


def confine(
    *,
    memory_bytes: int,
    cpu_s: int | None = None,
    files: int | None = None,
    written_bytes: int | None = None,
    alone: bool = True,
) -> None:
    """From here on this process has so much more memory than now, and no more than the rest says.

    `files` counts those that are open now too; `alone` is without a further process or thread.
    """
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, has + memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)  # it would be a copy of somebody's media on the disk
    if cpu_s is not None:
        _limit(resource.RLIMIT_CPU, cpu_s)  # a codec that loops is deaf; the gateway may be gone
    if alone:
        _limit(resource.RLIMIT_NPROC, 0)
    if written_bytes is not None:
        _limit(resource.RLIMIT_FSIZE, written_bytes)
    if files is not None:
        _limit(resource.RLIMIT_NOFILE, files)


def mute() -> None:
    """Standard error goes nowhere: libraries tell there what they drop, and where that is a file which
    may not grow any more, they would try for ever."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))
