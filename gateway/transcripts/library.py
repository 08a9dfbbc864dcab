"""Transcripts by their id or their post, wherever they are: in memory, on their way to a row, in rows, or
still a job only."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.errors import Busy, Cancelled, Forbidden, Interrupted, NotFound, StoreUnavailable
from gateway.speech.mirror import Mirror
from gateway.speech.transcripts import Options, Origin, Transcript, Transcripts
from gateway.store.jobs import ENDED, Job, Jobs
from gateway.store.stored import Provenance
from gateway.store.tables import ANYONE
from gateway.store.transcripts import Transcripts as Archive
from gateway.store.writer import Writer
from gateway.transcripts.asking import Ask
from gateway.transcripts.mirrors import Mirrors
from gateway.transcripts.scribe import Scribe
from gateway.transcripts.telling import Telling
from gateway.transcripts.works import Works
from gateway.wire.events import Failed, Logged


class Library:
    """The transcripts that are known, to be read and changed."""

    def __init__(
        self,
        transcripts: Transcripts,
        writer: Writer,
        archive: Archive,
        jobs: Jobs,
        scribe: Scribe,
        works: Works,
        mirrors: Mirrors | None = None,
        telling: Telling | None = None,
        *,
        model: str,
    ) -> None:
        self._transcripts = transcripts
        self._mirrors = mirrors
        self._telling = telling
        self._writer = writer
        self._archive = archive
        self._jobs = jobs
        self._scribe = scribe
        self._works = works
        self._model = model

    async def read(self, id_: str) -> Transcript:
        """A transcript by its id: from memory while it is there, else from another process where it runs and
        tells it, else as far as it was written down.

        One that runs in another process and is not told, or waits for one, is neither `running` nor `over`.
        Raises NotFound, StoreUnavailable.
        """
        there = self._transcripts.by_id(id_)
        if there is not None:
            return there
        waiting = self._writer.waiting(id_)
        if waiting is not None:
            draft = waiting.draft
            told = _told_again(
                id_, waiting.events, draft.title, draft.provenance, draft.created_at, waiting.ended_at
            )
            told.owners = [draft.owner, *draft.others]
            return told
        try:
            stored, log = await self._archive.whole(id_)
        except (NotFound, StoreUnavailable) as failure:
            if self._mirrors is not None and (mirror := await self._mirrors.find(id_)) is not None:
                return mirror
            if isinstance(failure, StoreUnavailable):
                raise
            job = await self._jobs.of(id_)
            if job is None:
                raise
            # memory does not know it any more, where it is nobody's work here
            gone = job.waiting and job.lease_owner == self._jobs.process and id_ not in self._works
            if (log_of := _log_of(job, gone=gone)) is None:
                raise
            told = _told_again(
                id_, log_of, None, Provenance(url=job.payload.get("url")), job.created_at, job.ended_at
            )
            told.pending = job.state == "PENDING"
            told.owners = [job.owner]
            return told
        told = _told_again(id_, log, stored.title, stored.provenance, stored.created_at, stored.ended_at)
        told.owners = sorted(stored.owners, key=lambda one: (one != stored.owner, one))
        return told

    async def changed_by(self, id_: str, owner: str | None) -> Transcript:
        """A transcript that an account may name and cancel: one that it asked for first, and to be
        cancelled alone; of nobody's account, anybody may. None may change all.

        Raises Forbidden, and what `read` does.
        """
        transcript = await self.read(id_)
        if owner is None:
            return transcript
        first = next(iter(transcript.owners), ANYONE)
        if first not in (owner, ANYONE):
            raise Forbidden("Only who asked for a transcript first changes it; others may leave it (DELETE).")
        if transcript.running and len(transcript.owners) > 1:
            raise Forbidden("Others have asked for this transcript too: leave it (DELETE).")
        return transcript

    async def rename(self, id_: str, title: str | None) -> Transcript:
        """Gives a transcript another title. Raises what `read` does."""
        transcript = await self.read(id_)
        if isinstance(transcript, Mirror) and transcript.running:
            assert self._mirrors is not None
            await self._mirrors.ask(transcript, Ask("rename", id_, title=title))
        elif not transcript.running:
            try:
                await self._writer.rename(id_, title)
            except NotFound:  # its row is gone or never came, memory is not
                if self._transcripts.by_id(id_) is None:
                    raise Busy("The transcript cannot be given a title now. Ask again.") from None
        transcript.title = title
        return transcript

    async def delete(self, id_: str, *, owner: str | None = None) -> None:
        """Removes a transcript wherever it is, cancelled if it runs; where others have it too, only from
        the owner. Raises Forbidden, and what `read` does.
        """
        found = await self.read(id_)
        if isinstance(found, Mirror) and found.running:
            assert self._mirrors is not None
            try:
                await self._mirrors.ask(found, Ask("delete", id_, owner=owner))
                return
            except Busy:
                job = await self._jobs.of(id_)
                if job is None or job.waiting:
                    raise  # else the job is called off, of which it will hear
        acting = _leaving(found, owner)
        there = self._transcripts.by_id(id_)
        alone = acting is None or there is None or set(there.owners) <= {acting}
        if there is None:
            job = await self._jobs.of(id_)
            if job is not None and not job.waiting and job.state not in ENDED:
                await self._works.call_off(id_)
        elif there.running and alone:
            await self._works.cancel(there)
        try:
            await self._writer.delete(id_, owner=acting)
        except NotFound:
            if not await self._jobs.forget(id_) and there is None:
                raise
        else:
            await self._jobs.forget(id_)
        if self._telling is not None and alone:
            await self._telling.forget(id_)
        if there is None:
            return
        if alone:
            self._transcripts.remove(there)
        elif acting in there.owners:
            there.owners.remove(acting)

    async def act(self, transcript: Transcript, ask: Ask) -> bool:
        """Does what another gateway asks of a transcript that is here. False: it has ended. Raises what doing
        so does."""
        match ask.what:
            case "hand_out":
                await transcript.hand_out()
            case "cancel":
                return await self._works.cancel(transcript)
            case "rename":
                await self.rename(ask.id, ask.title)
            case "delete":
                await self.delete(ask.id, owner=ask.owner)
        return True

    async def heard_before(self, post_id: str, options: Options, *, owner: str) -> Transcript | None:
        """The whole transcript of what was heard in a post, if it is known; `owner` has it from now on."""
        there = self._transcripts.named((post_id, options))
        if there is not None and there.whole:
            return self._scribe.owned(there, owner)
        try:
            found = await self._archive.heard(post_id, msgspec.to_builtins(options), self._model)
        except StoreUnavailable:
            return None  # it is heard again
        if found is None:
            return None
        stored, log_ = found
        told = _told_again(
            stored.id, log_, stored.title, stored.provenance, stored.created_at, stored.ended_at
        )
        told.owners = sorted(stored.owners, key=lambda one: (one != stored.owner, one))
        return self._scribe.owned(told, owner)

    def forget(self, id_: str) -> None:
        """Has no transcript of an id in memory any more, which is to be made anew."""
        there = self._transcripts.by_id(id_)
        if there is not None and there.ending:
            self._transcripts.remove(there)


def _leaving(transcript: Transcript, owner: str | None) -> str | None:
    """As whom a transcript is removed. Raises Forbidden."""
    acting = _having(transcript, owner)
    if owner is not None and acting is None:
        raise Forbidden("Only who asked for a transcript removes it.")
    return acting


def _having(transcript: Transcript, owner: str | None) -> str | None:
    """As whom an account changes a transcript: itself, else anybody; None: not at all, or as the operator."""
    if owner is None:
        return None
    return next((one for one in (owner, ANYONE) if one in (transcript.owners or [ANYONE])), None)


def _log_of(job: Job, *, gone: bool) -> tuple[Failed, ...] | None:
    """What a job says of its transcript, which has no row; None: nothing."""
    if job.state == "CANCELLED" and not job.waiting:
        return (Failed(Cancelled.code, Cancelled.text),)
    if job.state == "FAILED" and (job.error_code == Interrupted.code or not job.waiting):
        return (Failed(job.error_code or Interrupted.code, job.error_text or Interrupted.text),)
    return () if job.state not in ENDED and not gone else None


def _told_again(
    id_: str,
    events: Sequence[Logged],
    title: str | None,
    provenance: Provenance,
    created_at: datetime | None,
    ended_at: datetime | None,
) -> Transcript:
    assert created_at is not None
    origin = Origin(title, provenance.url, provenance.post_id, provenance.sound_id)
    return Transcript.told_again(id_, events, origin, created_at, ended_at)
