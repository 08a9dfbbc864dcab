"""A transcript that a code pays for: the code held until it is spent with the transcript or given back.

Always: one task of the gateway's own has the hold from its first moment to its last, whatever becomes of
the request. What was promised with 202 is given up by no death of a process: the next one takes it up.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import msgspec
import structlog

from gateway.errors import (
    Busy,
    CodeHeld,
    CodeRefused,
    CodeUnknown,
    GatewayError,
    HoldLost,
    Internal,
    NotFound,
    SpeechFailed,
    StoreUnavailable,
    UpstreamFailed,
)
from gateway.media.spools import Fill
from gateway.speech.transcripts import Options, Transcript
from gateway.store import lettering
from gateway.store.holds import Hold
from gateway.store.jobs import Job, Wanted
from gateway.store.stored import new_id
from gateway.web.settlement import Settlement
from gateway.web.upload import Upload
from gateway.wire.events import Failed, Logged
from gateway.wiring import Gateway

KIND = "bought"
# ends that are no caller's: nothing is paid for them, whatever was read
OURS = frozenset({Busy.code, SpeechFailed.code, Internal.code, StoreUnavailable.code, UpstreamFailed.code})
# ends that are none of what was promised: the database is away, or this process stood still for a lease
AGAIN = frozenset({StoreUnavailable.code, HoldLost.code})
GIVING_BACK_S = 20  # for an answer to wait: what is back when it is told can be used at once
FULL_S = 2.0  # for a job that was taken up where there is no room after all

log = structlog.get_logger()


class Promised(msgspec.Struct, frozen=True):
    """What whoever takes up the job must know, as its payload has it."""

    code: str
    hold: str
    bytes: int
    options: Options
    read: bool = False  # whether words were handed to somebody


@asynccontextmanager
async def opened(gateway: Gateway, code: str, key: str | None, *, owner: str) -> AsyncIterator["Purchase"]:
    """Holds a code, and gives it back on leaving unless it was spent or is still at work.

    Raises CodeUnknown, CodeRefused, Busy.
    """
    purchase = Purchase(gateway, code, key, owner)
    task = gateway.works.begin(purchase.id, purchase.run(), f"code {purchase.id}")
    try:
        await asyncio.shield(purchase.held)
        yield purchase
    except asyncio.CancelledError:
        purchase.leave(None)
        raise
    except BaseException as failure:
        purchase.leave(failure)
        await asyncio.wait([task], timeout=GIVING_BACK_S)
        raise
    else:
        purchase.leave(None)
        if not purchase.kept:
            await asyncio.wait([task], timeout=GIVING_BACK_S)


async def take_up(gateway: Gateway, job: Job) -> None:
    """Goes on with a job that another process has left."""
    assert job.transcript_id is not None
    await Purchase(gateway, "", None, job.owner, id_=job.transcript_id).run_again(job)


def named(code: str, key: str) -> str:
    """What a job is known by, that was asked for with a code and a key. Raises CodeUnknown."""
    hash_ = lettering.hashed(code)
    if hash_ is None:
        raise CodeUnknown
    return hashlib.sha256(f"{hash_} {key}".encode()).hexdigest()


class Purchase:
    """One code on its way to one transcript."""

    def __init__(
        self, gateway: Gateway, code: str, key: str | None, owner: str, *, id_: str | None = None
    ) -> None:
        self.id = id_ or new_id()  # of the transcript
        self.held: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        self.kept = False  # whether it goes on without its request
        self.charged_s = 0.0
        self._gateway = gateway
        self._code = code
        self._key = key
        self._owner = owner
        self._job: Job | None = None
        self._left = asyncio.Event()
        self._media = AsyncExitStack()
        self._transcript: Transcript | None = None
        self._failure: GatewayError | None = None  # why it is not to be had, where no transcript says so
        self._settling = False
        self._settled = False
        self._promised: Promised | None = None
        self._stopping = False  # the gateway is

    # the request

    def start(self, body: Upload, options: Options) -> Transcript:
        """Begins the transcript of the media in the body. Raises Busy, NotReady, what ended the hold."""
        self.check()
        body.place.leave()
        return self._hear(body.key, body.fill, options)

    async def keep(self, body: Upload, options: Options, webhook: str | None) -> None:
        """From here on the work goes on without its request, whose body is in, and without this process; a
        webhook is told its end. Raises Busy."""
        job, hold = self._job, self.held.result()
        assert job is not None
        size = await self._gateway.uploads.keep(job.id, body.spool)
        promised = Promised(hold.code_id, hold.id, size, options)
        if not await self._gateway.jobs.keep(job.id, msgspec.to_builtins(promised), webhook):
            raise HoldLost
        await self._media.enter_async_context(self._gateway.spools.upload(body.key, body.fill))
        self._promised, self.kept = promised, True

    def check(self) -> None:
        """Raises what ended the hold before its time."""
        if self._failure is not None:
            raise self._failure

    def leave(self, failure: BaseException | None) -> None:
        """The request is over."""
        if isinstance(failure, GatewayError) and self._failure is None:
            self._failure = failure
        self._left.set()

    # the task

    async def run(self) -> None:
        """Takes the code and has it until all is over."""
        try:
            hold = await self._gateway.holds.hold(self._code)
        except Exception as refused:
            self.held.set_exception(refused)
            return
        try:
            self._job = await self._begun(hold)
            self.held.set_result(hold)
            await self._until_over(hold, self._job)
        except asyncio.CancelledError:
            self._stopping = True
            raise
        except Exception as failure:
            if self.held.done():
                raise
            self.held.set_exception(failure)
        finally:
            await self._end(hold)
        self._news()

    async def run_again(self, job: Job) -> None:
        """Takes the code for a job of this process that another one began, and has it until all is over."""
        gateway, self._job, self.kept = self._gateway, job, True
        promised = msgspec.convert(job.payload, Promised)
        try:
            hold = await self._held_again(job, promised)
        except (CodeRefused, CodeUnknown) as refused:
            if await gateway.jobs.fail(job.id, refused.code, refused.message):
                gateway.uploads.drop(job.id)
                self._news()
            return
        self.held.set_result(hold)
        try:
            key, fill = object(), gateway.uploads.fill(job.id, promised.bytes)
            try:
                transcript = self._hear(key, fill, promised.options)
            except Busy:
                await asyncio.sleep(min(FULL_S, gateway.settings.lease_s / 3))
                self._stopping = True  # as if it were: another turn, here or elsewhere
                return
            transcript.read = promised.read
            await self._media.enter_async_context(gateway.spools.upload(key, fill))
            self._left.set()
            await self._until_over(hold, job)
        except asyncio.CancelledError:
            self._stopping = True
            raise
        finally:
            await self._end(hold)
        self._news()

    async def _held_again(self, job: Job, promised: Promised) -> Hold:
        """The code, by another hold, which the job names in the same moment."""
        gateway = self._gateway
        async with gateway.database.transaction() as tx:
            hold = await gateway.holds.again(tx, promised.code, promised.hold)
            self._promised = msgspec.structs.replace(promised, hold=hold.id)
            if not await gateway.jobs.note(tx, job.id, msgspec.to_builtins(self._promised)):
                raise HoldLost
        return hold

    def _hear(self, key: Hashable, fill: Fill, options: Options) -> Transcript:
        """Begins the transcript."""
        worth_s = self.held.result().worth_ms / 1000
        transcript = self._transcript = self._gateway.hearing.bought(
            key, fill, options, worth_s=worth_s, settle=self._settle, id_=self.id
        )
        transcript.owners.append(self._owner)
        transcript.handing = self._handed
        return transcript

    async def _handed(self) -> None:
        """Its words are about to be read, which whoever takes up the job must know."""
        job, promised = self._job, self._promised
        if job is None or promised is None:
            return
        self._promised = msgspec.structs.replace(promised, read=True)
        with suppress(StoreUnavailable):  # this process knows, and it is no reason to keep words back
            async with self._gateway.database.transaction() as tx:
                await self._gateway.jobs.note(tx, job.id, msgspec.to_builtins(self._promised))

    async def _end(self, hold: Hold) -> None:
        """Settles what is not settled; a shutdown cancels this task, and codes come back all the same."""
        if self._transcript is not None:
            self._transcript.stop()  # where it is not over: it has nothing to be paid with any more
        giving = asyncio.get_running_loop().create_task(self._given_back(hold), name="code given back")
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            await asyncio.wait([giving])
            raise

    def _news(self) -> None:
        """Has a webhook told, by a task of its own: nobody waits for the other end with a code in hand."""
        if self.kept and self._job is not None:
            self._gateway.news.soon(self._job.id)

    async def _begun(self, hold: Hold) -> Job:
        """The job; what it works on is in this process only, so that no other may take it up before it is
        kept."""
        jobs = self._gateway.jobs
        wanted = Wanted(
            KIND, {"code": hold.code_id}, owner=self._owner, transcript_id=self.id,
            idempotency_key=self._key, waiting=True, folder=self._gateway.uploads.id,
        )  # fmt: skip
        job = await jobs.enqueue(wanted)
        if job.transcript_id != self.id or not await jobs.begin(job.id):
            raise CodeHeld
        return job

    async def _until_over(self, hold: Hold, job: Job) -> None:
        async with asyncio.TaskGroup() as group:
            over = group.create_task(self._over())
            while not over.done():
                await asyncio.wait([over], timeout=self._gateway.settings.lease_s / 3)
                if not over.done() and not self._settling:
                    await self._renew(hold, job)

    async def _over(self) -> None:
        await self._left.wait()
        if self._transcript is None:
            return
        if self.kept:
            async with aclosing(self._transcript.follow()) as events:
                async for _ in events:
                    pass
        await self._transcript.done()

    async def _renew(self, hold: Hold, job: Job) -> None:
        try:
            await self._gateway.holds.renew(hold)
            if not await self._gateway.jobs.renew(job.id):
                await self._lost(job)
        except StoreUnavailable:
            pass  # it may be back before the lease is over; else nothing is posted
        except (CodeRefused, CodeUnknown) as lost:
            if self._settling:
                return  # it was posted just now
            self._failure = lost
            if self._transcript is not None:
                self._transcript.stop()

    async def _lost(self, job: Job) -> None:
        """The job is not this process's any more. Raises HoldLost, unless somebody has cancelled it."""
        try:
            state = (await self._gateway.jobs.get(job.id)).state
        except NotFound:
            state = "CANCELLED"
        if state != "CANCELLED" or self._transcript is None:
            raise HoldLost("The job was cancelled. Nothing was charged.")
        await self._transcript.cancel()

    async def _settle(self, events: tuple[Logged, ...]) -> None:
        """Keeps the transcript and spends the code, or does neither."""
        job, transcript = self._job, self._transcript
        assert job is not None
        assert transcript is not None
        self._settling = True
        try:
            settlement = Settlement(self._gateway, self.held.result(), job)
            self.charged_s = await settlement.spend(transcript, events)
            self._settled = True
        finally:
            self._settling = self._settled

    async def _given_back(self, hold: Hold) -> None:
        await self._media.aclose()
        job = self._job
        try:
            if job is None:
                await self._gateway.holds.void(hold)
            elif self._settled or await self._ended(Settlement(self._gateway, hold, job)):
                self._gateway.uploads.drop(job.id)
        except GatewayError as kept:
            log.warning("a code comes back with its lease only", reason=kept.message)

    async def _ended(self, settlement: Settlement) -> bool:
        """Ends what is not settled. False: the job is still to be done, or another process's."""
        transcript, failure = self._transcript, self._told()
        if self.kept and failure is not None and failure.code in AGAIN:
            self._gateway.library.forget(self.id)  # it has not failed
            return False  # its lease ends, and it is taken up with the code once more
        called_off = transcript is not None and transcript.cancelled
        # a process that stood still for longer than its lease has lost the code, and nothing else
        others = (self._stopping and failure is None) or isinstance(self._failure, HoldLost)
        if self.kept and others and not called_off:
            await settlement.hand_back()
            return False
        if (
            transcript is not None
            and self._read(transcript, failure)
            and await settlement.spend_part(transcript, failure)
        ):
            return True
        return await settlement.give_back(failure)

    def _read(self, transcript: Transcript, failure: Failed | None) -> bool:
        """Whether somebody may have its words, and its end is none of our doing."""
        ours = failure is not None and failure.code in OURS
        return transcript.read and not ours and not self._stopping

    def _told(self) -> Failed | None:
        """How it failed; None where it was stopped, or everybody left."""
        transcript = self._transcript
        if transcript is not None and not transcript.stopped and transcript.events:
            last = transcript.events[-1]
            return last if isinstance(last, Failed) else None
        return None if self._failure is None else Failed(self._failure.code, self._failure.message)
