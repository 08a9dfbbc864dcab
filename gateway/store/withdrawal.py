"""A promised job that nobody works on, cancelled: with what it held, and what was read of it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Cancelled, CodeRefused, CodeUnknown
from gateway.store.database import Database
from gateway.store.holds import Holds
from gateway.store.jobs import Job, Jobs
from gateway.store.stored import Draft
from gateway.store.transcripts import Transcripts
from gateway.wire.events import Failed


class Withdrawal:
    """Ends such jobs, each in one transaction."""

    def __init__(self, database: Database, jobs: Jobs, holds: Holds, transcripts: Transcripts) -> None:
        self._database = database
        self._jobs = jobs
        self._holds = holds
        self._transcripts = transcripts

    async def withdraw(self, job: Job) -> bool:
        """Cancels a pending job. False: somebody works on it by now, or it has ended."""
        async with self._database.transaction() as tx:
            if not await self._jobs.cancel_pending(tx, job.id):
                return False
            if "hold" in job.payload:
                await self._settle(tx, job)
            return True

    async def _settle(self, tx: AsyncConnection, job: Job) -> None:
        """Spends the code if words were read, for which the row stands, or gives it back."""
        assert job.transcript_id is not None
        try:
            hold = await self._holds.again(tx, job.payload["code"], job.payload["hold"])
        except (CodeRefused, CodeUnknown):
            return  # it is somebody else's by now
        if job.payload["read"]:
            failed = Failed(Cancelled.code, Cancelled.text)
            await self._transcripts.save(tx, Draft(job.transcript_id, created_at=job.created_at), (failed,))
            await self._holds.post(tx, hold, job.transcript_id)
        else:
            await self._holds.void_in(tx, hold)
