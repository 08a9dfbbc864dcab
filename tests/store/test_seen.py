"""What must not be used twice, in memory and in Redis."""

import asyncio

import pytest

from gateway.errors import Busy
from gateway.store import seen as module
from gateway.store.redis import Redis
from gateway.store.seen import Seen
from tests.store.conftest import StartRedis, crowded


@pytest.fixture
def seen(shared: Redis | None) -> Seen:
    """The names in memory, and in Redis."""
    return Seen(shared)


async def test_a_name_is_new_once(seen: Seen) -> None:
    assert not await seen.has("signature")
    assert await seen.add("signature", 60)
    assert await seen.has("signature")
    assert not await seen.add("signature", 60)
    assert not await seen.has("another")


async def test_of_many_at_once_one_is_first(seen: Seen) -> None:
    told = await asyncio.gather(*(seen.add("signature", 60) for _ in range(50)))
    assert sum(told) == 1


async def test_a_name_is_new_again_when_its_time_is_over(seen: Seen) -> None:
    await seen.add("short", 0.05)
    await seen.add("long", 60)
    await asyncio.sleep(0.1)
    assert not await seen.has("short")
    assert await seen.add("short", 60)
    assert await seen.has("long")


async def test_what_one_gateway_saw_the_other_knows(redis: Redis) -> None:
    one, other = Seen(redis), Seen(redis)
    told = await asyncio.gather(one.add("signature", 60), other.add("signature", 60))
    assert sorted(told) == [False, True]
    assert await one.has("signature")
    assert await other.has("signature")


async def test_what_a_gateway_saw_it_knows_while_redis_is_away(redis: Redis) -> None:
    seen = Seen(redis)
    await seen.add("signature", 60)
    await redis.close()
    assert redis.state == "away"
    assert await seen.has("signature")
    assert not await seen.add("signature", 60)
    assert await seen.add("another", 60)


async def test_with_too_much_to_do_nothing_is_taken_for_new(start_redis: StartRedis) -> None:
    redis = await start_redis(wait_s=0.1)
    one, other = Seen(redis), Seen(redis)
    await one.add("used", 60)
    async with crowded(redis):
        for name in ("used", "new"):
            with pytest.raises(Busy):
                await other.has(name)
            with pytest.raises(Busy):
                await other.add(name, 60)
        assert not await one.add("used", 60)  # which it knows itself
    assert not await other.add("used", 60)
    assert await other.add("new", 60)  # who was refused may come again


async def test_memory_is_bounded_and_what_is_over_goes_first() -> None:
    now = [0.0]
    seen = Seen(clock=lambda: now[0])
    for number in range(100):
        await seen.add(f"old {number}", 1)
    now[0] = 2
    await seen.add("first", 60)
    assert len(seen._until) == 1
    for number in range(module.NAMES_MAX):
        await seen.add(str(number), 60)
    assert len(seen._until) == module.NAMES_MAX
    assert not await seen.has("first")
    assert await seen.has(str(module.NAMES_MAX - 1))
