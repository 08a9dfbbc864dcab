"""Recognition of the same sound, done once among all gateways: one has a lease on it, the others follow.

Always: a lease ends with its process; without Redis, or where who has one is not heard of, each gateway works
for itself: what is done here may be done twice, and is never not done.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress

import msgspec

from gateway.speech.mirror import Mirror
from gateway.speech.transcripts import Options, Transcript
from gateway.store.redis import LEASE_S, Away, Redis
from gateway.transcripts.mirrors import Mirrors

LOOK_S = 0.1
WAIT_S = LEASE_S + 2.0  # for a lease of a process that died, which nobody renews


class Flights:
    """Who recognises what."""

    def __init__(self, redis: Redis, mirrors: Mirrors, *, model: str) -> None:
        self._redis = redis
        self._mirrors = mirrors
        self._model = model

    @asynccontextmanager
    async def joined(
        self, key: Hashable, options: Options, transcript: Transcript
    ) -> AsyncIterator[Transcript | None]:
        """Whose work is to be followed; None: it is done here, and told to others that come meanwhile."""
        name = self._name(key, options)
        until, other = asyncio.get_running_loop().time() + WAIT_S, None
        try:
            while (whose := await self._redis.lease(name, transcript.id)) is not None:
                other = await self._running(whose)
                if other is not None or asyncio.get_running_loop().time() > until:
                    break
                await asyncio.sleep(LOOK_S)
        except Away:
            whose = ""
        try:
            yield other
        finally:
            if whose is None:
                with suppress(Away):  # it ends
                    await self._redis.release(name, transcript.id)

    async def _running(self, id_: str) -> Mirror | None:
        found = await self._mirrors.find(id_) if id_ else None
        return found if found is not None and (found.whole or not found.ending) else None

    def _name(self, key: Hashable, options: Options) -> str:
        told = msgspec.json.encode((self._model, str(key), options))
        return "speech " + hashlib.sha256(told).hexdigest()
