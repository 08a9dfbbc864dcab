"""The logs of transcripts in Redis: a run writes its own, what is lost is written again, and all ends."""

import pytest

from gateway.store.feed import CUT, Feed, new_run
from gateway.store.redis import Away, Odd
from tests.redis import Server
from tests.store.conftest import StartRedis

ABOUT = b"{}"


async def append(feed: Feed, run: str, *lines: bytes, start: int, newest: bool = False) -> int:
    return await feed.append("one", run, ABOUT, lines, start=start, keep_s=60, newest=newest)


async def test_events_are_read_from_any_number(start_redis: StartRedis) -> None:
    feed, run = Feed(await start_redis()), new_run()
    assert await append(feed, run, b"a", b"b", start=0, newest=True) == 2
    assert await append(feed, run, b"c", start=2) == 3
    assert await feed.read({run: 0}) == {run: [(0, b"a"), (1, b"b"), (2, b"c")]}
    assert await feed.read({run: 2, new_run(): 0}) == {run: [(2, b"c")]}
    assert await feed.read({run: 3}) == {}
    assert await feed.about(["one", "other"]) == [ABOUT, None]


async def test_what_was_written_before_is_not_written_twice(start_redis: StartRedis) -> None:
    """The answer to a first try may have been lost."""
    feed, run = Feed(await start_redis()), new_run()
    await append(feed, run, b"a", b"b", start=0, newest=True)
    assert await append(feed, run, b"a", b"b", start=0) == 2
    assert await append(feed, run, b"d", start=3) == 2  # one is missing, which it tells
    assert await feed.read({run: 0}) == {run: [(0, b"a"), (1, b"b")]}


async def test_who_is_not_the_newest_writes_nothing(start_redis: StartRedis) -> None:
    feed, old, new = Feed(await start_redis()), new_run(), new_run()
    await append(feed, old, b"a", start=0, newest=True)
    await append(feed, new, b"x", start=0, newest=True)
    assert await append(feed, old, b"b", start=1) == -1
    assert await feed.read({old: 0, new: 0}) == {old: [(0, b"a")], new: [(0, b"x")]}


async def test_a_log_that_was_lost_is_asked_for_again(own_redis: Server, start_redis: StartRedis) -> None:
    feed, run = Feed(await start_redis(own_redis.url)), new_run()
    await append(feed, run, b"a", b"b", start=0, newest=True)
    own_redis.ask("FLUSHALL")
    assert await append(feed, run, b"c", start=2) == 0
    assert await append(feed, run, b"a", b"b", b"c", start=0) == 3
    assert await feed.read({run: 1}) == {run: [(1, b"b"), (2, b"c")]}


async def test_everything_has_an_end(own_redis: Server, start_redis: StartRedis) -> None:
    feed = Feed(await start_redis(own_redis.url))
    await append(feed, new_run(), b"a", start=0, newest=True)
    await feed.tell("process", b"asked")
    await feed.answer("name", b"answered")
    keys = own_redis.ask("KEYS", "*").splitlines()
    ends = {key: int(own_redis.ask("PTTL", key)) for key in keys if ":limit:" not in key}
    assert len(ends) == 4
    assert all(end > 0 for end in ends.values())


async def test_what_is_asked_is_heard_once_and_answered(start_redis: StartRedis) -> None:
    feed = Feed(await start_redis())
    assert await feed.asked("process", "0") == []
    for one in (b"a", b"b"):
        await feed.tell("process", one)
    (first, _), (last, _) = found = await feed.asked("process", "0")
    assert [asked for _, asked in found] == [b"a", b"b"]
    assert [asked for _, asked in await feed.asked("process", first)] == [b"b"]
    assert await feed.asked("process", last) == []
    assert await feed.answered("name") is None
    await feed.answer("name", b"done")
    assert await feed.answered("name") == b"done"


async def test_what_is_no_event_cuts_its_own_log_only(own_redis: Server, start_redis: StartRedis) -> None:
    redis = await start_redis(own_redis.url)
    feed, odd, other, well = Feed(redis), new_run(), new_run(), new_run()
    for run in (other, well):
        await append(feed, run, b"a", start=0, newest=True)
    own_redis.ask("LPUSH", redis.key("log", odd), "x")
    own_redis.ask("XADD", redis.key("log", other), "2-0", "field", "x")
    own_redis.ask("XADD", redis.key("log", other), "2-1", "event", "x")
    own_redis.ask("XADD", redis.key("log", other), "900000-0", "event", "x")
    assert await feed.read({odd: 3, other: 0, well: 0}) == {
        odd: [(3, CUT)],
        other: [(0, b"a"), (1, CUT), (1, CUT), (899_999, b"x")],
        well: [(0, b"a")],
    }
    with pytest.raises(Odd):
        await append(feed, odd, b"a", start=0, newest=True)
    assert redis.state == "ok"


async def test_an_inbox_that_is_none_is_one_again(own_redis: Server, start_redis: StartRedis) -> None:
    redis = await start_redis(own_redis.url)
    feed = Feed(redis)
    own_redis.ask("LPUSH", redis.key("inbox", "process"), "x")
    with pytest.raises(Odd):
        await feed.tell("process", b"a")
    assert await feed.asked("process", "0") == []
    own_redis.ask("XADD", redis.key("inbox", "process"), "*", "field", "x")
    await feed.tell("process", b"b")
    assert [asked for _, asked in await feed.asked("process", "0")] == [b"", b"b"]
    assert redis.state == "ok"


async def test_while_redis_is_away_it_says_so(own_redis: Server, start_redis: StartRedis) -> None:
    feed = Feed(await start_redis(own_redis.url, look_s=60))
    own_redis.stop()
    with pytest.raises(Away):
        await append(feed, new_run(), b"a", start=0)
    with pytest.raises(Away):
        await feed.about(["one"])
