"""Posts that gateways share: each is extracted once among them, and kept as long as its links are good.

Always: only gateways with the same exits share, as links name the one that their page was read through.
A login's cookies, which links may hold, are never shared: with a cookie file there is no shelf.
"""

import hashlib
import time
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from gateway.media.exits import Exits
from gateway.media.post import Post
from gateway.wire.foreign import decoded

FORM = 2  # of what is kept: another number where the same fields mean something else


class Kept(msgspec.Struct, frozen=True):
    """A post, and until when (unix time) it may be used."""

    post: Post
    good_until: float


class Cache(Protocol):
    """Where they are kept: bytes by name, for a time. Nothing of it raises."""

    async def get(self, name: str) -> bytes | None: ...

    async def put(self, name: str, value: bytes, ttl_s: float) -> None: ...

    async def forget(self, name: str) -> None: ...

    def once(self, name: str, wait_s: float) -> AbstractAsyncContextManager[None]: ...


class Shelf:
    """The posts in a cache."""

    def __init__(self, cache: Cache, exits: Exits, *, wait_s: float) -> None:
        self._cache = cache
        self._wait_s = wait_s
        same = hashlib.sha256("\n".join(exits.places).encode()).hexdigest()[:16]
        self._prefix = f"post{FORM} {same}"

    async def get(self, post_id: str, since: float = 0.0) -> Kept | None:
        """The post that another gateway put there, if its page was read `since`."""
        value = await self._cache.get(self._name(post_id))
        if value is None:
            return None
        try:
            kept = decoded(_decoder, value)
        except msgspec.DecodeError:  # of a version that knows posts otherwise
            return None
        good = kept.good_until > time.time() and kept.post.read_at >= since
        return kept if good and kept.post.id == post_id else None

    async def put(self, kept: Kept) -> None:
        """Lets the others have a post."""
        value = msgspec.json.encode(kept)
        await self._cache.put(self._name(kept.post.id), value, kept.good_until - time.time())

    async def drop(self, post_id: str, refused: Post | None) -> None:
        """Drops a post whose links were refused, unless there is a newer one by now."""
        there = await self.get(post_id) if refused is not None else None
        if there is None or there.post == refused:
            await self._cache.forget(self._name(post_id))

    def once(self, post_id: str) -> AbstractAsyncContextManager[None]:
        """Alone among the gateways, to extract it."""
        return self._cache.once(self._name(post_id), self._wait_s)

    def _name(self, post_id: str) -> str:
        return f"{self._prefix} {post_id}"


_decoder = msgspec.json.Decoder(Kept)
