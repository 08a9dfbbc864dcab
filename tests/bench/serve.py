"""`python -m gateway serve`, once it answers."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import CORES, BenchFailed, child, free_port, module

START_S = 90  # with a model; without one it is two
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Served:
    """A running gateway."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@asynccontextmanager
async def serve(
    folder: Path, settings: Mapping[str, str], *, until: str = "/live", cores: Collection[int] = CORES
) -> AsyncIterator[Served]:
    """A gateway with these settings alone; `until` is the address that must answer 200 first."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "gateway.log"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    for common in ("PORT", "LOG_LEVEL", "VIDEO_DURATION_MAX", "MAX_VIDEO_DURATION"):
        ours.pop(common, None)
    env = ours | {
        "GATEWAY_HOST": HOST, "GATEWAY_PORT": str(port), "GATEWAY_DATA_DIR": str(folder / "data"),
        "GATEWAY_SHUTDOWN_S": "1", **settings,
    }  # fmt: skip
    # not in the project's folder, where an .env may be
    async with child(*module("gateway"), "serve", env=env, cwd=folder, log=log, cores=cores) as process:
        await _answering(process, port, until, log)
        yield Served(process.pid, port)


async def _answering(process: asyncio.subprocess.Process, port: int, path: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while not await _ok(port, path):
        if process.returncode is not None or time.monotonic() > until:
            raise BenchFailed(f"the gateway did not start: {log.read_text()}")
        await asyncio.sleep(0.05)


async def _ok(port: int, path: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    head = await reader.readline()
    writer.close()
    return b" 200 " in head
