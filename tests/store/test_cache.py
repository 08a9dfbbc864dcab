"""Values that are kept for a time and work that is done once, in memory and in Redis."""

import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.cache import Cache
from gateway.store.redis import LEASE_S, Redis
from tests.redis import Server
from tests.store import child
from tests.store.processes import started

KIB = 1024


@pytest.fixture
def cache(shared: Redis | None) -> Cache:
    """The values in memory, and in Redis."""
    return Cache(shared, bytes_max=64 * KIB)


async def test_a_value_comes_back_as_it_was(cache: Cache) -> None:
    value = bytes(range(256)) * 10
    await cache.put("a name: with * signs", value, 60)
    assert await cache.get("a name: with * signs") == value
    await cache.put("a name: with * signs", b"", 60)
    assert await cache.get("a name: with * signs") == b""


async def test_hits_and_misses_are_counted(cache: Cache) -> None:
    await cache.put("there", b"x", 60)
    for name in ("there", "there", "not there"):
        await cache.get(name)
    assert (cache.hits, cache.misses) == (2, 1)


async def test_a_value_is_gone_when_its_time_is_over(cache: Cache) -> None:
    await cache.put("short", b"x", 0.05)
    await cache.put("long", b"x", 60)
    await cache.put("none", b"x", 0)
    await asyncio.sleep(0.1)
    assert await cache.get("short") is None
    assert await cache.get("long") == b"x"
    assert await cache.get("none") is None


async def test_a_forgotten_value_is_gone(cache: Cache) -> None:
    await cache.put("there", b"x", 60)
    await cache.forget("there")
    await cache.forget("not there")
    assert await cache.get("there") is None


async def test_a_cache_that_is_off_keeps_nothing(shared: Redis | None) -> None:
    cache = Cache(shared, bytes_max=KIB, ttl_s_max=0)
    await cache.put("there", b"x", 60)
    assert await cache.get("there") is None
    async with cache.once("there", 1):
        pass


async def test_nothing_stays_longer_than_the_longest_time(shared: Redis | None) -> None:
    cache = Cache(shared, bytes_max=KIB, ttl_s_max=0.05)
    await cache.put("there", b"x", 60)
    await asyncio.sleep(0.1)
    assert await cache.get("there") is None


async def test_one_at_a_time(cache: Cache) -> None:
    inside, most, done = 0, 0, 0

    async def one() -> None:
        nonlocal inside, most, done
        async with cache.once("work", 30):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            done += 1

    await asyncio.gather(*(one() for _ in range(8)))
    assert (most, done) == (1, 8)
    async with cache.once("work", 30), cache.once("other work", 30):
        pass  # names are apart


async def test_who_waited_long_enough_goes_on(cache: Cache) -> None:
    async with cache.once("work", 1), cache.once("work", 0.05):
        pass
    async with cache.once("work", 0):
        pass


async def test_a_failure_ends_the_turn(cache: Cache) -> None:
    with suppress(ValueError):
        async with cache.once("work", 1):
            raise ValueError
    until = time.monotonic() + 5
    async with cache.once("work", 30):
        assert time.monotonic() < until


async def test_a_cancelled_wait_leaves_nothing_behind(cache: Cache) -> None:
    async def one() -> None:
        async with cache.once("work", 30):
            raise AssertionError("it is not its turn")

    async with cache.once("work", 30):
        waiting = asyncio.create_task(one())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    async with cache.once("work", 0):
        pass
    assert not cache._turns


# memory alone


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40)), max_size=60))
def test_memory_is_bounded_and_counted(puts: list[tuple[str, int]]) -> None:
    async def main() -> None:
        cache = Cache(bytes_max=64)
        for name, size in puts:
            await cache.put(name, bytes(size), 60)
            assert await cache.get(name) == bytes(size)
            assert cache.size == sum(len(name) + len(value) for _, value in cache._memory.values.values())
            assert cache.size <= 64

    asyncio.run(main())


async def test_what_was_used_longest_ago_goes_first() -> None:
    cache = Cache(bytes_max=33)
    for name in "abc":
        await cache.put(name, bytes(10), 60)
    await cache.get("a")
    await cache.put("d", bytes(10), 60)
    assert [await cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
    await cache.put("e", bytes(100), 60)
    assert await cache.get("e") is None
    assert cache.entries == 3


# Redis alone


async def test_what_one_gateway_keeps_the_other_has(redis: Redis) -> None:
    one, other = Cache(redis, bytes_max=KIB), Cache(redis, bytes_max=KIB)
    await one.put("there", b"x", 60)
    assert await other.get("there") == b"x"
    await other.forget("there")
    assert await one.get("there") is None
    assert one.entries == 0


async def test_a_turn_that_takes_longer_than_its_lease_is_renewed(
    redis: Redis, redis_server: Server, redis_prefix: str
) -> None:
    key = f"{redis_prefix}:once:work"
    cache = Cache(redis, bytes_max=KIB)
    async with cache.once("work", 30):
        redis_server.ask("PEXPIRE", key, "5000")
        await redis._look()
        assert int(redis_server.ask("PTTL", key)) > 5000
    assert redis_server.ask("EXISTS", key) == "0"


async def test_a_turn_that_is_another_s_by_now_is_left_to_it(
    redis: Redis, redis_server: Server, redis_prefix: str
) -> None:
    key = f"{redis_prefix}:once:work"
    cache = Cache(redis, bytes_max=KIB)
    async with cache.once("work", 30):
        redis_server.ask("SET", key, "another")
        await redis._look()
    assert redis_server.ask("GET", key) == "another"
    assert redis_server.ask("PTTL", key) == "-1"


async def test_a_process_that_dies_keeps_nobody_for_longer_than_its_lease(
    redis: Redis, redis_server: Server, redis_prefix: str
) -> None:
    process, pipe = started(child.hold, redis_server.url, redis_prefix)
    assert pipe.recv() == "held"
    process.kill()
    process.join()
    left_ms = int(redis_server.ask("PTTL", f"{redis_prefix}:once:work"))
    assert 0 < left_ms <= LEASE_S * 1000
    redis_server.ask("PEXPIRE", f"{redis_prefix}:once:work", "200")
    async with Cache(redis, bytes_max=KIB).once("work", 30):
        assert redis_server.ask("GET", f"{redis_prefix}:once:work")
