"""What is put down of transcripts: whose they are, how they ended, and what they took."""

from collections.abc import Callable

import msgspec

from gateway.errors import Interrupted
from gateway.speech.transcripts import Transcript
from gateway.store.register import Entry, Register
from gateway.store.stored import Draft, Provenance
from gateway.store.tables import ANYONE
from gateway.store.usage import Usage
from gateway.store.writer import Ended, Writer
from gateway.wire.events import Failed


class Scribe:
    """Their jobs, their rows and their use, written behind the answer."""

    def __init__(
        self, register: Register, usage: Usage, writer: Writer, *, stopping: Callable[[], bool]
    ) -> None:
        self._register = register
        self._usage = usage
        self._writer = writer
        self._stopping = stopping

    def owned(self, transcript: Transcript, owner: str, *, registered: bool = True) -> Transcript:
        """The transcript, which has this owner too from now on."""
        if not transcript.owners and registered:
            known = {"url": transcript.origin.url}
            self._register.begin(Entry(transcript.id, transcript.created_at, owner=owner, payload=known))
        if owner not in transcript.owners:
            transcript.owners.append(owner)
            if transcript.over:
                self._writer.own(transcript.id, owner)
        return transcript

    def left(self, transcript: Transcript) -> None:
        """It was stopped: by this gateway's end, or as everybody had left."""
        if self._stopping():
            self._register.end(transcript.id, "FAILED", Failed(Interrupted.code, Interrupted.text))
        else:
            self._register.end(transcript.id, "CANCELLED")

    def ended(self, transcript: Transcript) -> None:
        """Has a transcript written down that has ended."""
        assert transcript.ended_at is not None
        last = transcript.events[-1]
        if isinstance(last, Failed):
            self._register.end(transcript.id, "CANCELLED" if transcript.cancelled else "FAILED", last)
        else:
            self._register.end(transcript.id, "COMPLETE")
        origin = transcript.origin
        provenance = Provenance(
            url=origin.url,
            post_id=origin.post_id,
            sound_id=origin.sound_id,
            media_sha256=transcript.media_sha256,
        )
        payer, *others = transcript.owners or [ANYONE]
        if transcript.options is not None and not transcript.followed:
            self._usage.heard(payer, transcript.heard_s)
        draft = Draft(
            transcript.id,
            owner=payer,
            others=tuple(others),
            title=transcript.title,
            provenance=provenance,
            options=None if transcript.options is None else msgspec.to_builtins(transcript.options),
            created_at=transcript.created_at,
        )
        self._writer.put(Ended(draft, transcript.events, transcript.ended_at))
