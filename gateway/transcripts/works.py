"""Who settles transcripts, by task of this process; and how their work is called off, wherever it is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.errors import Busy
from gateway.media.uploads import Uploads
from gateway.speech.mirror import Mirror
from gateway.speech.transcripts import Transcript
from gateway.store.jobs import ENDED, Jobs
from gateway.store.withdrawal import Withdrawal
from gateway.tasks import Background
from gateway.transcripts.news import News

SETTLING_S = 20  # how long who cancels waits for what is settled then


class Works:
    """The tasks that settle transcripts, by the ids of these."""

    def __init__(
        self, background: Background, jobs: Jobs, withdrawal: Withdrawal, uploads: Uploads, news: News
    ) -> None:
        self._background = background
        self._jobs = jobs
        self._withdrawal = withdrawal
        self._uploads = uploads
        self._news = news
        self._running: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._running

    def begin(self, id_: str, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Begins the work of who settles a transcript."""
        task = self._running[id_] = self._background.start(work, name)

        def ended(_: "asyncio.Task[None]") -> None:
            if self._running.get(id_) is task:
                del self._running[id_]

        task.add_done_callback(ended)
        return task

    async def cancel(self, transcript: Transcript) -> bool:
        """Ends the work on a transcript, here or wherever it is to be done, and waits for what is settled
        then. False: it came to its end. Raises Busy where it cannot be reached, StoreUnavailable."""
        if isinstance(transcript, Mirror) and transcript.running:
            try:
                return await transcript.cancel()
            except Busy:  # a job can be called off all the same
                return await self.call_off(transcript.id)
        if transcript.running:
            cancelled = await transcript.cancel()
            if (settling := self._running.get(transcript.id)) is not None:
                await asyncio.wait([settling], timeout=SETTLING_S)
            return cancelled
        return not transcript.over and await self.call_off(transcript.id)

    async def call_off(self, id_: str) -> bool:
        """Ends a job that is not worked on in this process. False: it has ended."""
        job = await self._jobs.of(id_)
        if job is None or (job.waiting and job.state not in ENDED):
            raise Busy("The transcript is not at its end, and does not run here. Ask again.")
        if job.state == "PENDING" and await self._withdrawal.withdraw(job):
            self._uploads.drop(job.id)
            self._background.start(self._news.tell(await self._jobs.get(job.id)), f"webhook {job.id}")
            return True
        return await self._jobs.cancel(job.id)  # who works on it sees that
