"""The same pool on more than one machine: windows go to replicas in a Ray cluster.

The queue is here: fair, bounded, and left at once by who does not wait any more. Only so much of it is
with the cluster as its replicas have in hand, and there Serve makes batches of the windows of all gateways.
Always: a window is in the queue, with the cluster, or answered; one whose replica died is tried once
more, alone; one that no replica began goes back untried, whatever happened to the cluster.
"""

import asyncio
import itertools
import time
from functools import partial
from pathlib import Path

import structlog

from gateway.settings import Settings
from gateway.speech.bridge import Bridge
from gateway.speech.messages import Heard
from gateway.speech.orders import Begun, Done, Drop, FromDriver, Full, Known, Lost, Order, State
from gateway.speech.pool import Pool
from gateway.speech.process import WorkerDied
from gateway.speech.queue import BATCH_MAX, Waiting
from gateway.speech.wish import Wish
from gateway.tracing import OFF, Tracing

log = structlog.get_logger()

GRACE_S = 15.0  # without a replica: one that died is replaced in less, and who removes them may deploy again
AWAY_S = 180.0  # after which what waits fails: a head that is started again is there sooner
_RETRY_S = (1.0, 2.0, 5.0)  # between drivers that do not connect
_FULL_S = 0.25  # after which a queue that was full is tried again


class Out:
    """A window that is with the cluster."""

    def __init__(self, waiting: "Waiting[Wish]") -> None:
        self.waiting = waiting
        self.replica: str | None = None  # that is at work on it
        self.began = 0.0
        self.late: asyncio.TimerHandle | None = None

    def begin(self, replica: str, late: asyncio.TimerHandle) -> None:
        self.replica, self.began, self.late = replica, time.monotonic(), late
        self.waiting.item.taken(self.began)

    def end(self, worked_s: float | None = None) -> None:
        """It is with the cluster no more."""
        if self.late is None:
            return
        self.late.cancel()
        self.waiting.item.worked(time.monotonic() - self.began if worked_s is None else worked_s)


class ClusterPool(Pool):
    """Replicas in a cluster, asked through a driver of our own."""

    def __init__(self, settings: Settings, *, tracing: Tracing = OFF) -> None:
        super().__init__(settings, tracing=tracing)
        self._bridge: Bridge | None = None
        self._state = State("", False, 0, 0)
        self._session: str | None = None  # in which our application was seen
        self._seen_at = float("-inf")  # when there was a replica
        self._removed = False  # on purpose: the head knows of no replicas, and is the one that did
        self._trouble: str | None = None
        self._out: dict[int, Out] = {}
        self._lost: set[str] = set()  # replicas that took windows with them
        self._numbers = itertools.count()
        self._first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether there is a replica, or was a moment ago and was not removed."""
        return not self._removed and time.monotonic() - self._seen_at < GRACE_S

    @property
    def workers(self) -> int:
        """How many replicas there are meant to be just now."""
        return max(1, self._state.wanted)

    @property
    def loaded(self) -> int:
        """How many have their model."""
        return self._state.replicas

    @property
    def pids(self) -> list[int]:
        """That of the driver: all else may be elsewhere."""
        return [] if self._bridge is None else [self._bridge.pid]

    async def start(self, model_folder: Path) -> None:
        """Returns when there is a replica, however long that takes."""
        assert not self._tasks, "started once"
        self._name = model_folder.name
        self._seen_at = float("-inf")
        self._tasks = [
            asyncio.create_task(self._run(), name="speech cluster"),
            asyncio.create_task(self._watch(), name="speech cluster's watch"),
        ]
        try:
            await self._first.wait()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leaves the cluster as it is; what still waits fails."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._seen_at = float("-inf")
        self._fail_all()

    async def _run(self) -> None:
        """One driver after the other."""
        failures = 0
        while True:
            try:
                bridge = await Bridge.start(self._settings, self._session)
            except (WorkerDied, OSError) as failure:
                self._say(str(failure))
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
                continue
            failures, self._bridge = 0, bridge
            try:
                self._stand(bridge.state)
                await self._serve(bridge)
            except WorkerDied as failure:
                self._say(str(failure))
            finally:
                self._bridge = None
                self._state = State("", False, 0, self._state.wanted)
                await bridge.kill()
                for number in sorted(self._out, reverse=True):
                    self._back(number, tried=False)

    async def _serve(self, bridge: Bridge) -> None:
        tasks = [asyncio.ensure_future(self._send(bridge)), asyncio.ensure_future(self._hear(bridge))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, bridge: Bridge) -> None:
        """Hands out as many windows as the replicas have in hand."""
        while True:
            while len(self._out) < self._state.replicas * BATCH_MAX and len(self._queue):
                (waiting,) = self._queue.take(len(self._queue))  # one: the batches are made elsewhere
                number = next(self._numbers)
                self._out[number] = Out(waiting)
                wish = waiting.item
                wish.answer.add_done_callback(partial(self._left, number))
                await bridge.tell(Order(number, wish.job, alone=waiting.first or waiting.tries > 0))
            self._more.clear()
            await self._more.wait()

    async def _hear(self, bridge: Bridge) -> None:
        while True:
            said = await bridge.hear()
            if isinstance(said, State):
                self._stand(said)
            elif said.number in self._out:  # else nobody waits for it any more
                self._take(said)

    def _take(self, said: FromDriver) -> None:
        """What came of an order so far."""
        assert not isinstance(said, State)
        number = said.number
        out = self._out[number]
        match said:
            case Begun():
                loop = asyncio.get_running_loop()
                out.begin(said.replica, loop.call_later(self._settings.window_s, self._late, number))
            case Known():
                out.waiting.item.hear(Heard(0, said.language, said.probability))
            case Done():
                del self._out[number]
                out.end(said.worked_s)
                self.windows += 1
                self.sound_s += out.waiting.seconds
                self.worked_s += said.worked_s
                self._pace.add(out.waiting.seconds, said.worked_s)
                out.waiting.item.end(said.recognised)
                self._more.set()
            case Full():
                log.info("speech cluster full")
                asyncio.get_running_loop().call_later(_FULL_S, self._back, number)
            case Lost():
                log.warning("speech replica lost a window", replica=out.replica, failure=said.failure)
                if out.replica is not None and out.replica not in self._lost:
                    self._lost.add(out.replica)
                    self.restarts["lost"] += 1
                self._back(number, tried=out.replica is not None)

    def _stand(self, state: State) -> None:
        """How the cluster stands now."""
        self._state = state
        self._removed = not state.deployed and state.session == self._session
        self._say(state.trouble)
        if state.deployed:
            self._session = state.session
        if state.replicas:
            self._seen_at = time.monotonic()
            self._first.set()
            self._more.set()

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            log.warning("speech cluster in trouble", reason=trouble)
        self._trouble = trouble

    def _back(self, number: int, *, tried: bool = False) -> None:
        """A window's way into the queue again, unless it was tried enough, or nobody waits for it."""
        out = self._out.pop(number, None)
        if out is None:
            return
        out.end()
        if out.waiting.item.answer.done():
            return
        self._again(out.waiting, tried=tried)

    def _late(self, number: int) -> None:
        """A replica did not answer in time."""
        self._drop(number)
        self._back(number, tried=True)

    def _left(self, number: int, _: object) -> None:
        """An order has its answer, or nobody waits for it any more."""
        if number in self._out:
            self._drop(number)
            self._out.pop(number).end()
            self._more.set()

    def _drop(self, number: int) -> None:
        if self._bridge is not None:
            try:
                self._bridge.say(Drop(number))
            except WorkerDied:
                pass  # who hears it knows

    async def _watch(self) -> None:
        """Fails what waits for a cluster that does not come back."""
        while True:
            await asyncio.sleep(1)
            away_s = GRACE_S if self._removed else AWAY_S
            if len(self._queue) and time.monotonic() - self._seen_at > away_s:
                self._fail_all()
