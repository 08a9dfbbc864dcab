"""The transcripts that can be read: running ones, and ended ones as long as there is room and time.

Always: at most one transcript answers for a sound and options; a running one is never put out; one
that failed is read by its id only; one that was stopped is not there any more.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator

from gateway.speech.transcript import Transcript

ENTRY_BYTES = 4096  # what one takes besides its text


class _Entry:
    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.names: list[Hashable] = []  # what it answers for
        self.bytes = 0  # once it has ended
        self.ended_at: float | None = None


class Kept:
    """Transcripts by id and by name: a sound, or a hash of its media, with options."""

    def __init__(self, *, bytes_max: int, keep_s: float) -> None:
        self._bytes_max = bytes_max
        self._keep_s = keep_s
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # least recently wanted first
        self._named: dict[Hashable, Transcript] = {}

    def add(self, transcript: Transcript, name: Hashable) -> None:
        """A new transcript, which answers for `name` from now on."""
        self._entries[transcript.id] = _Entry(transcript)
        self._name(transcript, name)

    def claim(self, transcript: Transcript, name: Hashable) -> Transcript:
        """Who answers for `name`: the one that does already, or else `transcript` from now on."""
        first = self.named(name)
        if first is not None:
            return first
        if transcript.id in self._entries:
            self._name(transcript, name)
        return transcript

    def named(self, name: Hashable) -> Transcript | None:
        """The transcript that answers for `name`: running, or whole and not too old."""
        transcript = self._named.get(name)
        if transcript is None or (transcript.ending and not transcript.whole):
            return None
        return self.by_id(transcript.id)

    def by_id(self, id_: str) -> Transcript | None:
        """A transcript, if it can be read."""
        entry = self._entries.get(id_)
        if entry is None:
            return None
        if entry.ended_at is not None and entry.ended_at + self._keep_s < time.monotonic():
            self._drop(id_)
            return None
        self._entries.move_to_end(id_)
        return entry.transcript

    def ended(self, transcript: Transcript, *, stopped: bool) -> None:
        """The transcript has come to its end; it was `stopped` when nobody wanted it any more."""
        entry = self._entries.get(transcript.id)
        if entry is None:
            return
        if stopped:
            self._drop(transcript.id)
            return
        if not transcript.whole:
            self._unname(entry)
        entry.ended_at = time.monotonic()
        entry.bytes = transcript.bytes + ENTRY_BYTES
        self._bytes += entry.bytes
        for id_, old in list(self._entries.items()):
            if self._bytes <= self._bytes_max:
                return
            if old.ended_at is not None:
                self._drop(id_)

    def remove(self, transcript: Transcript) -> None:
        """It is not there any more."""
        if transcript.id in self._entries:
            self._drop(transcript.id)

    def sweep(self) -> None:
        """Drops what is too old."""
        before = time.monotonic() - self._keep_s
        for id_, entry in list(self._entries.items()):
            if entry.ended_at is not None and entry.ended_at < before:
                self._drop(id_)

    def __iter__(self) -> Iterator[Transcript]:
        return (entry.transcript for entry in self._entries.values())

    def _name(self, transcript: Transcript, name: Hashable) -> None:
        self._named[name] = transcript
        self._entries[transcript.id].names.append(name)

    def _unname(self, entry: _Entry) -> None:
        for name in entry.names:
            if self._named.get(name) is entry.transcript:
                del self._named[name]
        entry.names.clear()

    def _drop(self, id_: str) -> None:
        entry = self._entries.pop(id_)
        self._bytes -= entry.bytes
        self._unname(entry)
