"""Redis: what gateways on several machines share at every request, and for the short time.

Always: nothing waits longer than `wait_s` for its answer, and twice that for one of our places, which is no
failure of Redis'. After a failure everything is Away at once, until a look in the background finds it back;
and the address, which has a password in it, is never told.
"""

import asyncio
import math
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import structlog

from gateway.settings import Settings
from gateway.tasks import heeded

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

LOOK_S = 2
LEASE_S = 10  # of a lock: several looks, each of which renews it
POLL_S = 0.05  # how often is looked whether a lock is free
CONNECTIONS_MAX = 16  # one of them for the look
LATE = 0.1  # of a deadline: who notices it so much later was kept from it by other work here

# Takes `cost` microseconds out of a bucket that takes `whole` to fill, if they are there, and tells
# how full it was. By Redis' own clock; where that went back, the bucket is empty and no more.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local ahead = math.min(math.max(full_at - now, 0), whole)
local after = ahead + cost
if cost > 0 and after <= whole then
  redis.call('SET', KEYS[1], string.format('%.0f', now + after))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(after / 1000)))
end
return ahead
"""
# what belongs to a token is changed by who knows it
RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"

T = TypeVar("T")
log = structlog.get_logger()


class Away(Exception):
    """Redis does not answer. Who asked goes on with what this process knows."""


class Full(Away):
    """This process has too much to do to ask it in time; Redis may be well."""


class Odd(Away):
    """Something of another kind is under the key. Redis is well."""


class Redis:
    """The server, seen through a bounded pool. `run` is to run beside it."""

    def __init__(self, address: str, *, prefix: str, wait_s: float, look_s: float = LOOK_S) -> None:
        # only here: the package is an extra, and takes a tenth of a second to load
        from redis import asyncio as redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError

        self._prefix, self._wait_s, self._look_s = prefix, wait_s, look_s
        self._pool = _pool(
            address,
            wait_s=wait_s,
            # a connection that died while it was idle: another one, at once
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        )
        self._client = redis.Redis(connection_pool=self._pool)
        self._take = self._client.register_script(TAKE)
        self._renew = self._client.register_script(RENEW)
        self._release = self._client.register_script(RELEASE)
        # in turn: the library's own pool that waits lets some wait for ever
        self._places = asyncio.Semaphore(CONNECTIONS_MAX - 1)
        self._held: dict[str, str] = {}  # locks and their tokens
        self._away = True  # until it was looked at
        self._told = False

    @property
    def state(self) -> Literal["ok", "away"]:
        """Whether it answered the last time."""
        return "away" if self._away else "ok"

    async def start(self) -> None:
        """Looks at it for the first time."""
        await self._look()

    async def run(self) -> None:
        """Looks whether it answers, and renews the locks, until cancelled."""
        while True:
            await asyncio.sleep(self._look_s)
            await self._look()

    async def close(self) -> None:
        """Closes the connections."""
        self._away = True
        with suppress(Exception):  # they are closed, or their server is not there
            async with asyncio.timeout(self._wait_s):
                await self._client.aclose()
                await self._pool.disconnect()

    async def take(self, name: str, cost_us: int, whole_us: int) -> int:
        """Takes from a bucket if there is enough; how many microseconds it was short of full before."""
        args = [cost_us, whole_us]
        return int(await self._do(lambda: self._take(keys=[self.key("limit", name)], args=args)))

    async def add(self, name: str, keep_s: float) -> bool:
        """Remembers a name; whether it was new."""
        return await self._claim(self.key("seen", name), secrets.token_hex(8), keep_s)

    async def has(self, name: str) -> bool:
        """Whether a name is remembered."""
        return bool(await self._do(lambda: self._client.exists(self.key("seen", name))))

    async def get(self, name: str) -> bytes | None:
        """What was put there."""
        value = await self._do(lambda: self._client.get(self.key("cache", name)))
        assert not isinstance(value, str)
        return value

    async def put(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keeps a value for a time."""
        await self._do(lambda: self._client.set(self.key("cache", name), value, px=_ms(ttl_s)))

    async def forget(self, name: str) -> None:
        """Drops a value."""
        await self._do(lambda: self._client.delete(self.key("cache", name)))

    @asynccontextmanager
    async def once(self, name: str, wait_s: float) -> AsyncIterator[None]:
        """Alone among all processes; after `wait_s` not alone. A process that dies holds it no longer
        than its lease. Raises Away before anything was done, never at its end.
        """
        key, token = self.key("once", name), secrets.token_hex(8)
        until = asyncio.get_running_loop().time() + wait_s
        while not (held := await self._claim(key, token, LEASE_S)):
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311  # so that all get a turn
        if held:
            self._held[key] = token
        try:
            yield
        finally:
            if held:
                if self._held.get(key) == token:  # else our lease ended, and it is another's here
                    del self._held[key]
                with suppress(Away):  # its lease ends
                    await self._do(lambda: self._release(keys=[key], args=[token]))

    async def lease(self, name: str, token: str) -> str | None:
        """Has a name, renewed until `release` or the end of this process; None: it is ours, else whose."""
        key = self.key("lease", name)
        if await self._claim(key, token, LEASE_S):
            self._held[key] = token
            return None
        whose = await self._do(lambda: self._client.get(key))
        return whose.decode(errors="replace") if isinstance(whose, bytes) else ""

    async def holder(self, name: str) -> str | None:
        """Whose a name is; None: nobody's."""
        whose = await self._do(lambda: self._client.get(self.key("lease", name)))
        return whose.decode(errors="replace") if isinstance(whose, bytes) else None

    async def release(self, name: str, token: str) -> None:
        """Gives a name back that is ours."""
        key = self.key("lease", name)
        if self._held.get(key) == token:
            del self._held[key]
        await self._do(lambda: self._release(keys=[key], args=[token]))

    async def ask(self, *command: str | bytes | int) -> Any:
        """What a command answers."""
        return await self._do(lambda: self._client.execute_command(*command))  # type: ignore[no-untyped-call]

    def script(self, text: str) -> "Callable[[Sequence[str], Sequence[str | bytes | int]], Awaitable[Any]]":
        """A script, to be run with keys and arguments."""
        known = self._client.register_script(text)
        return lambda keys, args: self._do(lambda: known(keys=keys, args=args))

    def key(self, kind: str, name: str) -> str:
        """Where something of a kind is."""
        return f"{self._prefix}:{kind}:{name}"

    async def _claim(self, key: str, token: str, keep_s: float) -> bool:
        """Whether the key is ours; also where the answer to a first try was lost."""
        if await self._do(lambda: self._client.set(key, token, nx=True, px=_ms(keep_s))):
            return True
        return bool(await self._do(lambda: self._client.get(key)) == token.encode())

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self._place():
            if self._away:  # it was found so meanwhile
                raise Away
            deadline = asyncio.timeout(self._wait_s)
            try:
                async with deadline:
                    with heeded():
                        return await work()
            except Exception as failure:  # whatever it is, no request fails because of it
                if _odd(failure):
                    raise Odd from None
                if self._late(deadline):
                    raise Full from None
                self._failed(failure)
                raise Away from None

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._away:
            raise Away
        try:
            # longer than for an answer: if those that have the places get none, that is known by then
            async with asyncio.timeout(2 * self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise Full from None
        try:
            yield
        finally:
            self._places.release()

    def _late(self, deadline: asyncio.Timeout) -> bool:
        """Whether we noticed the deadline so late that the answer may have been there."""
        when = deadline.when()
        assert when is not None
        return deadline.expired() and asyncio.get_running_loop().time() - when > self._wait_s * LATE

    async def _look(self) -> None:
        """Does what requests do: a server that answers and may not be written to is away."""
        deadline = asyncio.timeout(self._wait_s)
        try:
            async with deadline:
                with heeded():
                    await self._take(keys=[self.key("limit", "look")], args=[1, 1])
                    for key, token in tuple(self._held.items()):
                        await self._renew(keys=[key], args=[token, _ms(LEASE_S)])
        except Exception as failure:
            if not self._late(deadline):  # else as before
                self._failed(failure)
        else:
            if self._told:
                log.info("redis is back")
            self._away = self._told = False

    def _failed(self, failure: Exception) -> None:
        self._away = True
        if not self._told:
            self._told = True
            reason = str(failure) or type(failure).__name__
            log.warning("redis is away, limits and caches are this process's own", reason=reason)


def _odd(failure: Exception) -> bool:
    return "WRONGTYPE" in str(failure)  # of a script there are words before it


def of(settings: Settings) -> Redis | None:
    """The server of the settings; None: every gateway is its own."""
    if settings.redis_url is None:
        return None
    return Redis(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix, wait_s=settings.redis_s)


def _pool(address: str, *, wait_s: float, retry: object) -> "ConnectionPool":
    from redis.asyncio import ConnectionPool
    from redis.asyncio.connection import parse_url

    options: dict[str, object] = dict(parse_url(address))
    options |= {
        "max_connections": CONNECTIONS_MAX,
        "socket_timeout": wait_s,
        "retry": retry,
        "protocol": 2,  # one round trip less to connect, and servers before 6 know it
    }
    if "path" not in options:
        options["socket_connect_timeout"] = wait_s
    return ConnectionPool(**options)  # type: ignore[arg-type]


def _ms(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))
