"""A transcript that a code pays for: the code held, then spent with the transcript or given back.

Always: one task of the gateway's own has the hold from its first moment to its last, whatever becomes of
the request; the code is spent in the transaction that keeps the transcript and ends the job. What was
promised with 202 is given up by no death of a process: the next one takes it up.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import msgspec
import structlog

from gateway.errors import (
    Busy,
    Cancelled,
    CodeHeld,
    CodeRefused,
    CodeUnknown,
    GatewayError,
    HoldLost,
    NotFound,
    StoreUnavailable,
)
from gateway.media.spools import Fill
from gateway.speech.transcripts import Options, Transcript
from gateway.store import lettering
from gateway.store.holds import Hold
from gateway.store.jobs import Job, Wanted
from gateway.store.transcripts import Draft, Provenance, new_id
from gateway.web.upload import Upload
from gateway.wire.events import End, Failed, Logged
from gateway.wiring import Gateway

KIND = "bought"
AGAIN_S = (0.2, 1.0)  # a lock or a restart of the database is soon over
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
    task = gateway.work(purchase.id, purchase.run(), f"code {purchase.id}")
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
        self._options: Options | None = None
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
        await self._media.enter_async_context(self._gateway.upload(body.key, body.fill))
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
            await self._media.enter_async_context(gateway.upload(key, fill))
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
        self._options = options
        worth_s = self.held.result().worth_ms / 1000
        transcript = self._transcript = self._gateway.bought(
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
            told = self._tell(self._job.id)
            self._gateway.background.start(told, f"webhook {self._job.id}")

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

    async def _tell(self, job_id: str) -> None:
        await self._gateway.tell(await self._gateway.jobs.get(job_id))

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
        end = events[-1]
        assert isinstance(end, End)
        hold, self._settling, priced = self.held.result(), True, False
        try:
            for again_s in (*AGAIN_S, None):
                try:
                    if not priced:
                        await self._gateway.holds.price(hold, round(end.duration * 1000))
                        priced = True
                    self.charged_s = await self._posted(hold, events) / 1000
                    break
                except StoreUnavailable:
                    if again_s is None:
                        raise
                    await asyncio.sleep(again_s)
            self._settled = True
        finally:
            self._settling = self._settled

    async def _posted(self, hold: Hold, events: tuple[Logged, ...]) -> int:
        gateway, job, transcript = self._gateway, self._job, self._transcript
        assert job is not None
        assert transcript is not None
        async with gateway.database.transaction() as tx:
            fresh = await gateway.archive.save(tx, self._draft(transcript), events)
            price_ms = await gateway.holds.post(tx, hold, self.id)
            # one that is not fresh was kept by a try of which nothing was heard
            if fresh and not await gateway.jobs.complete(tx, job.id):
                raise HoldLost
        return price_ms

    def _draft(self, transcript: Transcript) -> Draft:
        return Draft(
            self.id,
            owner=self._owner,
            title=transcript.title,
            provenance=Provenance(media_sha256=transcript.media_sha256),
            options=None if self._options is None else msgspec.to_builtins(self._options),
            created_at=transcript.created_at,
        )

    async def _given_back(self, hold: Hold) -> None:
        await self._media.aclose()
        jobs, job, failure = self._gateway.jobs, self._job, self._told()
        called_off = self._transcript is not None and self._transcript.cancelled
        over = self._settled or job is None
        # a process that stood still for longer than its lease has lost the code, and nothing else
        others = (self._stopping and failure is None) or isinstance(self._failure, HoldLost)
        try:
            if self._settled:
                pass
            elif self.kept and failure is not None and failure.code == StoreUnavailable.code:
                self._gateway.forget(self.id)  # it has not failed
                return  # its lease ends, and it is taken up when the database is back
            elif self.kept and others and not called_off:
                assert job is not None
                with suppress(CodeRefused, CodeUnknown):  # which whoever is next is told too
                    await self._gateway.holds.renew(hold)
                await jobs.hand_back(job.id)
            elif self._read() and await self._posted_part(hold):
                over = True
            else:
                await self._gateway.holds.void(hold)
                if job is not None and failure is not None:
                    over = await jobs.fail(job.id, failure.code, failure.message)
                if job is not None and not over:
                    over = await jobs.stop(job.id)
        except GatewayError as kept:
            log.warning("a code comes back with its lease only", reason=kept.message)
        if job is not None and over:
            self._gateway.uploads.drop(job.id)

    def _read(self) -> bool:
        """Whether it was ended by somebody who may have its words."""
        transcript = self._transcript
        return (
            transcript is not None
            and transcript.read
            and transcript.stopped
            and self._failure is None
            and not self._stopping
        )

    async def _posted_part(self, hold: Hold) -> bool:
        """Keeps what was recognised and spends the code on it. False: the code cannot be spent any more."""
        gateway, job, transcript = self._gateway, self._job, self._transcript
        assert job is not None
        assert transcript is not None
        events = (*transcript.events[:-1], Failed(Cancelled.code, Cancelled.text))
        try:
            await gateway.holds.price(hold, min(hold.worth_ms, round(transcript.reached_s * 1000)))
            async with gateway.database.transaction() as tx:
                await gateway.archive.save(tx, self._draft(transcript), events)
                await gateway.holds.post(tx, hold, self.id)
                await gateway.jobs.cancelled_in(tx, job.id)
        except (CodeRefused, CodeUnknown):
            return False
        return True

    def _told(self) -> Failed | None:
        """How it failed; None where it was stopped, or everybody left."""
        transcript = self._transcript
        if transcript is not None and not transcript.stopped and transcript.events:
            last = transcript.events[-1]
            return last if isinstance(last, Failed) else None
        return None if self._failure is None else Failed(self._failure.code, self._failure.message)
