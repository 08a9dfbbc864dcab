"""What becomes of a hold and its job: the code spent with the transcript, given back, or left to another.

Always: the code is spent in the transaction that keeps the transcript and ends the job.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from gateway.errors import Cancelled, CodeRefused, CodeUnknown, HoldLost, StoreUnavailable
from gateway.speech.transcripts import Transcript
from gateway.store.holds import Hold
from gateway.store.jobs import Job
from gateway.store.stored import Draft, Provenance
from gateway.wire.events import End, Failed, Logged
from gateway.wiring import Gateway

AGAIN_S = (0.2, 1.0)  # a lock or a restart of the database is soon over


class Settlement:
    """One hold and its job."""

    def __init__(self, gateway: Gateway, hold: Hold, job: Job) -> None:
        self._gateway = gateway
        self._hold = hold
        self._job = job

    async def spend(self, transcript: Transcript, events: Sequence[Logged]) -> float:
        """Keeps a whole transcript and spends the code, or does neither; the seconds that are charged."""
        end, priced = events[-1], False
        assert isinstance(end, End)
        for again_s in (*AGAIN_S, None):
            try:
                if not priced:
                    await self._gateway.holds.price(self._hold, round(end.duration * 1000))
                    priced = True
                return await self._posted(transcript, events) / 1000
            except StoreUnavailable:
                if again_s is None:
                    raise
                await asyncio.sleep(again_s)
        raise AssertionError("the last try returns or raises")

    async def spend_part(self, transcript: Transcript, failure: Failed | None) -> bool:
        """Keeps what was recognised and spends the code on it. False: the code cannot be spent any more."""
        gateway, hold, job = self._gateway, self._hold, self._job
        last = failure or Failed(Cancelled.code, Cancelled.text)
        events = (*transcript.events[:-1], last)
        try:
            await gateway.holds.price(hold, min(hold.worth_ms, round(transcript.reached_s * 1000)))
            async with gateway.database.transaction() as tx:
                await gateway.archive.save(tx, self._draft(transcript), events)
                await gateway.holds.post(tx, hold, transcript.id)
                if failure is None or not await gateway.jobs.failed_in(tx, job.id, last.code, last.message):
                    await gateway.jobs.cancelled_in(tx, job.id)
        except (CodeRefused, CodeUnknown):
            return False
        return True

    async def give_back(self, failure: Failed | None) -> bool:
        """The code is as before, and the job has failed or was stopped. False: it is another process's."""
        jobs, job = self._gateway.jobs, self._job
        await self._gateway.holds.void(self._hold)
        if failure is not None and await jobs.fail(job.id, failure.code, failure.message):
            return True
        return await jobs.stop(job.id)

    async def hand_back(self) -> None:
        """Another process takes up the job, and the code with it."""
        with suppress(CodeRefused, CodeUnknown):  # which whoever is next is told too
            await self._gateway.holds.renew(self._hold)
        await self._gateway.jobs.hand_back(self._job.id)

    async def _posted(self, transcript: Transcript, events: Sequence[Logged]) -> int:
        gateway = self._gateway
        async with gateway.database.transaction() as tx:
            fresh = await gateway.archive.save(tx, self._draft(transcript), events)
            price_ms = await gateway.holds.post(tx, self._hold, transcript.id)
            # one that is not fresh was kept by a try of which nothing was heard
            if fresh and not await gateway.jobs.complete(tx, self._job.id):
                raise HoldLost
        return price_ms

    def _draft(self, transcript: Transcript) -> Draft:
        return Draft(
            transcript.id,
            owner=self._job.owner,
            title=transcript.title,
            provenance=Provenance(media_sha256=transcript.media_sha256),
            options=None if transcript.options is None else msgspec.to_builtins(transcript.options),
            created_at=transcript.created_at,
        )
