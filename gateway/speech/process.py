"""A speech worker as the gateway sees it: a child process that takes one batch at a time."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import structlog

from gateway import spawn
from gateway.settings import Settings
from gateway.speech.messages import (
    HEAD,
    Answer,
    Batch,
    Crashed,
    FromWorker,
    Heard,
    Ready,
    framed,
    from_worker,
)

log = structlog.get_logger()

LOAD_S = 120  # a large model from a slow disk; base takes .4 s
_MESSAGE_MAX = 16 << 20  # an answer is a few kilobytes; more is not ours


class WorkerDied(Exception):
    """The process ended, or said something that is no message."""


class NotBegun(WorkerDied):
    """The process had ended before it was asked: no fault of what it was asked."""


class Worker:
    """One child. Always: idle, working on exactly one batch, or dead."""

    def __init__(self, process: spawn.Piped, settings: Settings) -> None:
        self._process = process
        self._settings = settings
        self._windows = 0
        self._fresh_bytes: int | None = None  # resident once the model was loaded
        self.load_s = 0.0  # how long that took

    @classmethod
    async def start(cls, folder: Path, name: str, settings: Settings) -> "Worker":
        """A worker whose model is loaded. Raises WorkerDied."""
        began = time.monotonic()
        process = await spawn.piped(
            sys.executable, "-m", "gateway.speech.worker", str(folder),
            "--name", name,
            "--device", settings.device,
            "--compute-type", settings.compute_type,
            "--threads", str(settings.worker_threads),
            "--beam-size", str(settings.beam_size),
            *(("--encoder-silence", str(silence_s)) if (silence_s := settings.encoder_silence_s) else ()),
            *(("--traces", settings.otlp_endpoint) if settings.otlp_endpoint else ()),
            # a worker has its model, or fails
            env=os.environ | environment(settings.worker_threads) | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        worker = cls(process, settings)
        try:
            async with asyncio.timeout(LOAD_S):
                said = await worker._hear()
            if not isinstance(said, Ready):
                raise WorkerDied("the worker did not load its model")
        except TimeoutError:
            await worker.kill()
            raise WorkerDied("the worker did not load its model in time") from None
        except BaseException:
            await worker.kill()
            raise
        worker.load_s = time.monotonic() - began
        worker._fresh_bytes = _resident_bytes(worker.pid)
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def worn(self) -> bool:
        """Whether it has done so much, or grown so much, that another should take its place."""
        windows_max = self._settings.worker_windows_max
        growth_bytes_max = self._settings.worker_growth_bytes_max
        if windows_max and self._windows >= windows_max:
            return True
        return bool(growth_bytes_max) and self.grown_bytes > growth_bytes_max

    @property
    def windows(self) -> int:
        """How many windows it was given."""
        return self._windows

    @property
    def grown_bytes(self) -> int:
        """How much more memory it has than with nothing but its model; 0 where nobody tells."""
        now = _resident_bytes(self.pid)
        return 0 if now is None or self._fresh_bytes is None else now - self._fresh_bytes

    async def work(self, batch: Batch) -> AsyncGenerator[Heard | Answer, None]:
        """What the worker says of a batch, until each of its windows is answered."""
        self._windows += len(batch.jobs)
        if self._process.returncode is not None:  # before anybody was told: a dead socket takes some more
            raise NotBegun("the worker had ended")
        try:
            self._process.stdin.write(framed(batch))
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError):
            raise NotBegun("the worker had ended") from None
        open_ = len(batch.jobs)
        while open_:
            said = await self._hear()
            if isinstance(said, Ready | Crashed):
                raise WorkerDied("the worker lost its place")
            open_ -= isinstance(said, Answer)
            yield said

    async def ended(self) -> None:
        """Waits until the process is dead."""
        await self._process.wait()

    async def kill(self) -> None:
        """Ends the process and waits for it."""
        self._process.kill()
        self._process.stdin.close()
        await self._process.wait()

    async def _hear(self) -> FromWorker:
        try:
            (size,) = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
            if size > _MESSAGE_MAX:
                raise WorkerDied("the worker said something that is no message")
            said = from_worker(await self._process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerDied("the worker ended") from None
        except msgspec.DecodeError as failure:
            raise WorkerDied("the worker said something that is no message") from failure
        if isinstance(said, Crashed):
            log.error("speech worker crashed", pid=self.pid, traceback=said.traceback)
            raise WorkerDied("the worker crashed")
        return said


def _resident_bytes(pid: int) -> int | None:
    """Memory that a process really has; None where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return None


def environment(threads: int) -> dict[str, str]:
    """What a process that recognises has before Python starts: NumPy loads BLAS early, and memory is not
    given back each time. About a sixth faster."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }
