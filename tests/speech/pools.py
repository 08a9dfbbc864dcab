"""Both kinds of pool for the same tests: where their workers are, and how one is started."""

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool, Pool
from gateway.speech.windows import Window
from tests.cluster import Nodes
from tests.speech.clips import Clip

UNTIL_S = 150  # on a machine that others use too
REPLICAS = {f"GATEWAY_CLUSTER_REPLICAS_{end}": "2" for end in ("MIN", "MAX")}  # one on each node


class Place(ABC):
    """Two workers somewhere on this machine, whose processes can be killed."""

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Pool]:
        """A pool with all its workers loaded."""
        pool = self._pool()
        try:
            async with asyncio.timeout(UNTIL_S):
                await pool.start(self.model)
            await until(lambda: pool.loaded == pool.workers)
            yield pool
        finally:
            await pool.close()

    @property
    @abstractmethod
    def model(self) -> Path:
        """What such a pool is started with."""

    @abstractmethod
    def _pool(self) -> Pool: ...

    @abstractmethod
    def workers(self, pool: Pool) -> set[int]:
        """The processes of the workers."""

    @abstractmethod
    def at_work(self, pool: Pool) -> set[int]:
        """Those that have a window of this pool, or would have the next one."""


class Here(Place):
    """Processes of the pool's own."""

    def __init__(self, model: Path) -> None:
        self._model = model

    @property
    def model(self) -> Path:
        return self._model

    def _pool(self) -> Pool:
        return LocalPool(Settings(workers=2))

    def workers(self, pool: Pool) -> set[int]:
        return set(pool.pids)

    def at_work(self, pool: Pool) -> set[int]:
        return set(pool.pids)


class Clustered(Place):
    """Replicas in a cluster."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        done = nodes.command("deploy", **REPLICAS)
        assert done.returncode == 0, done.stderr

    @property
    def model(self) -> Path:
        return Path("base")

    def _pool(self) -> Pool:
        return ClusterPool(Settings(cluster_address=self.nodes.address))

    def workers(self, pool: Pool) -> set[int]:
        return set(self.nodes.replicas())

    def at_work(self, pool: Pool) -> set[int]:
        assert isinstance(pool, ClusterPool)
        return {int(out.replica.rpartition(":")[2]) for out in pool._out.values() if out.replica is not None}


def window(clip: Clip, *, first: bool = False) -> Window:
    return Window(0, clip.samples, ((0, len(clip.samples) // 2),), first)


async def text(pool: Pool, clip: Clip, *, transcript: str = "t", options: Options | None = None) -> str:
    answer = await pool.recognise(transcript, window(clip), options or Options(language="en"))
    return " ".join(segment.text for segment in answer.segments)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(UNTIL_S):
        while not done():
            await asyncio.sleep(0.005)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
