"""The transcript of a post that nobody waits for: made by whichever process takes up its job.

Always: it repeats the transcript that any caller of the post would get, under the id that was promised; its
row is kept in the transaction that ends the job.
"""

import asyncio

import msgspec
import structlog

from gateway import errors
from gateway.errors import Busy, Cancelled, GatewayError, Internal, Interrupted, NotFound, StoreUnavailable
from gateway.media.captions import Source
from gateway.speech.transcript import Ending
from gateway.speech.transcripts import Options, Transcript
from gateway.store.jobs import Job
from gateway.store.stored import Draft, Provenance
from gateway.wire.events import Failed, Logged
from gateway.wiring import Gateway

KIND = "post"
FULL_S = 5.0  # between two looks whether there is room
FULL_S_MAX = 900  # then it fails as full: longer than a rush, and than a model takes to come
AGAIN_S = (0.2, 1.0)

log = structlog.get_logger()


class Promised(msgspec.Struct, frozen=True):
    """What is to be made, as the job's payload has it."""

    url: str
    source: Source
    options: Options


async def take_up(gateway: Gateway, job: Job) -> None:
    """Makes the transcript of a job of this process, and ends the job with it."""
    await Errand(gateway, job).run()


class Errand:
    """One job on its way to its transcript."""

    def __init__(self, gateway: Gateway, job: Job) -> None:
        assert job.transcript_id is not None
        self._gateway = gateway
        self._job = job
        self._promised = msgspec.convert(job.payload, Promised)
        self._settled = False
        self._stopping = False  # the gateway is, or the job is another process's
        self._transcript = gateway.transcripts.following(
            self._made, settle=self._settle, options=self._promised.options, id_=job.transcript_id
        )
        self._transcript.owners.append(job.owner)

    async def run(self) -> None:
        """Follows it to its end."""
        try:
            async with self._transcript.held(), asyncio.TaskGroup() as group:
                over = group.create_task(self._transcript.done())
                while not over.done():
                    await asyncio.wait([over], timeout=self._gateway.settings.lease_s / 3)
                    if not over.done():
                        await self._renew()
        except asyncio.CancelledError:
            self._stopping = True
            raise
        finally:
            self._transcript.stop()
            ending = asyncio.get_running_loop().create_task(self._end(), name="job ended")
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                await asyncio.wait([ending])
                raise
        self._gateway.news.soon(self._job.id)

    async def _renew(self) -> None:
        jobs = self._gateway.jobs
        try:
            if await jobs.renew(self._job.id):
                return
            cancelled = (await jobs.get(self._job.id)).state == "CANCELLED"
        except StoreUnavailable:
            return  # it may be back before the lease is over
        except NotFound:
            cancelled = True
        if cancelled:
            await self._transcript.cancel()
        elif not self._settled:
            self._stopping = True
            self._transcript.stop()

    async def _made(self, transcript: Transcript) -> Ending:
        """Says what the transcript of the post says; another one where somebody has stopped that."""
        account = await self._gateway.accounts.named(self._job.owner)
        await self._gateway.usage.check(account, speech=True)  # it was promised when there was more left
        for last in (False, True):
            other = await self._other()
            transcript.origin, transcript.options = other.origin, other.options
            transcript.title = transcript.title or other.origin.title
            transcript.stand_as(other)
            async with other.held():
                ending = await transcript.follow_on(other)
            transcript.media_sha256 = other.media_sha256
            if ending is not None:
                return ending
            failed = other.events[-1] if other.over else None
            told = failed if isinstance(failed, Failed) else Failed(Busy.code, Busy.text)
            if last or told.code not in (Cancelled.code, Busy.code):
                raise errors.by_code(told.code, told.message)
            transcript.resume()
        raise Internal

    async def _other(self) -> Transcript:
        """The post's transcript, as soon as there is room for it."""
        until = asyncio.get_running_loop().time() + FULL_S_MAX
        while True:
            try:
                post = await self._gateway.extractor.find(self._promised.url)
                return await self._gateway.hearing.transcript_from(
                    self._promised.source, post, self._promised.options, owner=self._job.owner
                )
            except StoreUnavailable:
                raise
            except Busy:
                if asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(FULL_S)

    async def _settle(self, events: tuple[Logged, ...]) -> None:
        for again_s in (*AGAIN_S, None):
            try:
                await self._kept(events, None)
                break
            except StoreUnavailable:
                if again_s is None:
                    raise
                await asyncio.sleep(again_s)
        self._settled = True

    async def _kept(self, events: tuple[Logged, ...], failed: Failed | None) -> None:
        """The row, and the end of the job; neither where the job is another process's by now."""
        gateway, job, transcript = self._gateway, self._job, self._transcript
        origin = transcript.origin
        draft = Draft(
            transcript.id,
            owner=job.owner,
            title=transcript.title,
            provenance=Provenance(
                url=origin.url or self._promised.url,
                post_id=origin.post_id,
                sound_id=origin.sound_id,
                media_sha256=transcript.media_sha256,
            ),
            options=None if transcript.options is None else msgspec.to_builtins(transcript.options),
            created_at=transcript.created_at,
        )
        async with gateway.database.transaction() as tx:
            # one that is not fresh was kept by a try of which nothing was heard
            fresh = await gateway.archive.save(tx, draft, events)
            if failed is None:
                ended = await gateway.jobs.complete(tx, job.id)
            elif transcript.cancelled:
                await gateway.jobs.cancelled_in(tx, job.id)
                ended = True
            else:
                ended = await gateway.jobs.failed_in(tx, job.id, failed.code, failed.message)
            if fresh and not ended:
                raise Interrupted

    async def _end(self) -> None:
        """Ends a job that did not come to its end, or leaves it to another process."""
        transcript = self._transcript
        await transcript.done()
        if self._settled:
            return
        last = transcript.events[-1]
        assert isinstance(last, Failed)
        try:
            if last.code == StoreUnavailable.code:
                self._gateway.library.forget(transcript.id)  # it has not failed
                return  # its lease ends, and it is taken up when the database is back
            if self._stopping and transcript.stopped and not transcript.cancelled:
                await self._gateway.jobs.hand_back(self._job.id)
            else:
                await self._kept(transcript.events, last)
        except GatewayError as failure:
            log.warning("a job ends with its lease only", job=self._job.id, reason=failure.message)
