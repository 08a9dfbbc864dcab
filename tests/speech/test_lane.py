import asyncio

import pytest

from gateway.speech.lane import Lane


async def test_answers_come_in_order_however_the_work_ends() -> None:
    async with asyncio.TaskGroup() as group:
        lane: Lane[int] = Lane(group, lambda: 10)
        gates = [asyncio.Event() for _ in range(4)]

        async def work(number: int) -> int:
            await gates[number].wait()
            return number

        for number in range(4):
            lane.add(work(number))
        for number in (3, 1, 0, 2):
            gates[number].set()
        lane.end(None)
        assert [answer async for answer in lane.answers()] == [0, 1, 2, 3]


async def test_only_so_much_is_in_flight() -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async with asyncio.TaskGroup() as group:
        lane: Lane[None] = Lane(group, lambda: 3)

        async def fill() -> None:
            for _ in range(20):
                await lane.room()
                lane.add(work())
            lane.end(None)

        group.create_task(fill())
        assert len([answer async for answer in lane.answers()]) == 20
    assert most == 3


async def test_a_failure_comes_after_the_answers_before_it() -> None:
    async def work() -> str:
        await asyncio.sleep(0.01)
        return "before"

    async with asyncio.TaskGroup() as group:
        lane: Lane[str] = Lane(group, lambda: 3)
        lane.add(work())
        lane.end(ValueError("broken"))
        answers = lane.answers()
        assert await anext(answers) == "before"
        with pytest.raises(ValueError, match="broken"):
            await anext(answers)
