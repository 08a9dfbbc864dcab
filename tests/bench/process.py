"""Child processes of a bench: pinned to cores, ended on every way out, and what they cost."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORES = sorted(os.sched_getaffinity(0))
RELAY_CORE = CORES[:1]  # what is measured has a core of its own ...
OTHER_CORES = CORES[1:] or CORES  # ... and the load, the tunnel and the origin share the others
END_S = 15  # the gateway lets streams finish first
LINE_BYTES_MAX = 16 << 20

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class BenchFailed(Exception):
    """What stops a bench; its words are for whoever runs it."""


@asynccontextmanager
async def child(
    *command: str | Path,
    cores: Collection[int] = CORES,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    log: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with pipes to its standard input and output; what it says otherwise goes to `log`."""

    def before() -> None:
        os.sched_setaffinity(0, cores)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # it does not outlive a bench that was killed

    with (log or Path(os.devnull)).open("ab") as lines:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=lines,
            env=env, cwd=cwd, limit=LINE_BYTES_MAX, preexec_fn=before,
            start_new_session=True,  # Ctrl-C is for the bench, which then ends them in order
        )  # fmt: skip
    try:
        yield process
    finally:
        await _ended(process)


def module(name: str) -> tuple[str, ...]:
    """The command that runs one of our modules."""
    return sys.executable, "-m", name


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def line(process: asyncio.subprocess.Process, what: str) -> bytes:
    """The next line a child writes. Raises BenchFailed when it ended instead."""
    assert process.stdout is not None
    read = await process.stdout.readline()
    if not read.endswith(b"\n"):
        raise BenchFailed(f"{what} ended too early")
    return read


async def say(process: asyncio.subprocess.Process, data: bytes) -> None:
    """A line to a child."""
    assert process.stdin is not None
    process.stdin.write(data + b"\n")
    await process.stdin.drain()


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and of all below it, those that have ended included.

    The kernel tells them in hundredths: measure half a second or more.
    """
    spent = sum(sum(map(int, stat[11:15])) for stat in members(pid).values())  # utime stime cutime cstime
    return spent / _TICKS_PER_S


def shared_kb(pid: int) -> int:
    """The memory of a process and of all below it, what they share counted once."""
    return sum(map(own_kb, members(pid)))


def own_kb(pid: int) -> int:
    """The memory of one process, its share of what it shares; 0 when it has just ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def members(pid: int) -> dict[int, list[str]]:
    """A process and all below it: what the kernel tells of each."""
    stats = {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                stats[int(one.name)] = (one / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
    family = [pid]
    for member in family:
        family += [other for other, stat in stats.items() if int(stat[1]) == member]
    return {member: stats[member] for member in family if member in stats}


async def idle(pid: int, seconds: float = 0.3, seconds_max: float = 20) -> None:
    """Waits until a process has done nothing for a while."""
    loop = asyncio.get_running_loop()
    until, before = loop.time() + seconds_max, -1.0
    while loop.time() < until and (spent := cpu_s(pid)) - before > 0.01:
        before = spent
        await asyncio.sleep(seconds)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise
