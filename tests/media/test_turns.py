import asyncio

import pytest

from gateway.errors import Busy
from gateway.media.turns import Turns


async def test_so_many_work_and_so_many_wait_and_the_next_is_refused() -> None:
    turns, go_on, most, now = Turns(2, waiting_max=3, wait_s=10), asyncio.Event(), 0, 0

    async def work() -> None:
        nonlocal most, now
        async with turns.one():
            now += 1
            most = max(most, now)
            await go_on.wait()
            now -= 1

    working = [asyncio.ensure_future(work()) for _ in range(5)]
    await asyncio.sleep(0.01)
    with pytest.raises(Busy):
        await work()
    go_on.set()
    await asyncio.gather(*working)
    assert most == 2
    await work()


async def test_nobody_waits_for_ever() -> None:
    turns = Turns(1, waiting_max=3, wait_s=0.05)
    async with turns.one():
        with pytest.raises(Busy):
            async with turns.one():
                pass
    async with turns.one():
        pass


async def test_who_leaves_the_queue_gives_up_no_turn() -> None:
    turns = Turns(1, waiting_max=1, wait_s=10)

    async def wait() -> None:
        async with turns.one():
            pass

    async with turns.one():
        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        again = asyncio.ensure_future(wait())  # the place in the queue is free
        await asyncio.sleep(0.01)
    await again
