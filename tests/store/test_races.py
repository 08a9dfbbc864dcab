import asyncio
import random
from collections import Counter

from gateway.errors import CodeHeld, CodeUsed, HoldLost
from gateway.store.codes import Codes
from gateway.store.database import Database
from gateway.store.holds import Hold, Holds
from gateway.store.stored import Draft
from gateway.store.transcripts import Transcripts
from tests.store import child
from tests.store.making import lapse, said
from tests.store.processes import heard, started

TASKS = 50
PROCESSES = 4
ROUNDS = 5


async def test_of_many_tasks_one_gets_the_code(database: Database) -> None:
    (issued,) = await Codes(database).issue(1, seconds=60)
    holds = Holds(database)
    ends = await asyncio.gather(*(holds.hold(issued.code) for _ in range(TASKS)), return_exceptions=True)
    assert Counter(type(end) for end in ends) == {Hold: 1, CodeHeld: TASKS - 1}


async def test_of_many_processes_one_gets_the_code(database: Database, url: str) -> None:
    issued = await Codes(database).issue(ROUNDS, seconds=60)
    codes = [one.code for one in issued]
    runners = [started(child.race, url, codes, TASKS // PROCESSES) for _ in range(PROCESSES)]
    for _ in codes:
        for _, pipe in runners:
            pipe.send("go")
        ends = Counter(end for _, pipe in runners for end in heard(pipe))
        assert ends == {"won": 1, "CODE_HELD": PROCESSES * (TASKS // PROCESSES) - 1}
    for process, _ in runners:
        process.join(30)
        assert process.exitcode == 0


async def test_of_posting_and_voiding_one_wins(database: Database) -> None:
    holds, transcripts = Holds(database), Transcripts(database)
    issued = await Codes(database).issue(ROUNDS, seconds=60)

    async def post(hold: Hold) -> str:
        async with database.transaction() as tx:
            await transcripts.save(tx, Draft(hold.id), said("words"))
            await holds.post(tx, hold, hold.id)
        return "posted"

    async def void(hold: Hold) -> str:
        return "voided" if await holds.void(hold) else "too late"

    chance = random.Random(1)
    for one in issued:
        hold = await holds.hold(one.code)
        racing = [post(hold), *(void(hold) for _ in range(5))]
        chance.shuffle(racing)
        ends = Counter(
            end if isinstance(end, str) else type(end).__name__
            for end in await asyncio.gather(*racing, return_exceptions=True)
        )
        assert ends in ({"posted": 1, "too late": 5}, {"voided": 1, "too late": 4, "HoldLost": 1})
        kept = {row.id for row in (await transcripts.page()).items}
        assert (hold.id in kept) == (ends["posted"] == 1)
        state = (await Codes(database).get(one.id)).credit.state
        assert state == ("used" if ends["posted"] else "active")


async def test_of_those_who_come_after_a_lapse_one_gets_the_code(database: Database) -> None:
    """The one who had it posts too late, sweeps run, others want it: it is spent at most once."""
    holds, transcripts = Holds(database), Transcripts(database)
    issued = await Codes(database).issue(ROUNDS, seconds=60)

    async def use(hold: Hold) -> str:
        async with database.transaction() as tx:
            await transcripts.save(tx, Draft(hold.id), said("words"))
            await holds.post(tx, hold, hold.id)
        return "posted"

    async def take(code: str) -> str:
        return await use(await holds.hold(code))

    for one in issued:
        late = await holds.hold(one.code)
        await lapse(database)
        ends = await asyncio.gather(
            use(late), holds.expire(), *(take(one.code) for _ in range(6)), holds.expire(),
            return_exceptions=True,
        )  # fmt: skip
        assert ends.count("posted") == 1
        for end in ends:
            assert isinstance(end, int | str | CodeHeld | CodeUsed | HoldLost), end
        assert (await Codes(database).get(one.id)).credit.state == "used"
    assert len((await transcripts.page()).items) == ROUNDS
