"""Several gateways on one machine as one: started, started again where one dies, and ended together.

Always: they end with this process, also when it is killed: their standard input does.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from gateway.settings import Settings

LONG_S = 30.0  # a gateway that ran for so long is started again at once
AGAIN_S, AGAIN_S_MAX = 1.0, 30.0

log = structlog.get_logger()


class Fleet:
    """The processes, which share a port."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._there: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._port = settings.port

    async def run(self) -> int:
        """Runs them until SIGTERM or SIGINT; the exit code: that of one that could not begin."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._signal, signal.SIGHUP)
        if self._settings.redis_url is None:
            log.warning(
                "without Redis each process counts calls for itself, and a running transcript is known to its"
                " own only: set REDIS_URL"
            )
        with ExitStack() as held, tempfile.TemporaryDirectory(prefix="clipwire-") as folder:
            self._hold(held)
            log.info("starting", processes=self._count, port=self._port)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep(folder)) for _ in range(self._count)]
            return max(task.result() for task in tasks)

    def _hold(self, held: ExitStack) -> None:
        """Has the port, so that it is the same one for all of them. Raises OSError."""
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._settings.host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = held.enter_context(socket.socket(family, kind, protocol))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        self._port = sock.getsockname()[1]

    async def _keep(self, folder: str) -> int:
        """Keeps one running."""
        wait_s, first = AGAIN_S, True
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._start(folder)
            code = await process.wait()
            self._there.discard(process)
            if self._stopping.is_set():
                break
            if first and code > 0 and time.monotonic() - began < LONG_S:
                self._stop()  # a setting is wrong, or a folder: it would be the same again
                return code
            first = False
            wait_s = AGAIN_S if time.monotonic() - began > LONG_S else min(wait_s * 2, AGAIN_S_MAX)
            log.error("a gateway process died", pid=process.pid, code=code, again_s=wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        return 0

    async def _start(self, folder: str) -> asyncio.subprocess.Process:
        workers = max(1, self._settings.worker_count // self._count)
        env = os.environ | {"GATEWAY_PORT": str(self._port), "GATEWAY_WORKERS": str(workers)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--member", str(Path(folder)),
            stdin=asyncio.subprocess.PIPE, env=env, start_new_session=True,  # signals come by us
        )  # fmt: skip
        self._there.add(process)
        if self._stopping.is_set():
            process.terminate()
        return process

    def _stop(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._there:
            with suppress(ProcessLookupError):
                process.send_signal(number)
