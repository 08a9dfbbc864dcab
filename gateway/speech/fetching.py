"""A child process that fetches files into a folder, watched by the bytes that arrive there."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.errors import ModelUnavailable

# what is being fetched, bytes so far, bytes in all (None: not known)
Progress = Callable[[str, int, int | None], None]

STALL_S = 120  # without a new byte for so long, nothing will come any more
_LOOK_S = 0.25  # how often the folder is looked at


@asynccontextmanager
async def child(*command: str, env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child with piped output, ended on the way out."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # its own children too
            except ProcessLookupError:
                pass
        await process.communicate()  # its last words are dropped; the pipes are closed


async def watch(process: asyncio.subprocess.Process, folder: Path, arrived: Callable[[int], None]) -> str:
    """Tells how many bytes the folder has until the child ends; returns its last line of complaint.

    Raises ModelUnavailable when nothing arrives for STALL_S.
    """
    ended = asyncio.create_task(process.communicate())
    loop = asyncio.get_running_loop()
    seen, moved = -1, loop.time()
    try:
        while not ended.done():
            now = await asyncio.to_thread(size, folder)
            if now != seen:
                seen, moved = now, loop.time()
                arrived(now)
            elif loop.time() - moved > STALL_S:
                raise ModelUnavailable("The download stopped arriving.")
            await asyncio.wait([ended], timeout=_LOOK_S)
    finally:
        if not ended.done():
            ended.cancel()
            await asyncio.wait([ended])
    _, complaint = ended.result()
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def size(folder: Path) -> int:
    """Bytes of the files in a folder that others are changing."""
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(where, file)).st_size
            except FileNotFoundError:
                pass
    return total
