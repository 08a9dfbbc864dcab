"""Recognition of the same sound, done once among all gateways: one has a lease on it, the others follow.

Always: a lease ends with its process; without Redis, or where who has one is not heard of, each gateway works
for itself: what is done here may be done twice, and is never not done.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager, suppress

import msgspec

from gateway.errors import NotFound, StoreUnavailable
from gateway.speech.transcripts import Options, Origin, Transcript
from gateway.store.redis import LEASE_S, Away, Redis
from gateway.store.transcripts import Transcripts as Archive
from gateway.transcripts.mirrors import Mirrors

LOOK_S = 0.1
WAIT_S = LEASE_S + 2.0  # for a lease of a process that died, which nobody renews


class Flights:
    """Who recognises what, and who has, for as long as transcripts are kept."""

    def __init__(
        self,
        redis: Redis,
        mirrors: Mirrors,
        archive: Archive,
        *,
        model: str,
        keep_s: float,
        here: Callable[[str], Transcript | None],  # those of this process
    ) -> None:
        self._redis = redis
        self._mirrors = mirrors
        self._archive = archive
        self._model = model
        self._keep_s = keep_s
        self._here = here

    @asynccontextmanager
    async def joined(
        self, key: Hashable, options: Options, transcript: Transcript
    ) -> AsyncIterator[Transcript | None]:
        """Whose work is to be followed; None: it is done here, and told to others that come meanwhile, or
        later where it is done at the block's end."""
        name = self._name(key, options)
        until = asyncio.get_running_loop().time() + WAIT_S
        whose: str | None = ""
        other = None
        try:
            with suppress(Away):
                while (whose := await self._redis.lease(name, transcript.id)) is not None:
                    other = await self._running(whose)
                    if other is not None or asyncio.get_running_loop().time() > until:
                        break
                    await asyncio.sleep(LOOK_S)
                if whose is None:
                    other = await self._done(name)
            yield other
            if other is None and self._keep_s:
                with suppress(Away):
                    await self._redis.put(name, transcript.id.encode(), self._keep_s)
        finally:
            if whose is None:
                with suppress(Away):  # it ends
                    await self._redis.release(name, transcript.id)

    async def found(self, key: Hashable, options: Options) -> Transcript | None:
        """Whose work may be followed by one that nobody is to follow."""
        name = self._name(key, options)
        try:
            whose = await self._redis.holder(name)
            return await self._running(whose) if whose is not None else await self._done(name)
        except Away:
            return None

    async def _running(self, id_: str) -> Transcript | None:
        if not id_:
            return None
        found: Transcript | None = self._here(id_)
        if found is None:
            found = await self._mirrors.find(id_)
        if found is None or found.whole:
            return found
        return None if found.over or found.ending else found

    async def _done(self, name: str) -> Transcript | None:
        """The whole transcript of who did it before, as long as that can be read."""
        known = await self._redis.get(name)
        if known is None:
            return None
        id_ = known.decode(errors="replace")
        if (there := await self._running(id_)) is not None:
            return there
        try:
            stored, log = await self._archive.whole(id_)
        except (NotFound, StoreUnavailable):
            return None
        told = Transcript.told_again(id_, log, Origin(), stored.created_at, stored.ended_at)
        return told if told.whole else None

    def _name(self, key: Hashable, options: Options) -> str:
        told = msgspec.json.encode((self._model, str(key), options))
        return "speech " + hashlib.sha256(told).hexdigest()
