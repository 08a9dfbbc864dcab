"""News of jobs that have ended, to the webhooks that want them."""

import msgspec

from gateway.media.webhooks import Webhooks
from gateway.store.jobs import Job, Jobs
from gateway.tasks import Background


class News:
    """Told to the webhook of each job."""

    def __init__(self, webhooks: Webhooks, jobs: Jobs, background: Background) -> None:
        self._webhooks = webhooks
        self._jobs = jobs
        self._background = background

    def soon(self, job_id: str) -> None:
        """Has a job's webhook told by a task of its own: nobody waits for the other end."""
        self._background.start(self._found(job_id), f"webhook {job_id}")

    async def _found(self, job_id: str) -> None:
        await self.tell(await self._jobs.get(job_id))

    async def tell(self, job: Job) -> None:
        """Tells the webhook of a job that has ended, and puts down whether it was heard."""
        if job.webhook_state != "OWED" or job.webhook_url is None:
            return
        error = None if job.error_code is None else {"code": job.error_code, "message": job.error_text}
        news = {"id": job.transcript_id, "status": job.state.lower(), "error": error}
        heard = await self._webhooks.tell(job.webhook_url, msgspec.json.encode(news))
        await self._jobs.told(job.id, heard=heard)
