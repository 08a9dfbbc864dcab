"""Who is let in now: how often somebody calls, how much of it at once, and how much in a month.

`gate` is the middleware that asks in this order: who it is, what for, how often, how many at once, how
much; a handler with an order of its own has a route without a scope, and calls what it needs.

Always: a place is given back however its request ends; one account that is full refuses no other.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from aiohttp import web

from gateway.errors import RateLimited
from gateway.settings import Rate
from gateway.store.accounts import Scope
from gateway.store.limits import Verdict
from gateway.web import auth
from gateway.web.auth import CALLER, Caller
from gateway.web.keys import GATEWAY
from gateway.web.middleware import Handler, body_bytes

Family = Literal["", "analyzer"]  # whose routes have a bucket of their own

AGAIN_S = 5  # for a place: how long a request is open nobody knows

VERDICT = web.RequestKey("verdict", Verdict)  # of a request that was counted


class Entrance(msgspec.Struct, frozen=True):
    """What a route asks of its callers. `scope` None: nothing."""

    scope: Scope | None = None
    family: Family = ""


def gate(entrance_of: Callable[[web.Request], Entrance | None]) -> Any:
    """The middleware before the handlers; failures are told by the one before it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        entrance = entrance_of(request)
        await auth.check_site(request)
        if entrance is None or entrance.scope is None:
            return await handler(request)
        await auth.check(request, entrance.scope)
        caller = request[CALLER]
        await rate(request, caller, entrance.family)
        with places(request, caller):
            if entrance.scope != "admin" and request.method == "POST":
                await quota(request, caller, speech=entrance.scope == "transcribe")
            return await counted(request, handler, caller)

    return middleware


class Places:
    """The requests that callers have open at once."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """Callers who have some."""
        return len(self._taken)

    @contextmanager
    def one(self, caller: Caller, streams_max: int) -> Iterator[None]:
        """A place for one request. Raises RateLimited. Nobody bounds a server without keys."""
        if not caller.bounded:
            yield
            return
        name = caller.name
        most = streams_max if caller.account.streams_max is None else caller.account.streams_max
        if self._taken[name] >= most:
            raise RateLimited(f"At most {most} requests may be open at once.", retry_after_s=AGAIN_S)
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]


PLACES = web.AppKey("places", Places)


async def rate(request: web.Request, caller: Caller, family: Family = "") -> None:
    """Counts a call of a caller. Raises RateLimited."""
    if not caller.bounded:
        return
    gateway = request.app[GATEWAY]
    verdict = await gateway.limits.take(
        f"{family} {caller.name}" if family else caller.name, _rate(request, caller, family)
    )
    request[VERDICT] = verdict
    if not verdict.allowed:
        raise RateLimited(retry_after_s=max(1, verdict.retry_after_s))


@contextmanager
def places(request: web.Request, caller: Caller) -> Iterator[None]:
    """A place for a request of a caller, as long as it is open. Raises RateLimited."""
    app = request.app
    with app[PLACES].one(caller, app[GATEWAY].settings.streams_max):
        yield


async def quota(request: web.Request, caller: Caller, *, speech: bool) -> None:
    """Raises QuotaExceeded where a caller's account has used up what it may, for `speech` of audio too."""
    await request.app[GATEWAY].usage.check(caller.account, speech=speech)


async def counted(request: web.Request, handler: Handler, caller: Caller) -> web.StreamResponse:
    """The answer of a handler, whose bytes are counted however it ends."""
    response: web.StreamResponse | None = None
    try:
        response = await handler(request)
        return response
    finally:
        request.app[GATEWAY].usage.sent(caller.account.id, body_bytes(request, response))


async def tell(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler: how much is left, in the head of the answer."""
    verdict = request.get(VERDICT)
    if verdict is not None:
        response.headers["RateLimit-Limit"] = str(verdict.limit)
        response.headers["RateLimit-Remaining"] = str(verdict.remaining)
        response.headers["RateLimit-Reset"] = str(math.ceil(verdict.reset_s))


def _rate(request: web.Request, caller: Caller, family: Family) -> Rate:
    settings = request.app[GATEWAY].settings
    return caller.account.rate or (settings.analyzer_rate if family else settings.rate)
