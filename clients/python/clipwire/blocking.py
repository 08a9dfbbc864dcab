"""The client for programs without an event loop: the same methods, which wait.

Always: the loop of a client runs in a thread of its own, from `with` to its end; what was begun is
ended in it, also when the caller is interrupted.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from .analyzer import Analyzer
from .client import Client
from .codes import Codes
from .events import Event
from .jobs import Jobs
from .parts import Answer, Part
from .transcripts import Transcripts

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clipwire", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives; it is cancelled where the caller is interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def each(self, found: AsyncIterator[T]) -> Iterator[T]:
        """What comes, one after the other."""

        async def one() -> T:
            return await anext(found)

        while True:
            try:
                yield self.run(one())
            except StopAsyncIteration:
                return

    @contextmanager
    def entered(self, opened: AbstractAsyncContextManager[T]) -> Iterator[T]:
        async def enter() -> T:
            return await opened.__aenter__()

        async def leave(failure: BaseException | None) -> bool | None:
            return await opened.__aexit__(
                type(failure) if failure else None, failure, failure.__traceback__ if failure else None
            )

        found = self.run(enter())
        try:
            yield found
        except BaseException as failure:
            if not self.run(leave(failure)):
                raise
        else:
            self.run(leave(None))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Blocking(Generic[C]):
    """Something of the async client, and the loop that it runs in."""

    def __init__(self, inner: C, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop


def called(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[C], P], T]:
    """A method that waits."""

    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._loop.run(method(self._inner, *args, **kwargs))

    call.__doc__ = method.__doc__
    return call


def entered(
    method: Callable[Concatenate[C, P], AbstractAsyncContextManager[T]], made: Callable[[T, Loop], U]
) -> Callable[Concatenate[Blocking[C], P], AbstractContextManager[U]]:
    """A method for `with`."""

    @contextmanager
    def call(self: Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[U]:
        with self._loop.entered(method(self._inner, *args, **kwargs)) as found:
            yield made(found, self._loop)

    call.__doc__ = method.__doc__
    return call


class BlockingPart(Blocking[Part]):
    """One file of a post: `for chunk in part`, or `save`."""

    def __init__(self, inner: Part, loop: Loop) -> None:
        super().__init__(inner, loop)
        self.name = inner.name  # as sent: not safe as a path, `save` makes it so
        self.media_type = inner.media_type
        self.length = inner.length
        self.link = inner.link

    def __iter__(self) -> Iterator[bytes]:
        return self._loop.each(self._inner)

    def save(
        self,
        folder: str | os.PathLike[str],
        progress: Callable[[int, int | None], None] | None = None,
        *,
        tries: int | None = None,
    ) -> Path:
        """As the async client's; `progress` is called in its thread."""
        return self._loop.run(self._inner.save(folder, progress, tries=tries))


class BlockingAnswer(Blocking[Answer]):
    """The parts of a post, in order."""

    def __init__(self, inner: Answer, loop: Loop) -> None:
        super().__init__(inner, loop)
        self.title = inner.title
        self.desc = inner.desc

    def __iter__(self) -> Iterator[BlockingPart]:
        for part in self._loop.each(self._inner):
            yield BlockingPart(part, self._loop)


class BlockingTranscripts(Blocking[Transcripts]):
    """`client.transcripts`."""

    get = called(Transcripts.get)
    file = called(Transcripts.file)
    rename = called(Transcripts.rename)
    cancel = called(Transcripts.cancel)
    delete = called(Transcripts.delete)
    list = called(Transcripts.list)
    search = called(Transcripts.search)


class BlockingCodes(Blocking[Codes]):
    """`client.codes`."""

    issue = called(Codes.issue)
    list = called(Codes.list)
    get = called(Codes.get)
    credit = called(Codes.credit)
    change = called(Codes.change)
    delete = called(Codes.delete)


class BlockingJobs(Blocking[Jobs]):
    """`client.jobs`."""

    list = called(Jobs.list)
    failed = called(Jobs.failed)
    repair = called(Jobs.repair)


class BlockingAnalyzer(Blocking[Analyzer]):
    """`client.analyzer`."""

    extract = called(Analyzer.extract)
    batch = called(Analyzer.batch)
    captions = called(Analyzer.captions)


def _events(found: AsyncIterator[Event], loop: Loop) -> Iterator[Event]:
    return loop.each(found)


class BlockingClient(Blocking[Client]):
    """A gateway at `url`, as for `Client`: `with BlockingClient(url) as client`."""

    download = entered(Client.download, BlockingAnswer)
    plan = called(Client.plan)
    media = entered(Client.media, BlockingPart)
    media_head = called(Client.media_head)
    transcribe = entered(Client.transcribe, _events)
    follow = entered(Client.follow, _events)
    begin = called(Client.begin)
    submit = called(Client.submit)
    signed_transcribe = called(Client.signed_transcribe)
    ping = called(Client.ping)
    live = called(Client.live)
    ready = called(Client.ready)
    about = called(Client.about)

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        secret: str | None = None,
        stall_s: float = 120,
        tries: int = 3,
        pause_s: float = 0.5,
    ) -> None:
        client = Client(url, key=key, secret=secret, stall_s=stall_s, tries=tries, pause_s=pause_s)
        super().__init__(client, Loop())
        self.transcripts = BlockingTranscripts(client.transcripts, self._loop)
        self.codes = BlockingCodes(client.codes, self._loop)
        self.jobs = BlockingJobs(client.jobs, self._loop)
        self.analyzer = BlockingAnalyzer(client.analyzer, self._loop)

    def __enter__(self) -> "BlockingClient":
        self._loop.start()
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.run(self._inner.__aexit__(kind, failure, trace))
        finally:
            self._loop.stop()
