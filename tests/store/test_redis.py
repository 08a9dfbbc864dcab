"""Redis going and coming back: nothing fails, nothing waits for long, and it is told once."""

import asyncio
import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from gateway.settings import Rate, Settings
from gateway.store.cache import Cache
from gateway.store.limits import Limits
from gateway.store.redis import CONNECTIONS_MAX, Away, Full, Odd, Redis
from gateway.store.seen import Seen
from tests.redis import PASSWORD, Server, _escaped
from tests.store.conftest import StartRedis, crowded

KIB = 1024
RATE = Rate(3, 0.001)


async def until(true: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def use(redis: Redis) -> None:
    """Everything that requests do, whatever the state; none of it may raise."""
    cache, seen = Cache(redis, bytes_max=KIB), Seen(redis)
    name = secrets.token_hex(4)
    assert (await Limits(redis).take(name, RATE)).remaining == 2
    assert await seen.add(name, 60)
    assert await seen.has(name)
    await cache.put(name, b"x", 60)
    await cache.get(name)
    async with cache.once(name, 5):
        pass
    await cache.forget(name)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_it_goes_and_comes_back(own_redis: Server, start_redis: StartRedis, how: str) -> None:
    with structlog.testing.capture_logs() as lines:
        redis = await start_redis(own_redis.url, look_s=0.05, wait_s=1)
        await use(redis)
        assert redis.state == "ok"
        for _ in range(2):
            (own_redis.stop if how == "killed" else own_redis.freeze)()
            await asyncio.gather(*(use(redis) for _ in range(20)))
            await until(lambda: redis.state == "away")
            await asyncio.sleep(0.5)  # it is looked at meanwhile
            (own_redis.start if how == "killed" else own_redis.thaw)()
            await until(lambda: redis.state == "ok")
            await asyncio.gather(*(use(redis) for _ in range(20)))
            assert redis.state == "ok"
    told = [line["event"].partition(",")[0] for line in lines]
    assert told == ["redis is away", "redis is back"] * 2
    assert PASSWORD not in repr(lines)
    assert _escaped(PASSWORD) not in repr(lines)


async def test_while_it_is_away_each_bucket_begins_full_and_holds(
    own_redis: Server, start_redis: StartRedis
) -> None:
    redis = await start_redis(own_redis.url, look_s=60)
    limits = Limits(redis)
    await limits.take("somebody", RATE, 3)
    own_redis.stop()
    told = [await limits.take("somebody", RATE) for _ in range(4)]
    assert [one.allowed for one in told] == [True, True, True, False]


async def test_a_lock_that_was_lost_with_it_harms_nobody(own_redis: Server, start_redis: StartRedis) -> None:
    redis = await start_redis(own_redis.url, look_s=60)
    cache = Cache(redis, bytes_max=KIB)
    async with cache.once("work", 5):
        own_redis.stop()
        async with cache.once("work", 5):  # this process's own turn
            pass


async def test_who_waits_for_a_turn_goes_on_when_it_goes(own_redis: Server, start_redis: StartRedis) -> None:
    redis = await start_redis(own_redis.url, look_s=60)
    cache = Cache(redis, bytes_max=KIB)
    entered = asyncio.Event()

    async def second() -> None:
        async with cache.once("work", 60):
            entered.set()

    async with cache.once("work", 60), asyncio.TaskGroup() as tasks:
        tasks.create_task(second())
        await asyncio.sleep(0.2)
        assert not entered.is_set()
        own_redis.stop()
        await asyncio.wait_for(entered.wait(), 30)


async def test_a_server_that_restarts_between_two_calls_is_not_away(
    own_redis: Server, start_redis: StartRedis
) -> None:
    redis = await start_redis(own_redis.url, look_s=60)
    await asyncio.gather(*(use(redis) for _ in range(20)))
    own_redis.stop()
    own_redis.start()
    await asyncio.gather(*(use(redis) for _ in range(20)))
    assert redis.state == "ok"


@pytest.mark.parametrize(
    "command",
    [
        ("REPLICAOF", "127.0.0.1", "1"),  # it may be read only
        ("CONFIG", "SET", "maxmemory", "1"),  # it is full
        ("CONFIG", "SET", "requirepass", "another"),  # (connections that are there stay)
    ],
)
async def test_a_server_that_refuses_is_away(
    own_redis: Server, start_redis: StartRedis, command: tuple[str, ...]
) -> None:
    own_redis.ask(*command)
    redis = await start_redis(own_redis.url, look_s=0.05)
    await use(redis)
    await asyncio.sleep(0.2)
    assert redis.state == "away"
    await use(redis)


async def test_what_is_no_redis_is_away(start_redis: StartRedis) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        redis = await start_redis(f"redis://127.0.0.1:{port}")
        await use(redis)
        assert redis.state == "away"


async def test_a_start_without_it_is_no_failure(start_redis: StartRedis) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        redis = await start_redis(f"redis://127.0.0.1:{taken.getsockname()[1]}")
        assert redis.state == "away"
        await use(redis)


async def test_connections_are_bounded(own_redis: Server, start_redis: StartRedis) -> None:
    redis = await start_redis(own_redis.url)
    limits = Limits(redis)

    async def several(name: str) -> None:
        for _ in range(20):
            await limits.take(name, RATE)

    # who asks again and again does not keep others waiting
    await asyncio.gather(*(several(str(number)) for number in range(200)))
    assert redis.state == "ok"
    connected = own_redis.ask("CLIENT", "LIST", "TYPE", "normal").splitlines()
    assert 1 < len(connected) <= CONNECTIONS_MAX + 1  # and the one that asks
    await redis.close()
    await until(lambda: len(own_redis.ask("CLIENT", "LIST", "TYPE", "normal").splitlines()) == 1)


async def test_who_gets_no_place_in_time_does_not_find_it_away(start_redis: StartRedis) -> None:
    redis = await start_redis(wait_s=0.1, look_s=60)
    async with crowded(redis):
        with pytest.raises(Full):
            await redis.get("nothing")
        assert redis.state == "ok"
    assert await redis.get("nothing") is None


async def test_who_is_late_himself_does_not_find_it_away(start_redis: StartRedis) -> None:
    redis = await start_redis(wait_s=0.2, look_s=60)
    await redis.get("nothing")
    asking = [asyncio.ensure_future(redis.get("nothing")) for _ in range(10)]
    await asyncio.sleep(0)
    time.sleep(0.4)  # other work of this process, meanwhile it answers
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert all(one is None or isinstance(one, Full) for one in told)
    assert redis.state == "ok"


async def test_who_waits_for_a_place_while_it_goes_is_told_so(
    own_redis: Server, start_redis: StartRedis
) -> None:
    redis = await start_redis(own_redis.url, wait_s=1, look_s=60)
    own_redis.freeze()
    told = await asyncio.gather(
        *(redis.get("nothing") for _ in range(CONNECTIONS_MAX * 3)), return_exceptions=True
    )
    assert {type(one) for one in told} == {Away}
    assert redis.state == "away"


async def test_a_key_of_another_kind_is_no_failure_of_the_server(
    own_redis: Server, start_redis: StartRedis
) -> None:
    redis = await start_redis(own_redis.url)
    for kind in ("cache", "lease", "limit"):
        own_redis.ask("LPUSH", redis.key(kind, "one"), "x")
    with pytest.raises(Odd):
        await redis.get("one")
    with pytest.raises(Odd):
        await redis.lease("one", "token")
    with pytest.raises(Odd):  # of a script
        await redis.take("one", 1, 1)
    assert redis.state == "ok"
    await use(redis)


async def test_who_is_cancelled_at_any_moment_ends(redis_server: Server, start_redis: StartRedis) -> None:
    """The client takes a cancellation for a failure of its connection, and tries again."""
    redis = await start_redis(redis_server.url)

    async def polls() -> None:
        while True:
            with suppress(Away):
                await redis.get("nothing")
            await asyncio.sleep(0)

    chance = random.Random(7)
    for _ in range(40):
        tasks = [asyncio.ensure_future(polls()) for _ in range(20)]
        await asyncio.sleep(chance.uniform(0, 0.02))
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=10)
        assert not left
        assert redis.state == "ok"


async def test_who_leaves_in_the_middle_spoils_nobody_s_answer(
    own_redis: Server, start_redis: StartRedis
) -> None:
    redis, chance = await start_redis(own_redis.url), random.Random(1)
    cache = Cache(redis, bytes_max=KIB)
    names = [str(number) for number in range(50)]
    for name in names:
        await cache.put(name, name.encode(), 60)
    for _ in range(40):
        leaving = [asyncio.create_task(cache.get(chance.choice(names))) for _ in range(30)]
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        for one in leaving:
            one.cancel()
        found = await asyncio.gather(*(cache.get(name) for name in names))
        assert found == [name.encode() for name in names]
        await asyncio.gather(*leaving, return_exceptions=True)
    assert redis.state == "ok"


@pytest.mark.parametrize("way", ["url", "tls_url", "unix_url"])
async def test_each_kind_of_address_works(
    redis_server: Server, redis_prefix: str, start_redis: StartRedis, way: str
) -> None:
    url = getattr(redis_server, way)
    assert Settings(_env_file=None, redis_url=url).redis_url is not None  # type: ignore[call-arg]
    redis = await start_redis(url)
    assert redis.state == "ok"
    await use(redis)
    await Cache(redis, bytes_max=KIB).put("there", b"x", 60)
    assert redis_server.ask("EXISTS", f"{redis_prefix}:cache:there") == "1"


async def test_a_database_of_it_may_be_named(redis_server: Server, start_redis: StartRedis) -> None:
    zero, three = await start_redis(), await start_redis(f"{redis_server.url}/3")
    await Cache(zero, bytes_max=KIB).put("there", b"x", 60)
    assert await Cache(three, bytes_max=KIB).get("there") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hidden@", "http://:hidden@host:6379", "redis://:hidden@host:port", "host:6379/hidden",
        "redis://:hidden@host/name", "redis://:hidden@host?foo=1", "redis://:hidden@host?ssl_ca_certs=x",
        "redis://:hidden@host?db=x", "unix:///hidden?db=", "unix://hidden", "redis://a:hidden#c@host",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(redis_url=url)
    assert "hidden" not in str(refused.value)


WITHOUT = (
    "import sys; sys.modules['redis'] = None; from gateway.__main__ import app; import gateway.wiring; app()"
)


@pytest.mark.parametrize(("url", "status"), [("redis://host", 2), ("", 0)])
def test_without_its_package_only_the_setting_is_refused(tmp_path: Path, url: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "db", "upgrade"],
        env=os.environ | {"REDIS_URL": url, "GATEWAY_DATA_DIR": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert ("pip install clipwire[redis]" in done.stderr) is bool(status)


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)
