"""The workers, and who may use them.

Always: a worker is idle, working on exactly one batch, or dead; a dead one is replaced, and its
windows are tried once more, alone. A window that nobody waits for leaves the queue at once, and frees
its worker where that is worth it. Of workers that are worn, one at a time is replaced, by another that
has loaded.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.errors import Busy, ModelUnavailable
from gateway.settings import Settings
from gateway.speech import context
from gateway.speech.cost import Cost
from gateway.speech.messages import Options, Recognised
from gateway.speech.pace import Pace
from gateway.speech.process import NotBegun, Worker, WorkerDied
from gateway.speech.queue import Queue, Waiting
from gateway.speech.windows import Window
from gateway.speech.wish import HeardLanguage, Wish
from gateway.speech.working import GivenUp, Working
from gateway.tracing import OFF, Tracing

log = structlog.get_logger()

TRIES_MAX = 2
_WAITING_PER_TRANSCRIPT = 4  # transcripts hold back long before; this bounds the queue whoever calls
_RETRY_S = (1.0, 5.0, 15.0)  # between starts of a worker that does not come up


class Pool(ABC):
    """What every pool is: windows in a queue that is fair and bounded, and what is told of them."""

    def __init__(self, settings: Settings, *, tracing: Tracing = OFF) -> None:
        self._settings = settings
        self._tracing = tracing
        self._queue: Queue[Wish] = Queue()
        self._more = asyncio.Event()  # something was queued
        self._name = ""
        self._pace = Pace()
        self.windows = 0  # that were recognised
        self.sound_s = 0.0  # in them
        self.worked_s = 0.0  # of workers, whatever came of it
        self.restarts: Counter[str] = Counter()  # of workers that were replaced: lost, freed, worn

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether a window would be taken now, or in a moment."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many workers there are meant to be."""

    @property
    @abstractmethod
    def loaded(self) -> int:
        """How many have their model."""

    @property
    @abstractmethod
    def pids(self) -> list[int]:
        """The processes of this pool on this machine."""

    @abstractmethod
    async def start(self, model_folder: Path) -> None:
        """Returns when the first worker is there. Raises ModelUnavailable."""

    @abstractmethod
    async def close(self) -> None:
        """Ends what was started; what still waits fails."""

    @property
    def model(self) -> str:
        """The name of the model in use."""
        return self._name

    @property
    def waiting(self) -> int:
        """Windows in the queue."""
        return len(self._queue)

    @property
    def speed(self) -> float | None:
        """Seconds of sound that the workers there are do in a second, as measured; None before the first."""
        each = self._pace.speed
        return None if each is None else each * max(1, self.loaded)

    def standing(self, transcript_id: str) -> tuple[int, float | None]:
        """How many windows go before the next one of a transcript, and about how long they take."""
        position, seconds = self._queue.before(transcript_id)
        if not position:
            return 0, 0.0
        speed = self.speed
        return position, None if speed is None else round(seconds / speed, 1)

    @property
    def first_s(self) -> float:
        """Seconds until the first window of a transcript that begins now has its turn, as far as known."""
        return self._queue.ahead_of_first / (self.speed or 1.0)

    async def recognise(
        self,
        transcript_id: str,
        window: Window,
        options: Options,
        *,
        before: str | None = None,
        heard: HeardLanguage | None = None,
        cost: Cost | None = None,
    ) -> Recognised:
        """What is said in a window. `heard` is told the language as soon as it is known, `cost` the work.

        Where `before`, the language of the sound so far, makes bad text, another one is listened for.

        Raises SpeechFailed after two tries, Busy when the queue is full.
        """
        if len(self._queue) >= _WAITING_PER_TRANSCRIPT * (self._settings.transcripts_max + self.workers):
            raise Busy
        wish = Wish(window, options, before, heard, cost, self._tracing.here())
        context_s = context.seconds(self._name, window.seconds, self._settings.encoder_silence_s)
        waiting = Waiting(
            wish,
            transcript=transcript_id,
            kind=(context_s, options.prompt, options.hotwords, options.temperature),
            seconds=window.seconds,
            first=window.first,
        )
        self._queue.put(waiting)
        self._more.set()
        try:
            return await wish.answer
        finally:
            self._queue.remove(waiting)

    def _again(self, waiting: "Waiting[Wish]", *, tried: bool) -> None:
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


class LocalPool(Pool):
    """Worker processes on this machine."""

    def __init__(self, settings: Settings, *, tracing: Tracing = OFF) -> None:
        super().__init__(settings, tracing=tracing)
        self._slots: list[asyncio.Task[None]] = []
        self._workers: set[Worker] = set()  # those that are loaded
        self._freed: set[Worker] = set()  # those killed on purpose whose successors still load
        self._dying: set[Worker] = set()  # those killed, and not yet dead
        self._renewing = asyncio.Lock()
        self._folder = Path()

    @property
    def ready(self) -> bool:
        """Whether a worker is there, or will be in a moment because we ended one ourselves."""
        return bool(self._workers or self._freed)

    @property
    def workers(self) -> int:
        """How many workers there are meant to be."""
        return self._settings.worker_count

    @property
    def loaded(self) -> int:
        """How many have their model."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """The processes of the loaded workers."""
        return [worker.pid for worker in self._workers]

    async def start(self, model_folder: Path) -> None:
        """Starts the workers; returns when the first is loaded. Raises ModelUnavailable."""
        assert not self._slots, "started once"
        self._folder, self._name = model_folder, model_folder.name
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slots = [
            asyncio.create_task(self._slot(first), name=f"speech worker {n}") for n in range(self.workers)
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
        # successors not yet at work, and those whose slot was told to end while they did
        await asyncio.gather(*(worker.kill() for worker in self._workers | self._dying))
        self._workers.clear()
        self._dying.clear()
        self._freed.clear()
        self._fail_all()

    async def _slot(self, first: "asyncio.Future[None]") -> None:
        """One worker after the other."""
        worker = await self._loaded(first)
        while True:
            try:
                successor = await self._serve(worker)
            finally:
                self._workers.discard(worker)
                self._dying.add(worker)
                await worker.kill()
                self._dying.discard(worker)
            if successor is None:
                successor = await self._loaded(first, instead_of=worker)
            self._freed.discard(worker)
            worker = successor

    async def _loaded(
        self, first: "asyncio.Future[None] | None" = None, instead_of: Worker | None = None
    ) -> Worker:
        """A worker that has its model, however many tries it takes; `first` is told of the first of all."""
        failures = 0
        while True:
            try:
                worker = await Worker.start(self._folder, self._name, self._settings)
            except (WorkerDied, OSError) as failure:
                log.warning("speech worker did not start", failure=str(failure))
                if first is not None and not first.done():
                    first.set_exception(WorkerDied(str(failure)))
                if instead_of is not None:
                    self._freed.discard(instead_of)
                if not self.ready:
                    self._fail_all()
                failures += 1
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S)) - 1])
                continue
            self._workers.add(worker)
            if first is not None and not first.done():
                first.set_result(None)
            return worker

    async def _successor(self) -> Worker:
        """As `_loaded`, for one worker at a time: they wear alike, and each takes memory twice."""
        async with self._renewing:
            return await self._loaded()

    async def _serve(self, worker: Worker) -> Worker | None:
        """Gives a worker batches until it dies, or is worn; returns its successor if that has loaded."""
        ended = asyncio.ensure_future(worker.ended())
        successor: asyncio.Task[Worker] | None = None
        try:
            while not ended.done():
                if successor is None and worker.worn:
                    successor = asyncio.create_task(self._successor(), name="speech worker's successor")
                if successor is not None and successor.done():
                    self.restarts["worn"] += 1
                    log.info(
                        "speech worker replaced",
                        pid=worker.pid,
                        windows=worker.windows,
                        grown_bytes=worker.grown_bytes,
                    )
                    break
                if batch := self._queue.take(self.workers):
                    if not await self._work(worker, batch):
                        break
                    continue
                self._more.clear()
                more = asyncio.ensure_future(self._more.wait())
                waited = {more, ended} if successor is None else {more, ended, successor}
                try:
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    more.cancel()
            else:
                self.restarts["lost"] += 1
                log.warning("idle speech worker lost", pid=worker.pid)
        finally:
            ended.cancel()
            if successor is not None:
                successor.cancel()  # nothing to one that has loaded
                await asyncio.wait({successor})
        return None if successor is None or successor.cancelled() else successor.result()

    async def _work(self, worker: Worker, batch: "Sequence[Waiting[Wish]]") -> bool:
        """Runs one batch; False when the worker did not survive it."""
        seconds, speed = sum(waiting.seconds for waiting in batch), self._pace.speed
        working = Working(
            worker,
            [waiting.item for waiting in batch],
            within_s=self._settings.window_s,
            expected_s=None if speed is None else seconds / speed,
        )
        began = time.monotonic()
        for waiting in batch:
            waiting.item.taken(began)
        try:
            await working.run()
        except GivenUp:
            self.restarts["freed"] += 1
            log.info("speech worker freed", pid=worker.pid)
            self._freed.add(worker)
            return False
        except WorkerDied as failure:
            self.restarts["lost"] += 1
            log.warning("speech worker lost", pid=worker.pid, failure=str(failure))
            for waiting in reversed(batch):
                self._again(waiting, tried=not isinstance(failure, NotBegun))
            return False
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.item.fail()
            raise
        finally:
            worked_s = time.monotonic() - began
            self.worked_s += worked_s
            for waiting in batch:
                waiting.item.worked(worked_s * waiting.seconds / seconds)
        self.windows += len(batch)
        self.sound_s += seconds
        self._pace.add(seconds, worked_s)
        return True
