"""The workers, and who may use them.

Always: a worker is idle, working on exactly one batch, or dead; a dead one is replaced, and its
windows are tried once more, alone. A window that nobody waits for leaves the queue at once.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import structlog

from gateway.errors import Busy, ModelUnavailable, SpeechFailed
from gateway.settings import Settings
from gateway.speech import context
from gateway.speech.messages import Batch, Heard, Job, Options, Recognised
from gateway.speech.pace import Pace
from gateway.speech.process import NotBegun, Worker, WorkerDied
from gateway.speech.queue import Queue, Waiting
from gateway.speech.windows import Window

log = structlog.get_logger()

TRIES_MAX = 2
_WAITING_PER_TRANSCRIPT = 4  # transcripts hold back long before; this bounds the queue whoever calls
_RETRY_S = (0.0, 1.0, 5.0, 15.0)  # between starts of a worker that does not come up

HeardLanguage = Callable[[str, float | None], None]


class LocalPool:
    """Worker processes on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: Queue[_Wish] = Queue()
        self._more = asyncio.Event()  # something was queued
        self._slots: list[asyncio.Task[None]] = []
        self._workers: set[Worker] = set()  # those that are loaded
        self._name = ""
        self._pace = Pace()

    @property
    def ready(self) -> bool:
        """Whether a worker is there."""
        return bool(self._workers)

    @property
    def model(self) -> str:
        """The name of the model in use."""
        return self._name

    @property
    def workers(self) -> int:
        """How many workers there are meant to be."""
        return self._settings.worker_count

    @property
    def waiting(self) -> int:
        """Windows in the queue."""
        return len(self._queue)

    @property
    def speed(self) -> float | None:
        """Seconds of sound that all workers recognise in a second, as measured; None before the first."""
        each = self._pace.speed
        return None if each is None else each * self.workers

    def standing(self, transcript_id: str) -> tuple[int, float | None]:
        """How many windows go before the next one of a transcript, and about how long they take."""
        position, seconds = self._queue.before(transcript_id)
        if not position:
            return 0, 0.0
        speed = self.speed
        return position, None if speed is None else round(seconds / speed, 1)

    @property
    def pids(self) -> list[int]:
        """The processes of the loaded workers."""
        return [worker.pid for worker in self._workers]

    async def start(self, model_folder: Path) -> None:
        """Starts the workers; returns when the first is loaded. Raises ModelUnavailable."""
        assert not self._slots, "started once"
        self._name = model_folder.name
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slots = [
            asyncio.create_task(self._slot(model_folder, first), name=f"speech worker {n}")
            for n in range(self.workers)
        ]
        try:
            await first
        except WorkerDied as failure:
            await self.close()
            raise ModelUnavailable("The speech model could not be loaded.") from failure
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the workers; what still waits fails."""
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        self._fail_all()

    async def recognise(
        self, transcript_id: str, window: Window, options: Options, heard: HeardLanguage | None = None
    ) -> Recognised:
        """What is said in a window. `heard` is told the language as soon as it is known.

        Raises SpeechFailed after two tries, Busy when the queue is full.
        """
        if len(self._queue) >= _WAITING_PER_TRANSCRIPT * (self._settings.transcripts_max + self.workers):
            raise Busy
        wish = _Wish(window, options, heard, asyncio.get_running_loop().create_future())
        waiting = Waiting(
            wish,
            transcript=transcript_id,
            kind=(context.seconds(self._name, window.seconds), options.prompt),
            seconds=window.seconds,
            first=window.first,
        )
        self._queue.put(waiting)
        self._more.set()
        try:
            return await wish.answer
        finally:
            self._queue.remove(waiting)

    async def _slot(self, folder: Path, first: "asyncio.Future[None]") -> None:
        """One worker after the other."""
        failures = 0
        while True:
            try:
                worker = await Worker.start(folder, self._name, self._settings)
            except (WorkerDied, OSError) as failure:
                log.warning("speech worker did not start", failure=str(failure))
                if not first.done():
                    first.set_exception(WorkerDied(str(failure)))
                if not self._workers:
                    self._fail_all()
                failures += 1
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                continue
            failures = 0
            self._workers.add(worker)
            if not first.done():
                first.set_result(None)
            try:
                await self._serve(worker)
            finally:
                self._workers.discard(worker)
                await worker.kill()

    async def _serve(self, worker: Worker) -> None:
        """Gives a worker batches until it dies, at work or idle."""
        ended = asyncio.ensure_future(worker.ended())
        try:
            while not ended.done():
                if batch := self._queue.take(self.workers):
                    if not await self._work(worker, batch):
                        return
                    continue
                self._more.clear()
                more = asyncio.ensure_future(self._more.wait())
                await asyncio.wait({more, ended}, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
            log.warning("idle speech worker lost", pid=worker.pid)
        finally:
            ended.cancel()

    async def _work(self, worker: Worker, batch: "list[Waiting[_Wish]]") -> bool:
        """Runs one batch; False when the worker did not survive it."""
        jobs = tuple(Job(w.item.window.samples, w.item.window.marks, w.item.options) for w in batch)
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._settings.window_s),
                aclosing(worker.work(Batch(jobs))) as said,
            ):
                async for message in said:
                    wish = batch[message.job].item
                    if isinstance(message, Heard):
                        wish.hear(message)
                    elif not wish.answer.done():
                        wish.answer.set_result(message.recognised)
        except (WorkerDied, TimeoutError, LookupError) as failure:
            log.warning("speech worker lost", pid=worker.pid, failure=str(failure) or "deadline")
            for waiting in reversed(batch):
                self._again(waiting, tried=not isinstance(failure, NotBegun))
            return False
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.item.fail()
            raise
        self._pace.add(sum(waiting.seconds for waiting in batch), time.monotonic() - began)
        return True

    def _again(self, waiting: "Waiting[_Wish]", *, tried: bool) -> None:
        if waiting.item.answer.done():
            return
        if tried and waiting.tries + 1 >= TRIES_MAX:
            waiting.item.fail()
            return
        self._queue.put_back(waiting, tried=tried)
        self._more.set()

    def _fail_all(self) -> None:
        for waiting in self._queue.drain():
            waiting.item.fail()


class _Wish:
    """A window on its way to an answer."""

    def __init__(
        self,
        window: Window,
        options: Options,
        heard: HeardLanguage | None,
        answer: "asyncio.Future[Recognised]",
    ) -> None:
        self.window = window
        self.options = options
        self.heard = heard
        self.answer = answer

    def hear(self, message: Heard) -> None:
        if self.heard is not None and not self.answer.done():
            self.heard(message.language, message.probability)

    def fail(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(SpeechFailed())
