"""`python -m gateway serve` in a process of its own, as an operator runs it: signalled, killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import aiohttp

from tests.bench.process import free_port

ROOT = Path(__file__).parents[1]
START_S = 90  # on a machine that has other work too
END_S = 60
OURS = (
    "GATEWAY_", "CLIPWIRE_", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_", "TERM",
    "COLUMNS", "DATABASE_URL", "REDIS_URL",
)  # fmt: skip


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of this process, without what would be settings; data go into the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients/python'}"}
    return kept | paths | {"GATEWAY_DATA_DIR": str(folder / "data")} | more


class Served:
    """One of them."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """It has no time to say anything."""
        self.process.kill()

    def stop(self) -> None:
        """It may finish what it does."""
        with suppress(ProcessLookupError):  # it has just ended
            self.process.send_signal(signal.SIGTERM)

    async def stopped(self) -> int:
        """Stops it; its exit code."""
        self.stop()
        async with asyncio.timeout(END_S):
            return await self.process.wait()

    async def answers(self, path: str) -> None:
        """Waits until an address of it is answered with 200."""
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(self.url + path) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    assert self.process.returncode is None, "it did not start"
                await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(
    folder: Path,
    *arguments: str,
    until: str | None = "/ready",
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] = asyncio.subprocess.DEVNULL,
    group: bool = False,  # of its own, so that a terminal's signals reach all of it and nobody else
    **settings: object,
) -> AsyncIterator[Served]:
    """A gateway with these settings, by their fields, and what else is to be in its environment; once it
    answers `until`. It ends with the block."""
    port = port or free_port()
    named = {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    few = {"PORT": str(port), "GATEWAY_EXTRACT_PROCESSES": "1", "GATEWAY_SHUTDOWN_S": "1",
           "GATEWAY_MODEL": str(folder / "none")}  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", *arguments,
        cwd=folder, env=environment(folder, **few | named | dict(env or {})),
        stdout=asyncio.subprocess.DEVNULL, stderr=stderr, start_new_session=group,
    )  # fmt: skip
    served = Served(process, f"http://127.0.0.1:{port}")
    try:
        if until is not None:
            await served.answers(until)
        yield served
    finally:
        if process.returncode is None:
            try:
                await served.stopped()
            finally:
                if process.returncode is None:
                    process.kill()
