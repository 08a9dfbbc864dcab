"""How often, how many at once, and how much: each caller for itself."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from gateway.errors import RateLimited
from gateway.settings import Rate
from gateway.store.accounts import Account, Change
from gateway.web.admission import Places
from gateway.web.auth import Caller
from tests.web.callers import ADMIN, asked, code, key
from tests.web.conftest import Front, Start

SLOW = Rate(2, 0.001)  # two calls, and long nothing


async def models(front: Front, **headers: str) -> tuple[int, dict[str, str]]:
    async with front.session.get(front.url + "/v1/models", headers=headers) as response:
        await response.read()
        return response.status, dict(response.headers)


# how often


async def test_a_bucket_tells_what_is_left_and_when_to_come_again(front: Front) -> None:
    mine = await key(front, "alice", change=Change(rate=SLOW))
    for left in (1, 0):
        status, told = await models(front, **mine)
        assert (status, told["RateLimit-Limit"], told["RateLimit-Remaining"]) == (200, "2", str(left))
        assert 0 < int(told["RateLimit-Reset"]) <= 2000
    status, told = await models(front, **mine)
    assert (status, told["RateLimit-Remaining"]) == (429, "0")
    assert 990 <= int(told["Retry-After"]) <= 1000


async def test_one_account_that_calls_too_often_refuses_no_other(front: Front) -> None:
    mine, again = await key(front, "alice", change=Change(rate=SLOW)), await key(front, "alice")
    other = await key(front, "bob")
    assert [(await models(front, **mine))[0] for _ in range(3)] == [200, 200, 429]
    assert (await models(front, **again))[0] == 429  # another key of the same account
    assert (await models(front, **other))[0] == 200


async def test_too_often_is_told_in_the_words_of_each_dialect(start: Start) -> None:
    front = await start(admin_key=ADMIN, rate_limit_capacity=1, rate_limit_refill_per_sec=0.001)
    sent = {"X_API_Key": ADMIN}
    assert (await asked(front, "GET", "/codes", **sent))[0] == 200
    status, body = await asked(front, "POST", "/download", body={}, **sent)
    assert (status, body["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    status, body = await asked(front, "GET", "/v1/models", **sent)
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert code(await asked(front, "GET", "/codes", **sent)) == (429, "RATE_LIMIT_EXCEEDED")


async def test_who_may_not_call_takes_no_tokens(start: Start) -> None:
    front = await start(api_key="one for all", rate_limit_capacity=1, rate_limit_refill_per_sec=0.001)
    for _ in range(3):
        assert (await models(front))[0] == 401
        assert (await asked(front, "GET", "/codes", X_API_Key="one for all"))[0] == 403
    status, told = await models(front, **{"X-API-Key": "one for all"})
    assert (status, told["RateLimit-Remaining"]) == (200, "0")


async def test_strangers_are_counted_by_the_address_that_trusted_proxies_tell(start: Start) -> None:
    front = await start(
        open="true", rate_limit_capacity=1, rate_limit_refill_per_sec=0.001, trusted_proxies="127.0.0.0/8"
    )
    for address in ("203.0.113.7", "203.0.113.8", "2001:db8::1"):
        assert (await models(front, **{"X-Forwarded-For": f"6.6.6.6, {address}"}))[0] == 200
        assert (await models(front, **{"X-Forwarded-For": address}))[0] == 429
    assert (await models(front, **{"X-Forwarded-For": "2001:db8::2"}))[0] == 429


async def test_what_is_open_to_all_and_a_machine_without_keys_are_not_counted(front: Front) -> None:
    for path in ("/v1/models", "/live"):
        for _ in range(70):
            async with front.session.get(front.url + path) as response:
                assert response.status == 200
                assert "RateLimit-Limit" not in response.headers


# how many at once


async def open_stream(front: Front, stack: AsyncExitStack, headers: dict[str, str]) -> aiohttp.ClientResponse:
    body = {"url": front.origin.url("big"), "content_type": "VIDEO_ONLY"}
    response = await stack.enter_async_context(
        front.session.post(front.url + "/download", json=body, headers=headers)
    )
    if response.status == 200:
        await response.content.readany()
    return response


async def test_one_account_whose_places_are_taken_refuses_no_other(front: Front) -> None:
    mine = await key(front, "alice", change=Change(streams_max=1))
    other = await key(front, "bob")
    front.origin.pace(50_000)
    async with AsyncExitStack() as stack:
        assert (await open_stream(front, stack, mine)).status == 200
        refused = await open_stream(front, stack, mine)
        assert (refused.status, (await refused.json())["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await open_stream(front, stack, other)).status == 200
    front.origin.pace(None)

    async def again() -> bool:
        return (await models(front, **mine))[0] == 200

    async with asyncio.timeout(10):
        while not await again():  # whoever left gave his place back
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("failure", [None, RuntimeError, asyncio.CancelledError])
def test_a_place_is_given_back_however_its_request_ends(failure: type[BaseException] | None) -> None:
    places, caller = Places(), Caller(Account("a", "a", frozenset()), "127.0.0.1", stranger=False)
    for _ in range(3):
        try:
            with places.one(caller, 1):
                with pytest.raises(RateLimited), places.one(caller, 1):
                    pass
                if failure is not None:
                    raise failure
        except (RuntimeError, asyncio.CancelledError):
            pass
    assert len(places) == 0


async def test_a_machine_without_keys_has_any_number_of_places(start: Start) -> None:
    front = await start(streams_max=1)
    front.origin.pace(50_000)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            assert (await open_stream(front, stack, {})).status == 200


# how much


async def plan(front: Front, headers: dict[str, str]) -> tuple[int, Any]:
    body = {"url": front.origin.url("video"), "content_type": "VIDEO_ONLY"}
    return await asked(front, "POST", "/download/plan", body=body, X_API_Key=headers["X-API-Key"])


async def test_bytes_are_counted_to_the_account_and_run_out(front: Front) -> None:
    mine = await key(front, "alice", change=Change(month_bytes_max=100_000))
    other = await key(front, "bob")
    body = {"url": front.origin.url("video"), "content_type": "VIDEO_ONLY"}
    async with front.session.post(front.url + "/download", json=body, headers=mine) as response:
        assert response.status == 200
        count = len(await response.read())
    assert count > 100_000

    async def used(account: str) -> int:
        return (await front.gateway.usage.used(account)).bytes_out

    async with asyncio.timeout(10):
        while not await used("alice"):
            await asyncio.sleep(0.01)
    assert await used("alice") == count
    status, told = await plan(front, mine)
    assert (status, told["code"]) == (429, "QUOTA_EXCEEDED")
    assert (await plan(front, other))[0] == 200
    assert (await asked(front, "GET", "/transcripts", X_API_Key=mine["X-API-Key"]))[0] == 200
    # a plain answer counts too, and what is counted is kept
    answer = await used("bob")
    assert answer > 100
    await front.gateway.usage.write()
    assert (await used("alice"), await used("bob")) == (count + len('{"transcripts":[],"next":null}'), answer)


async def test_a_stream_that_breaks_counts_what_was_sent(front: Front) -> None:
    mine = await key(front, "alice")
    front.origin.pace(200_000)
    async with AsyncExitStack() as stack:
        await open_stream(front, stack, mine)
    async with asyncio.timeout(10):
        while not (await front.gateway.usage.used("alice")).bytes_out:
            await asyncio.sleep(0.01)
