"""Two gateways before one site and one Redis."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Rate
from tests.redis import Server
from tests.web.conftest import Front, Start, started, until

PAGE = "page:7400000000000000001"
SECRET = "a secret that two gateways share"


@pytest.fixture
async def pair(start: Start, tmp_path: Path, redis_server: Server, redis_prefix: str) -> Any:
    """Both, and the origin of the first."""
    shared = {"redis_url": redis_server.url, "redis_prefix": redis_prefix, "redis_s": 5, "secret": SECRET}
    one = await start(**shared)
    async with started(tmp_path / "other", **shared, **site(one)) as other:
        yield one, other


def site(front: Front) -> dict[str, Any]:
    """The way to the same origin."""
    return {"proxy_url": front.origin.proxy_url, "proxy_ca_file": front.origin.ca_file}


async def find(front: Front, origin: Front, name: str = "video") -> Any:
    return await front.gateway.extractor.find(origin.origin.url(name))


async def test_a_post_is_extracted_once_for_both(pair: tuple[Front, Front]) -> None:
    one, other = pair
    first = await find(one, one)
    assert await find(other, one) == first
    assert one.origin.hits[PAGE] == 1
    assert (one.gateway.redis_state, other.gateway.redis_state) == ("ok", "ok")


async def test_both_at_once_read_one_page(pair: tuple[Front, Front]) -> None:
    one, other = pair
    found = await asyncio.gather(*(find(front, one) for front in (one, other) * 5))
    assert all(post == found[0] for post in found)
    assert one.origin.hits[PAGE] == 1


async def test_media_come_by_the_other_s_links(pair: tuple[Front, Front]) -> None:
    one, other = pair
    await find(one, one)
    async with other.post("/download", url=one.origin.url("video"), content_type="ORIGINAL") as response:
        assert response.status == 200
        assert one.origin.parts("video")[0] in await response.read()
    assert one.origin.hits[PAGE] == 1


async def test_a_forgotten_post_is_read_again_once(pair: tuple[Front, Front]) -> None:
    one, other = pair
    await find(one, one)
    post = await find(other, one)
    for front in (one, other):  # both were refused the same links
        await front.gateway.extractor.forget(post.id)
        await find(front, one)
    assert one.origin.hits[PAGE] == 2


async def test_a_failure_is_told_and_not_shared(pair: tuple[Front, Front]) -> None:
    one, other = pair
    for front in pair:
        with pytest.raises(Exception, match="private"):
            await find(front, one, "private")
    assert one.origin.hits[f"page:{one.origin.scenarios['private'].id}"] == 2
    assert not other.gateway.cache.hits


async def test_replays_and_buckets_are_known_to_both(pair: tuple[Front, Front]) -> None:
    one, other = pair
    assert await one.gateway.seen.add("signature", 60)
    assert not await other.gateway.seen.add("signature", 60)
    assert await other.gateway.seen.has("signature")
    rate = Rate(2, 0.001)
    for front in pair:
        assert (await front.gateway.limits.take("somebody", rate)).allowed
    for front in pair:
        assert not (await front.gateway.limits.take("somebody", rate)).allowed


async def test_posts_are_served_while_redis_is_away_and_when_it_is_back(
    start: Start, own_redis: Server
) -> None:
    front: Front = await start(redis_url=own_redis.url, redis_s=1)
    await find(front, front)
    for gone, back in ((own_redis.stop, own_redis.start), (own_redis.freeze, own_redis.thaw)):
        gone()
        await front.gateway.extractor.forget(front.origin.scenarios["video"].id)
        async with front.download("video") as response:
            assert front.origin.parts("video")[0] in await response.read()
        assert front.gateway.redis_state == "away"
        back()
        await until(lambda: front.gateway.redis_state == "ok", 30)
    await find(front, front)
    assert front.origin.hits[PAGE] == 3


POSTS = ("video", "photo3", "private", "deleted", "captions")


async def analysed(front: Front, origin: Front, name: str, **wish: Any) -> Any:
    """The answer of the analyzer without what differs each time."""
    async with front.post("/extract", url=origin.origin.url(name), **wish) as response:
        body = await response.json()
        body.pop("metadata")
        for own in ("processing_time_ms", "extracted_at", "cache_hit", "thumbnail_url"):
            (body.get("data") or {}).pop(own, None)
        return response.status, body


async def test_every_answer_is_right_under_load_while_redis_goes_and_comes_back(
    start: Start, tmp_path: Path, own_redis: Server
) -> None:
    shared = {"redis_url": own_redis.url, "redis_s": 1, "secret": SECRET, "rate_limit_capacity": 10_000}
    one: Front = await start(**shared)
    async with started(tmp_path / "other", **shared, **site(one)) as other:
        right = {name: await analysed(one, one, name) for name in POSTS}
        assert {status for status, _ in right.values()} > {200}
        told, over = Counter[str](), asyncio.Event()

        async def ask(front: Front, names: Iterator[str]) -> None:
            while not over.is_set():
                name = next(names)
                if told.total() % 7 == 0:  # a kept post answers without the shelf
                    await front.gateway.extractor.forget(one.origin.scenarios[name].id)
                assert await analysed(front, one, name) == right[name]
                told[front.gateway.redis_state] += 1

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(ask((one, other)[number % 2], islice(cycle(POSTS), number, None)))
            for gone, back in ((own_redis.stop, own_redis.start), (own_redis.freeze, own_redis.thaw)):
                for act, state in ((gone, "away"), (back, "ok")):
                    act()
                    await until(
                        lambda state=state: {one.gateway.redis_state, other.gateway.redis_state} == {state},
                        30,
                    )  # type: ignore[misc]
                    before = told[state]
                    await until(lambda state=state, before=before: told[state] > before + 10, 30)  # type: ignore[misc]
            over.set()
        print(f"answers: {dict(told)}, all right; Redis killed, then frozen")


async def test_a_login_s_posts_are_not_shared(
    start: Start, tmp_path: Path, redis_server: Server, redis_prefix: str
) -> None:
    file = tmp_path / "cookies.txt"
    file.write_text(".tiktok.com\tTRUE\t/\tTRUE\t0\tsessionid\thidden\n")
    front: Front = await start(redis_url=redis_server.url, redis_prefix=redis_prefix, cookies_file=file)
    await find(front, front)
    assert redis_server.ask("KEYS", f"{redis_prefix}:cache:*") == ""


async def test_a_cache_that_is_off_keeps_no_post(
    start: Start, redis_server: Server, redis_prefix: str
) -> None:
    front: Front = await start(redis_url=redis_server.url, redis_prefix=redis_prefix, cache_enabled=False)
    await find(front, front)
    await find(front, front)
    assert front.origin.hits[PAGE] == 2
    assert redis_server.ask("KEYS", f"{redis_prefix}:cache:*") == ""


async def test_without_redis_a_gateway_is_its_own(front: Front) -> None:
    assert front.gateway.redis_state == "not configured"
    await find(front, front)
    await find(front, front)
    assert front.origin.hits[PAGE] == 1
    assert front.gateway.cache.entries == 0
