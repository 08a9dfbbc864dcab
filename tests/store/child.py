"""What tests do in processes of their own: make tables, race for codes, use them until they are killed."""

import asyncio
import os
import random
import signal
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa
import uvloop
from sqlalchemy import event

from gateway.errors import CodeHeld, CodeUsed
from gateway.settings import Rate
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.holds import Holds
from gateway.store.limits import Limits
from gateway.store.redis import Redis
from gateway.store.stored import Draft, new_id
from gateway.store.transcripts import Transcripts
from tests.store.making import said

TEXTS = ("a red kite", "over a quiet harbour", "赤い凧")


def upgrade(url: str, pipe: Connection) -> None:
    """Makes the tables when told to."""

    async def main() -> None:
        database = Database(url)
        pipe.send("ready")
        pipe.recv()
        await schema.upgrade(database)
        await database.close()

    uvloop.run(main())


def race(url: str, codes: list[str], tasks: int, pipe: Connection) -> None:
    """Wants each code when told to; tells how many of its tasks got it, and how the others were refused."""

    async def main() -> None:
        database = Database(url)
        holds = Holds(database)

        async def one(code: str) -> str:
            try:
                await holds.hold(code)
            except (CodeHeld, CodeUsed) as refused:
                return refused.code
            return "won"

        pipe.send("ready")
        for code in codes:
            pipe.recv()
            pipe.send(await asyncio.gather(*(one(code) for _ in range(tasks))))
        await database.close()

    uvloop.run(main())


def take(url: str, prefix: str, times: int, pipe: Connection) -> None:
    """Takes from one bucket so many times when told to; tells how often there was something in it."""

    async def main() -> None:
        redis = Redis(url, prefix=prefix, wait_s=5)
        await redis.start()
        limits, rate = Limits(redis), Rate(50, 0.001)
        pipe.send("ready")
        pipe.recv()
        told = await asyncio.gather(*(limits.take("somebody", rate) for _ in range(times)))
        assert redis.state == "ok"
        await redis.close()
        pipe.send(sum(one.allowed for one in told))

    uvloop.run(main())


def hold(url: str, prefix: str, pipe: Connection) -> None:
    """Has its turn until it is killed."""

    async def main() -> None:
        redis = Redis(url, prefix=prefix, wait_s=5)
        await redis.start()
        pipe.send("ready")
        async with redis.once("work", 30):
            pipe.send("held")
            await asyncio.sleep(3600)

    uvloop.run(main())


def use(url: str, codes: list[tuple[str, str]], seed: str, steps: int | None, pipe: Connection) -> None:
    """Holds codes and posts or voids them, several at once; tells each post once it is committed.

    Ends itself as a crash would before the step of that number: a statement or a commit.
    """
    if steps is not None:
        _die_at(steps)

    async def main() -> None:
        database, chance = Database(url), random.Random(seed)
        holds, transcripts = Holds(database), Transcripts(database)
        left = list(codes)

        async def worker() -> None:
            while left:
                id_, code = left.pop()
                hold = await holds.hold(code)
                await holds.price(hold, 6000)
                if chance.random() < 0.3:
                    await holds.void(hold)
                    hold = await holds.hold(code)
                hold = await holds.renew(hold)
                draft = Draft(new_id())
                async with database.transaction() as tx:
                    first = chance.random() < 0.5
                    if first:
                        await transcripts.begin(tx, draft)
                        await transcripts.append(tx, draft.id, said(*TEXTS))
                    else:
                        await transcripts.save(tx, draft, said(*TEXTS))
                    await holds.post(tx, hold, draft.id)
                pipe.send((id_, draft.id))

        pipe.send("ready")
        await asyncio.gather(*(worker() for _ in range(4)))
        pipe.send("done")
        await asyncio.sleep(3600)  # until it is killed

    uvloop.run(main())


def _die_at(steps: int) -> None:
    done = 0

    def step(*_: Any) -> None:
        nonlocal done
        done += 1
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(sa.Engine, "before_cursor_execute", step)
    event.listen(sa.Engine, "commit", step)
