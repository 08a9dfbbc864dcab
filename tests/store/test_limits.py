"""Buckets of tokens: the same answers from memory and from Redis, and exact to the second."""

import asyncio
from itertools import count
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.settings import Rate, Settings
from gateway.store.limits import BUCKETS_MAX, Limits, judged
from gateway.store.redis import TAKE, Redis
from tests.redis import Server
from tests.store import child
from tests.store.conftest import StartRedis, crowded
from tests.store.processes import heard, started

START_US = 1_790_000_000_000_000
SECOND_US = 1_000_000

rates = st.builds(
    Rate,
    capacity=st.integers(1, 10_000),
    refill_per_s=st.one_of(
        st.sampled_from([1.0, 0.1, 1 / 60, 7.0, 10.0, 1 / 3, 3.0, 1e6]), st.floats(0.001, 1e5)
    ),
)


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us


async def emptied(limits: Limits, rate: Rate, name: str = "somebody") -> int:
    """Takes until nothing is left; how many there were."""
    taken = 0
    while (await limits.take(name, rate)).allowed:
        taken += 1
    return taken


# exactness, by a clock that is turned


@given(rate=rates, steps=st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 50)), max_size=30))
def test_retry_after_is_exact(rate: Rate, steps: list[tuple[int, int]]) -> None:
    async def main() -> None:
        clock = Clock()
        limits = Limits(clock_us=clock)
        for wait_us, tokens in steps:
            clock.us += wait_us
            verdict = await limits.take("somebody", rate, tokens)
            assert 0 <= verdict.remaining <= verdict.limit == rate.capacity
            assert (verdict.retry_after_s == 0) is verdict.allowed
            if verdict.allowed:
                continue
            # one second less is too early, and refused calls cost nothing
            clock.us += (verdict.retry_after_s - 1) * SECOND_US
            assert not (await limits.take("somebody", rate, tokens)).allowed
            clock.us += SECOND_US
            assert (await limits.take("somebody", rate, tokens)).allowed

    asyncio.run(main())


@given(rate=rates, started_us=st.integers(0, 10**6))
def test_a_full_bucket_holds_exactly_its_capacity_and_fills_at_its_rate(rate: Rate, started_us: int) -> None:
    async def main() -> None:
        clock = Clock()
        clock.us += started_us
        limits = Limits(clock_us=clock)
        assert (await limits.take("somebody", rate, rate.capacity)).remaining == 0
        assert not (await limits.take("somebody", rate)).allowed
        clock.us += rate.interval_us - 1
        assert not (await limits.take("somebody", rate)).allowed
        clock.us += 1
        assert (await limits.take("somebody", rate)).remaining == 0
        verdict = await limits.take("somebody", rate)
        assert not verdict.allowed
        clock.us += round(verdict.reset_s * SECOND_US)
        assert (await limits.take("somebody", rate)).remaining == rate.capacity - 1

    asyncio.run(main())


@given(rate=rates)
def test_a_rate_is_kept_over_long_times(rate: Rate) -> None:
    assert rate.interval_us == pytest.approx(1e6 / rate.refill_per_s, abs=0.5)


@given(rate=rates, tokens=st.integers(0, 20_000), part=st.floats(0, 1))
def test_a_verdict_agrees_with_itself(rate: Rate, tokens: int, part: float) -> None:
    whole_us = rate.capacity * rate.interval_us
    verdict = judged(int(part * whole_us), rate, tokens)
    left_us = round(verdict.reset_s * SECOND_US)
    assert verdict.remaining == (whole_us - left_us) // rate.interval_us
    if tokens == 0:
        assert verdict.allowed


async def test_who_asks_for_more_than_there_ever_is_gets_all_of_it() -> None:
    limits, rate = Limits(), Rate(3, 0.001)
    assert (await limits.take("somebody", rate, 5)).allowed
    assert not (await limits.take("somebody", rate)).allowed


@pytest.mark.parametrize(("capacity", "refill"), [(0, 1), (1, 0), (1, -1), (1, float("nan")), (10**6, 1e-4)])
def test_a_rate_that_cannot_be_kept_is_refused(capacity: int, refill: float) -> None:
    with pytest.raises(ValueError):
        Rate(capacity, refill)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"capacity": capacity, "refill_per_s": refill}, Rate)


def test_the_rates_are_those_of_the_settings() -> None:
    assert settings().rate == Rate(60, 1.0)
    assert settings(rate_limit_capacity=5, rate_limit_refill_per_sec=0.1).rate == Rate(5, 0.1)
    assert settings(requests_per_minute_max=30).analyzer_rate == Rate(30, 0.5)
    with pytest.raises(ValidationError, match="within a year"):
        settings(rate_limit_capacity=1_000_000, rate_limit_refill_per_sec=0.001)


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)


async def test_buckets_in_memory_are_bounded_and_those_in_use_stay() -> None:
    limits, rate = Limits(), Rate(2, 0.0001)
    await limits.take("hot", rate, 2)
    for number in range(BUCKETS_MAX - 1):
        await limits.take(str(number), rate)
    await limits.take("0", rate)
    await limits.take("one more", rate)
    assert len(limits._own._full_at_us) == BUCKETS_MAX
    assert not (await limits.take("0", rate)).allowed


async def test_a_clock_that_went_back_empties_a_bucket_and_no_more() -> None:
    clock = Clock()
    limits, rate = Limits(clock_us=clock), Rate(5, 1.0)
    await limits.take("somebody", rate)
    clock.us -= 3600 * SECOND_US
    assert (await limits.take("somebody", rate)).retry_after_s == 1


# the same from both


@pytest.fixture
def limits(shared: Redis | None) -> Limits:
    """The buckets in memory, and in Redis."""
    return Limits(shared)


async def test_a_bucket_is_full_at_first_and_tells_what_is_left(limits: Limits) -> None:
    rate = Rate(5, 0.01)
    told = [await limits.take("somebody", rate) for _ in range(6)]
    assert [one.allowed for one in told] == [True] * 5 + [False]
    assert [one.remaining for one in told] == [4, 3, 2, 1, 0, 0]
    assert {one.limit for one in told} == {5}
    assert told[0].reset_s == 100
    assert 499 <= told[5].reset_s <= 500
    assert told[5].retry_after_s == 100


async def test_each_name_has_a_bucket(limits: Limits) -> None:
    rate = Rate(1, 0.001)
    assert (await limits.take("somebody", rate)).allowed
    assert not (await limits.take("somebody", rate)).allowed
    assert (await limits.take("somebody else: with * signs\n", rate)).allowed


async def test_a_bucket_fills_again(limits: Limits) -> None:
    rate = Rate(2, 1.0)
    await limits.take("somebody", rate, 2)
    refused = await limits.take("somebody", rate)
    assert refused.retry_after_s == 1
    await asyncio.sleep(refused.retry_after_s + 0.05)  # timers are sometimes a little early
    assert (await limits.take("somebody", rate)).allowed


async def test_several_tokens_are_taken_together_or_not_at_all(limits: Limits) -> None:
    rate = Rate(5, 0.001)
    assert (await limits.take("somebody", rate, 3)).remaining == 2
    refused = await limits.take("somebody", rate, 3)
    assert (refused.allowed, refused.remaining) == (False, 2)
    assert 990 <= refused.retry_after_s <= 1000
    assert (await limits.take("somebody", rate, 2)).remaining == 0


async def test_a_look_costs_nothing(limits: Limits) -> None:
    rate = Rate(2, 0.001)
    assert (await limits.take("somebody", rate, 0)).remaining == 2
    await limits.take("somebody", rate)
    assert (await limits.take("somebody", rate, 0)).remaining == 1


async def test_less_capacity_than_before_is_an_empty_bucket(limits: Limits) -> None:
    await limits.take("somebody", Rate(1000, 1.0), 1000)
    refused = await limits.take("somebody", Rate(10, 1.0))
    assert (refused.allowed, refused.retry_after_s, refused.remaining) == (False, 1, 0)


@pytest.mark.parametrize("rate", [Rate(1_000_000, 1.0), Rate(1, 1 / (360 * 24 * 3600)), Rate(1000, 1e6)])
async def test_extreme_rates_are_exact(limits: Limits, rate: Rate) -> None:
    first = await limits.take("somebody", rate)
    assert first.remaining == rate.capacity - 1
    assert first.reset_s * SECOND_US == rate.interval_us


async def test_many_at_once_get_no_more_than_there_is(limits: Limits) -> None:
    rate = Rate(50, 0.001)
    told = await asyncio.gather(*(limits.take("somebody", rate) for _ in range(200)))
    assert sum(one.allowed for one in told) == 50


# Redis alone


def test_redis_counts_as_memory_does(redis_server: Server, redis_prefix: str) -> None:
    """The script at times of ours: every answer is that of a bucket in memory."""
    script = TAKE.replace("redis.call('TIME')", "{ARGV[3], ARGV[4]}").replace("redis.call('PEXPIRE'", "-- ")
    names = count()

    @given(
        rate=rates,
        # (times that go back too)
        steps=st.lists(st.tuples(st.integers(-(10**6), 10**7), st.integers(0, 50)), max_size=20),
    )
    def same(rate: Rate, steps: list[tuple[int, int]]) -> None:
        key, clock = f"{redis_prefix}:same:{next(names)}", Clock()
        limits = Limits(clock_us=clock)
        for wait_us, tokens in steps:
            clock.us += wait_us
            here = loop.run(limits.take("somebody", rate, tokens))
            cost_us = min(tokens, rate.capacity) * rate.interval_us
            args = [cost_us, rate.capacity * rate.interval_us, *divmod(clock.us, SECOND_US)]
            assert judged(int(take(keys=[key], args=args)), rate, tokens) == here

    with redis.Redis.from_url(redis_server.url) as client, asyncio.Runner() as loop:
        take = client.register_script(script)
        same()


async def test_two_processes_share_a_bucket(redis_server: Server, redis_prefix: str) -> None:
    processes = [started(child.take, redis_server.url, redis_prefix, 40) for _ in range(2)]
    for _, pipe in processes:
        pipe.send("go")
    told = [await asyncio.to_thread(heard, pipe) for _, pipe in processes]
    for process, _ in processes:
        process.join()
    assert sum(told) == 50


async def test_the_bucket_of_redis_goes_when_it_is_full_again(
    redis: Redis, redis_server: Server, redis_prefix: str
) -> None:
    await Limits(redis).take("somebody", Rate(10, 2.0), 10)
    assert 4000 < int(redis_server.ask("PTTL", f"{redis_prefix}:limit:somebody")) <= 5000


async def test_a_foreign_value_under_the_name_is_a_full_bucket(
    redis: Redis, redis_server: Server, redis_prefix: str
) -> None:
    redis_server.ask("SET", f"{redis_prefix}:limit:somebody", "not a number")
    assert (await Limits(redis).take("somebody", Rate(2, 1.0))).remaining == 1
    assert redis.state == "ok"


async def test_who_finds_no_place_in_redis_finds_no_full_bucket(start_redis: StartRedis) -> None:
    redis = await start_redis(wait_s=0.1)
    limits, rate = Limits(redis), Rate(3, 0.001)
    assert await emptied(limits, rate) == 3
    async with crowded(redis):
        assert not (await limits.take("somebody", rate)).allowed
        assert await emptied(limits, rate, "another") == 3
    assert redis.state == "ok"
