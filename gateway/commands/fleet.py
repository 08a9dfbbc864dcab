"""Several gateways on one machine as one: started, started again where one dies, and ended together.

Always: they end with this process, also when it is killed: their standard input does. Together they take no
more of the machine than one by itself would. A folder that was left by one that was killed goes with the next
start.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from gateway.commands.shares import shared
from gateway.settings import Settings

LONG_S = 30.0  # a gateway that ran for so long is started again at once
AGAIN_S, AGAIN_S_MAX = 1.0, 30.0
FOLDER = "clipwire-fleet-"

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
        with ExitStack() as held, fleet_folder() as folder:
            self._hold(held)
            log.info("starting", processes=self._count, port=self._port)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep(folder, one)) for one in range(self._count)]
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

    async def _keep(self, folder: Path, number: int) -> int:
        """Keeps the one of that number running."""
        wait_s, first = AGAIN_S, True
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._start(folder, number)
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

    async def _start(self, folder: Path, number: int) -> asyncio.subprocess.Process:
        bounds = shared(self._settings, self._count, number)
        env = os.environ | bounds | {"GATEWAY_PORT": str(self._port)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--member", str(folder),
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


@contextmanager
def fleet_folder() -> Iterator[Path]:
    """A folder of this process's own, with a short path as sockets need it; those of dead ones go."""
    above = Path(tempfile.gettempdir())
    for left in above.glob(f"{FOLDER}*"):
        _swept(left)
    with tempfile.TemporaryDirectory(prefix=FOLDER, dir=above) as name:
        folder = Path(name)
        lock = _locked(folder / "locking", os.O_CREAT)
        (folder / "locking").rename(folder / "lock")  # only now it may be looked at by others
        try:
            yield folder
        finally:
            os.close(lock)


def _swept(folder: Path) -> None:
    """Removes it where it is ours, and its process is dead."""
    with suppress(OSError):  # it lives, or the folder is somebody else's
        if folder.lstat().st_uid == os.geteuid():
            lock = _locked(folder / "lock")
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(file: Path, flags: int = 0) -> int:
    """The file, held until it is closed or this process ends. Raises OSError where another has it."""
    lock = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
