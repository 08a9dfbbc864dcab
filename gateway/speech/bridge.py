"""The driver of the cluster as the gateway sees it: a child process that orders are told to.

Ray lives in it, not in the gateway: it ends its own process when the head is gone for long.
"""

import asyncio
import os
import subprocess
import sys

import msgspec
import structlog

from gateway import spawn
from gateway.settings import Settings
from gateway.speech.messages import HEAD, framed
from gateway.speech.orders import FromDriver, Plan, State, ToDriver, from_driver
from gateway.speech.process import WorkerDied

log = structlog.get_logger()

START_S = 120  # Ray is slow to load on a busy machine
SILENT_S = 30  # it tells how the cluster stands every second
_MESSAGE_MAX = 16 << 20
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # up to this, a window goes with its call; else by Ray's store of objects, which takes 2 ms more
    "RAY_max_direct_call_object_size": str(4 << 20),
}


class Bridge:
    """One child. Raises WorkerDied wherever it has ended, says nothing, or nothing that is a message."""

    def __init__(self, process: spawn.Piped, state: State) -> None:
        self._process = process
        self.state = state  # as it was when it had started

    @classmethod
    async def start(cls, settings: Settings, session: str | None) -> "Bridge":
        """A driver that is connected; in another session than this one it deploys what is not there."""
        plan = msgspec.json.encode(Plan.of(settings)).decode()
        address = settings.cluster_address
        assert address is not None
        process = await spawn.piped(
            sys.executable, "-m", "gateway.speech.nodes.driver", address, plan,
            *(("--known", session) if session is not None else ()),
            env={"RAY_BACKEND_LOG_LEVEL": "fatal", **os.environ, **_ENVIRONMENT},
            # what Ray says is no line of our log, and what is the matter is told as a state
            stderr=None if settings.least_level == "debug" else subprocess.DEVNULL,
        )  # fmt: skip
        bridge = cls(process, State("", False, 0, 0))
        try:
            said = await bridge.hear(within_s=START_S)
            if not isinstance(said, State):
                raise WorkerDied("the driver of the cluster lost its place")
            if not said.session:
                raise WorkerDied(said.trouble or "the driver of the cluster ended")
        except BaseException:
            await bridge.kill()
            raise
        bridge.state = said
        return bridge

    @property
    def pid(self) -> int:
        return self._process.pid

    async def tell(self, message: ToDriver) -> None:
        """Says something, as fast as the driver listens."""
        self.say(message)
        try:
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError):
            raise WorkerDied("the driver of the cluster ended") from None

    def say(self, message: ToDriver) -> None:
        """Says something short."""
        try:
            self._process.stdin.write(framed(message))
        except (ConnectionError, RuntimeError):
            raise WorkerDied("the driver of the cluster ended") from None

    async def hear(self, *, within_s: float = SILENT_S) -> FromDriver:
        """What it says next."""
        try:
            async with asyncio.timeout(within_s):
                (size,) = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
                if size > _MESSAGE_MAX:
                    raise WorkerDied("the driver of the cluster said something that is no message")
                return from_driver.decode(await self._process.stdout.readexactly(size))
        except TimeoutError:
            raise WorkerDied("the driver of the cluster is silent") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerDied("the driver of the cluster ended") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
            raise WorkerDied("the driver of the cluster said something that is no message") from failure

    async def kill(self) -> None:
        """Ends the process and waits for it."""
        self._process.kill()
        self._process.stdin.close()
        await self._process.wait()
