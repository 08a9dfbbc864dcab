"""One model on one core of a node: what the cluster's engine starts, feeds with batches, and replaces.

Always: it takes no work before its node has the model, verified; a batch's windows that are not asked
alike go one group after the other; who leaves is not worked for when the next answer is due.
"""

import asyncio
import math
import os
import random
import resource
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ray import serve

from gateway import __version__
from gateway.settings import Settings
from gateway.speech import context, models
from gateway.speech.orders import Begun, Done, FromReplica, Known, Order, Plan
from gateway.speech.queue import BATCH_MAX, BATCH_S_MAX
from gateway.speech.rounds import Rounds
from gateway.speech.whisper import Whisper
from gateway.speech.windows import RATE
from gateway.tracing import Tracing

BATCH_WAIT_S = 0.0  # a free replica begins at once: what comes meanwhile is the next batch
LATE_S = 5.0  # after the deadline of a batch, which its gateway keeps, too

Row = list[FromReplica | None]


class GivenUp(Exception):
    """Nobody waits for a group any more."""


class Asked:
    """An order at this replica."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.wanted = True

    @property
    def seconds(self) -> float:
        return len(self.order.job.samples) / 2 / RATE


class Replica:
    """A model, loaded once for good."""

    def __init__(self, plan: Plan) -> None:
        with ThreadPoolExecutor(1) as apart:  # there is a loop in this thread already
            folder = apart.submit(asyncio.run, _folder(plan)).result()
        self._plan = plan
        self._model = folder.name
        whisper = Whisper(
            folder,
            device=plan.device,
            compute_type=plan.compute_type,
            threads=plan.threads,
            beam_size=plan.beam_size,
        )
        self._rounds = Rounds(whisper, name=folder.name, silence_s=plan.encoder_silence_s)
        self._thread = ThreadPoolExecutor(1)
        self._tracing = Tracing(plan.otlp_endpoint, version=__version__, process="speech replica")
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._fresh_bytes = _resident_bytes()
        # those that began together are not worn together: one at a time is missed less
        self._windows_left = math.ceil(plan.windows_max * random.uniform(0.8, 1.0))  # noqa: S311 - no secret
        self._began: float | None = None  # the group at work

    async def recognise(self, order: Order) -> AsyncGenerator[FromReplica, None]:
        """What comes of an order: that it begins, its language, its answer."""
        asked = Asked(order)
        try:
            async for said in self._batch(asked):
                if said is not None:
                    yield said
                if isinstance(said, Done):
                    return
        finally:
            asked.wanted = False

    def check_health(self) -> None:
        """Asked by the engine, which replaces a replica that is late or worn."""
        if self._began is not None and time.monotonic() - self._began > self._plan.window_s + LATE_S:
            raise RuntimeError("a batch did not end in time")
        if self._plan.windows_max and self._windows_left <= 0:
            raise RuntimeError("it has done as many windows as it may")
        grown_bytes = _resident_bytes() - self._fresh_bytes
        if self._plan.growth_bytes_max and grown_bytes > self._plan.growth_bytes_max:
            raise RuntimeError("it has grown as much as it may")

    @serve.batch(max_batch_size=BATCH_MAX, batch_wait_timeout_s=BATCH_WAIT_S)  # type: ignore[untyped-decorator]
    async def _batch(self, several: list[Asked]) -> AsyncGenerator[Row, None]:
        """Rows of what is said to each."""
        for group in groups(several, self._kind):
            wanted = [asked for asked in group if asked.wanted]
            if not wanted:
                continue
            yield [Begun(a.order.number, self._name) if a in wanted else None for a in several]
            async for whose, said in self._said(wanted):
                yield [said if asked is whose else None for asked in several]

    def _kind(self, asked: Asked) -> tuple[object, ...]:
        options = asked.order.job.options
        context_s = context.seconds(self._model, asked.seconds, self._plan.encoder_silence_s)
        return context_s, options.prompt, options.hotwords, options.temperature

    async def _said(self, group: Sequence[Asked]) -> AsyncGenerator[tuple[Asked, FromReplica], None]:
        """What a thread with the model says of a group."""
        loop = asyncio.get_running_loop()
        said: asyncio.Queue[tuple[Asked, FromReplica] | None] = asyncio.Queue()

        def say(message: tuple[Asked, FromReplica] | None) -> None:
            loop.call_soon_threadsafe(said.put_nowait, message)

        self._began = time.monotonic()
        self._windows_left -= len(group)
        working = loop.run_in_executor(self._thread, self._work, group, say)
        working.add_done_callback(lambda _: said.put_nowait(None))
        try:
            while (message := await said.get()) is not None:
                yield message
            working.result()
        finally:
            self._began = None

    def _work(self, group: Sequence[Asked], say: Callable[[tuple[Asked, FromReplica]], None]) -> None:
        began, left_s = time.monotonic(), sum(asked.seconds for asked in group)
        spans = [self._tracing.begin("window", of=asked.order.job.trace) for asked in group]

        def heard(job: int, language: str, probability: float | None) -> None:
            say((group[job], Known(group[job].order.number, language, probability)))
            if not any(asked.wanted for asked in group):
                raise GivenUp

        try:
            for job, recognised in self._rounds.recognise([asked.order.job for asked in group], heard):
                asked, now = group[job], time.monotonic()
                spans[job].end()
                share = asked.seconds / left_s if left_s else 1.0
                say((asked, Done(asked.order.number, recognised, (now - began) * share)))
                began, left_s = began + (now - began) * share, left_s - asked.seconds
                asked.wanted = False
                if not any(one.wanted for one in group):
                    return
        except GivenUp:
            pass


def groups(several: Iterable[Asked], kind: Callable[[Asked], tuple[object, ...]]) -> list[list[Asked]]:
    """Those that may go through the model together, the ones that go alone in front. Pure."""
    alone: list[list[Asked]] = []
    together: dict[tuple[object, ...], list[list[Asked]]] = {}
    for asked in several:
        if asked.order.alone:
            alone.append([asked])
            continue
        same = together.setdefault(kind(asked), [[]])
        if sum(one.seconds for one in same[-1]) + asked.seconds > BATCH_S_MAX:
            same.append([])
        same[-1].append(asked)
    return [*alone, *(group for same in together.values() for group in same if group)]


async def _folder(plan: Plan) -> Path:
    """The folder of the model on this node, verified. Raises ModelUnavailable."""
    data_dir = Settings().data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    return models.find(plan.model, data_dir) or await models.pull(
        plan.model, data_dir, plan.hub_s, lambda step, done, total: None
    )


def _resident_bytes() -> int:
    """Memory that this process has; 0 where nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
