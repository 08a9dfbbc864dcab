"""A transcript that a code pays for: the code held, then spent with the transcript or given back.

Always: one task of the gateway's own has the hold from its first moment to its last, whatever becomes of
the request; the code is spent in the transaction that keeps the transcript and ends the job.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import msgspec
import structlog

from gateway.errors import CodeHeld, CodeRefused, CodeUnknown, GatewayError, HoldLost, StoreUnavailable
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

log = structlog.get_logger()


@asynccontextmanager
async def opened(gateway: Gateway, code: str, key: str | None, *, owner: str) -> AsyncIterator["Purchase"]:
    """Holds a code, and gives it back on leaving unless it was spent or is still at work.

    Raises CodeUnknown, CodeRefused, Busy.
    """
    purchase = Purchase(gateway, code, key, owner)
    task = gateway.background.start(purchase.run(), f"code {purchase.id}")
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


def named(code: str, key: str) -> str:
    """What a job is known by, that was asked for with a code and a key. Raises CodeUnknown."""
    hash_ = lettering.hashed(code)
    if hash_ is None:
        raise CodeUnknown
    return hashlib.sha256(f"{hash_} {key}".encode()).hexdigest()


class Purchase:
    """One code on its way to one transcript."""

    def __init__(self, gateway: Gateway, code: str, key: str | None, owner: str) -> None:
        self.id = new_id()  # of the transcript
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
        self._webhook = False

    # the request

    def start(self, body: Upload, options: Options) -> Transcript:
        """Begins the transcript of the media in the body. Raises Busy, NotReady, what ended the hold."""
        self.check()
        self._options = options
        worth_s = self.held.result().worth_ms / 1000
        body.place.leave()
        self._transcript = self._gateway.bought(
            body.key, body.fill, options, worth_s=worth_s, settle=self._settle, id_=self.id
        )
        self._transcript.owners.append(self._owner)
        return self._transcript

    async def keep(self, body: Upload, webhook: str | None) -> None:
        """From here on the work goes on without its request, whose body is in; a webhook is told its end."""
        if webhook is not None and self._job is not None:
            await self._gateway.jobs.owe(self._job.id, webhook)
            self._webhook = True
        await self._media.enter_async_context(self._gateway.upload(body.key, body.fill))
        self.kept = True

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
        except Exception as failure:
            if self.held.done():
                raise
            self.held.set_exception(failure)
        finally:
            if self._transcript is not None:
                self._transcript.stop()  # where it is not over: it has nothing to be paid with any more
            # a shutdown cancels this task, and codes come back all the same
            giving = asyncio.get_running_loop().create_task(self._given_back(hold), name="code given back")
            try:
                await asyncio.shield(giving)
            except asyncio.CancelledError:
                await asyncio.wait([giving])
                raise
        if self._webhook and self._job is not None:
            # by a task of its own: nobody waits for the other end with a code in hand
            told = self._tell(self._job.id)
            self._gateway.background.start(told, f"webhook {self._job.id}")

    async def _begun(self, hold: Hold) -> Job:
        """The job; what it works on is in this process only, so that no other may take it up."""
        jobs = self._gateway.jobs
        wanted = Wanted(
            KIND, {"code": hold.code_id}, owner=self._owner, transcript_id=self.id,
            idempotency_key=self._key, waiting=True,
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
                raise HoldLost("The job was cancelled. Nothing was charged.")
        except StoreUnavailable:
            pass  # it may be back before the lease is over; else nothing is posted
        except (CodeRefused, CodeUnknown) as lost:
            if self._settling:
                return  # it was posted just now
            self._failure = lost
            if self._transcript is not None:
                self._transcript.stop()

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
        options = None if self._options is None else msgspec.to_builtins(self._options)
        async with gateway.database.transaction() as tx:
            draft = Draft(
                self.id,
                owner=self._owner,
                provenance=Provenance(media_sha256=transcript.media_sha256),
                options=options,
                created_at=transcript.created_at,
            )
            fresh = await gateway.archive.save(tx, draft, events)
            price_ms = await gateway.holds.post(tx, hold, self.id)
            # one that is not fresh was kept by a try of which nothing was heard
            if fresh and not await gateway.jobs.complete(tx, job.id):
                raise HoldLost
        return price_ms

    async def _given_back(self, hold: Hold) -> None:
        await self._media.aclose()
        if self._settled:
            return
        try:
            await self._gateway.holds.void(hold)
            if self._job is None:
                return
            failure = self._told()
            if failure is None or not await self._gateway.jobs.fail(
                self._job.id, failure.code, failure.message
            ):
                await self._gateway.jobs.cancel(self._job.id)
        except GatewayError as kept:
            log.warning("a code comes back with its lease only", reason=kept.message)

    def _told(self) -> Failed | None:
        """How it failed; None where it was stopped, or everybody left."""
        transcript = self._transcript
        if transcript is not None and not transcript.stopped and transcript.events:
            last = transcript.events[-1]
            return last if isinstance(last, Failed) else None
        return None if self._failure is None else Failed(self._failure.code, self._failure.message)
