import asyncio
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import Busy, NotFound, RateLimited
from gateway.store.database import Database
from gateway.store.jobs import (
    ATTEMPTS_MAX,
    OWNER_PENDING_MAX,
    PENDING_S,
    RECENT,
    Counts,
    Job,
    Jobs,
    Wanted,
)
from gateway.store.tables import jobs as table
from tests.store.making import account, lapse

KIND = "transcribe"
PAYLOAD = {"url": "https://host/1", "options": {"words": True}, "text": "größer 🎉"}


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, "here")


@pytest.fixture
def elsewhere(database: Database) -> Jobs:
    """The same jobs, seen by another process."""
    return Jobs(database, "elsewhere")


def wanted(**more: Any) -> Wanted:
    return Wanted(KIND, PAYLOAD, **more)


async def complete(database: Database, jobs: Jobs, job: Job) -> bool:
    async with database.transaction() as tx:
        return await jobs.complete(tx, job.id)


async def test_a_job_goes_its_way(database: Database, jobs: Jobs) -> None:
    made = await jobs.enqueue(wanted(transcript_id="t"))
    assert (made.state, made.payload, made.transcript_id, made.attempts) == ("PENDING", PAYLOAD, "t", 0)
    leased = await jobs.lease([KIND])
    assert leased is not None
    assert (leased.id, leased.state, leased.lease_owner, leased.attempts) == (made.id, "RUNNING", "here", 1)
    assert leased.started_at is not None
    assert leased.lease_until is not None
    assert await jobs.lease([KIND]) is None
    assert await jobs.renew(made.id)
    assert await complete(database, jobs, made)
    done = await jobs.get(made.id)
    assert (done.state, done.lease_until, done.error_code) == ("COMPLETE", None, None)
    assert done.ended_at is not None
    assert not await complete(database, jobs, made)
    assert not await jobs.fail(made.id, "X", "y")
    assert not await jobs.renew(made.id)
    assert not await jobs.cancel(made.id)


async def test_a_completion_that_is_undone_did_not_happen(database: Database, jobs: Jobs) -> None:
    made = await jobs.enqueue(wanted())
    await jobs.lease([KIND])
    with pytest.raises(KeyError):
        async with database.transaction() as tx:
            assert await jobs.complete(tx, made.id)
            raise KeyError
    assert (await jobs.get(made.id)).state == "RUNNING"


async def test_a_failure_says_why(jobs: Jobs) -> None:
    made = await jobs.enqueue(wanted())
    await jobs.lease([KIND])
    assert await jobs.fail(made.id, "VIDEO_PRIVATE", "The post is private.")
    failed = await jobs.get(made.id)
    assert (failed.state, failed.error_code, failed.error_text) == (
        "FAILED", "VIDEO_PRIVATE", "The post is private.",
    )  # fmt: skip
    assert [one.id for one in await jobs.failed()] == [made.id]


async def test_first_come_first_served_by_kind(jobs: Jobs) -> None:
    made = [await jobs.enqueue(Wanted(kind, None)) for kind in ("a", "b", "a", "b")]
    assert await jobs.lease(["none"]) is None
    assert await jobs.lease([]) is None
    leased = [await jobs.lease(["b"]), await jobs.lease(["a", "b"]), await jobs.lease(["a", "b"])]
    assert [one and one.id for one in leased] == [made[1].id, made[0].id, made[2].id]


async def test_the_same_key_is_the_same_job(database: Database, jobs: Jobs, elsewhere: Jobs) -> None:
    me = await account(database, "me")
    keyed = wanted(idempotency_key="k", owner=me)
    made = await asyncio.gather(*(one.enqueue(keyed) for one in [jobs, elsewhere] * 10))
    assert len({job.id for job in made}) == 1
    await jobs.lease([KIND])
    assert (await jobs.enqueue(keyed)).state == "RUNNING"
    assert (await jobs.enqueue(wanted(idempotency_key="k"))).id != made[0].id  # of another owner
    assert len({(await jobs.enqueue(wanted())).id for _ in range(3)}) == 3
    assert (await jobs.counts(owner=me)).total == 1


async def test_a_full_queue_is_an_answer(database: Database) -> None:
    jobs = Jobs(database, "here", pending_max=2)
    first = await jobs.enqueue(wanted(idempotency_key="k", owner="me"))
    await jobs.enqueue(wanted(owner="me"))
    with pytest.raises(Busy):
        await jobs.enqueue(wanted(owner="me"))
    assert await jobs.enqueue(wanted(idempotency_key="k", owner="me")) == first  # is there already
    await jobs.lease([KIND])
    await jobs.enqueue(wanted(owner="me"))


async def test_many_workers_never_get_the_same_job(database: Database, url: str) -> None:
    other = Database(url)
    crews = [Jobs(one, f"{number}") for number, one in enumerate([database, other] * 5)]
    for _ in range(40):
        await crews[0].enqueue(wanted())
    got: Counter[str] = Counter()

    async def work(crew: Jobs) -> None:
        while (job := await crew.lease([KIND])) is not None:
            got[job.id] += 1

    await asyncio.gather(*(work(crew) for crew in crews))
    # a row that is locked is passed over: what was left is taken up in a second round
    await work(crews[0])
    assert len(got) == 40
    assert set(got.values()) == {1}
    await other.close()


async def test_a_cancelled_job_is_not_begun_and_a_running_one_hears_of_it(
    database: Database, jobs: Jobs
) -> None:
    me = await account(database, "me")
    pending, running = await jobs.enqueue(wanted()), None
    assert await jobs.cancel(pending.id)
    assert await jobs.lease([KIND]) is None
    running = await jobs.enqueue(wanted(owner=me))
    await jobs.lease([KIND])
    with pytest.raises(NotFound):
        await jobs.cancel(running.id, owner="anyone")
    assert await jobs.cancel(running.id, owner=me)
    assert not await jobs.renew(running.id)
    assert not await complete(database, jobs, running)
    assert await jobs.counts() == Counts(cancelled=2)


async def test_what_a_dead_process_left_is_taken_up(database: Database, jobs: Jobs, elsewhere: Jobs) -> None:
    left = await elsewhere.enqueue(wanted())
    await elsewhere.lease([KIND])
    running = await elsewhere.enqueue(wanted())
    await elsewhere.lease([KIND])
    await lapse(database)
    assert await elsewhere.renew(running.id)  # this one lives
    assert await jobs.repair() == 1
    assert await jobs.repair() == 0
    assert (await jobs.get(left.id)).state == "PENDING"
    assert not await elsewhere.renew(left.id)
    again = await jobs.lease([KIND])
    assert again is not None
    assert (again.id, again.attempts) == (left.id, 2)
    assert not await complete(database, elsewhere, left)  # it has come back to life, too late
    assert await complete(database, jobs, left)


async def test_a_job_that_somebody_waited_for_fails_with_its_process(
    database: Database, jobs: Jobs, elsewhere: Jobs
) -> None:
    pending = await elsewhere.enqueue(wanted(waiting=True))
    running = await elsewhere.enqueue(wanted(waiting=True))
    assert await jobs.lease([KIND]) is None  # the connection is there
    assert await elsewhere.lease([KIND]) is None  # nor is it for those who take up what nobody waits for
    assert await elsewhere.begin(running.id)
    assert await jobs.repair() == 0
    await lapse(database)
    assert await jobs.repair() == 2
    for id_ in (pending.id, running.id):
        job = await jobs.get(id_)
        assert (job.state, job.error_code) == ("FAILED", "INTERRUPTED")


async def test_a_job_that_ends_its_process_each_time_is_given_up(database: Database, jobs: Jobs) -> None:
    made = await jobs.enqueue(wanted())
    for attempt in range(1, ATTEMPTS_MAX + 1):
        leased = await jobs.lease([KIND])
        assert leased is not None
        assert leased.attempts == attempt
        await lapse(database)
        assert await jobs.repair() == 1
    assert await jobs.lease([KIND]) is None
    assert (await jobs.get(made.id)).state == "FAILED"


async def test_they_are_counted_and_the_newest_shown(database: Database, jobs: Jobs) -> None:
    me = await account(database, "me")
    made = [await jobs.enqueue(wanted(owner=me)) for _ in range(RECENT + 3)]
    await jobs.enqueue(wanted())
    await jobs.lease([KIND])
    assert await jobs.counts(owner=me) == Counts(pending=RECENT + 2, running=1)
    assert (await jobs.counts()).total == RECENT + 4
    assert [one.id for one in await jobs.recent(owner=me)] == [one.id for one in made[: -RECENT - 1 : -1]]
    assert len(await jobs.recent(limit=5)) == 5
    assert await jobs.failed() == ()


async def test_a_webhook_is_owed_once_the_job_has_ended(database: Database, jobs: Jobs) -> None:
    hook = "https://host/hook"
    completed, failed, quiet = [
        await jobs.enqueue(wanted(webhook_url=url)) for url in (hook, hook, None)
    ]  # fmt: skip
    for _ in range(3):
        await jobs.lease([KIND])
    assert await jobs.owed() == ()
    await complete(database, jobs, completed)
    await jobs.fail(failed.id, "X", "y")
    await complete(database, jobs, quiet)
    assert [one.id for one in await jobs.owed()] == [completed.id, failed.id]
    await jobs.told(completed.id, heard=True)
    await jobs.told(failed.id, heard=False)
    assert await jobs.owed() == ()
    assert (await jobs.get(failed.id)).webhook_state == "FAILED"


async def test_what_ended_long_ago_goes(database: Database, jobs: Jobs) -> None:
    made = [await jobs.enqueue(wanted()) for _ in range(3)]
    for _ in range(2):
        await jobs.lease([KIND])
    await complete(database, jobs, made[0])
    await jobs.fail(made[1].id, "X", "y")
    assert await jobs.sweep(60) == 0
    assert await jobs.sweep(-60) == 2
    async with database.reading() as tx:
        assert (await tx.execute(sa.select(table.c.id))).scalars().all() == [made[2].id]


async def test_a_key_finds_its_job_until_it_is_given_to_another(database: Database) -> None:
    mine = Jobs(database, "mine")
    first = await mine.enqueue(Wanted("k", {}, idempotency_key="a", waiting=True))
    assert await mine.keyed("a") == first
    assert await mine.keyed("b") is None
    await mine.unkey(first.id)
    assert await mine.keyed("a") is None
    assert (await mine.enqueue(Wanted("k", {}, idempotency_key="a", waiting=True))).id != first.id


async def test_a_job_that_is_waited_for_here_is_begun_here_once(database: Database) -> None:
    mine, other = Jobs(database, "mine"), Jobs(database, "other")
    job = await mine.enqueue(Wanted("k", {}, waiting=True))
    assert not await other.begin(job.id)
    assert await mine.begin(job.id)
    assert not await mine.begin(job.id)
    assert ((await mine.get(job.id)).state, (await mine.get(job.id)).attempts) == ("RUNNING", 1)
    assert await mine.fail(job.id, "X", "x")
    stopped = await mine.enqueue(Wanted("k", {}, waiting=True))
    await mine.cancel(stopped.id)
    assert not await mine.begin(stopped.id)


async def test_a_job_is_taken_up_only_where_its_media_are(database: Database) -> None:
    here, there = Jobs(database, "a", folder="x"), Jobs(database, "b", folder="y")
    nowhere = Jobs(database, "c")
    anywhere, mine = await here.enqueue(wanted()), await here.enqueue(wanted(folder="x"))
    leased = await there.lease([KIND])
    assert leased is not None
    assert leased.id == anywhere.id
    assert await there.lease([KIND]) is None
    assert await nowhere.lease([KIND]) is None
    leased = await Jobs(database, "another process", folder="x").lease([KIND])
    assert leased is not None
    assert leased.id == mine.id


async def test_a_job_that_is_kept_outlives_who_waited(database: Database, jobs: Jobs) -> None:
    made = await jobs.enqueue(wanted(waiting=True))
    assert not await jobs.keep(made.id, {"a": 1}, None)  # it is not begun yet
    assert await jobs.begin(made.id)
    assert await jobs.keep(made.id, {"a": 1}, "https://host/hook")
    assert not await Jobs(database, "another").keep(made.id, {"a": 2}, None)
    await lapse(database)
    assert await jobs.repair() == 1
    again = await Jobs(database, "next").lease([KIND])
    assert again is not None
    assert (again.id, again.payload, again.webhook_url) == (made.id, {"a": 1}, "https://host/hook")


async def test_a_job_that_is_handed_back_is_no_try_that_counts(jobs: Jobs, elsewhere: Jobs) -> None:
    made = await jobs.enqueue(wanted())
    for _ in range(ATTEMPTS_MAX + 1):
        leased = await jobs.lease([KIND])
        assert leased is not None
        assert leased.attempts == 1
        assert not await elsewhere.hand_back(made.id)
        assert await jobs.hand_back(made.id)
    waited = await jobs.enqueue(wanted(waiting=True))
    assert await jobs.begin(waited.id)
    assert not await jobs.hand_back(waited.id)
    await jobs.lease([KIND])
    assert (await elsewhere.hand_all_back(), await jobs.hand_all_back()) == (0, 1)
    assert (await jobs.get(made.id)).state == "PENDING"
    assert not await elsewhere.stop(waited.id)
    assert await jobs.stop(waited.id)


async def test_what_nobody_takes_up_for_a_day_is_given_up(database: Database, jobs: Jobs) -> None:
    made, fresh = await jobs.enqueue(wanted(folder="gone")), await jobs.enqueue(wanted(folder="gone"))
    async with database.transaction() as tx:
        old = table.update().where(table.c.id == made.id).values(updated_at=database.now(-PENDING_S - 1))
        await tx.execute(old)
    assert await jobs.repair() == 1
    assert (await jobs.get(made.id)).error_code == "INTERRUPTED"
    known = await jobs.known_of([made.id, fresh.id, "none"])
    assert known == ({fresh.id}, {made.id, fresh.id})


async def test_a_transcript_knows_its_job_until_that_is_forgotten(jobs: Jobs) -> None:
    assert await jobs.of("t") is None
    made = await jobs.enqueue(wanted(transcript_id="t"))
    assert await jobs.of("t") == made
    assert not await jobs.forget("t")  # it may still come to be
    assert await jobs.cancel(made.id)
    assert await jobs.forget("t")
    assert await jobs.of("t") is None


async def test_what_somebody_waits_for_is_begun_by_him_only(jobs: Jobs) -> None:
    waited = await jobs.enqueue(wanted(waiting=True))
    assert await jobs.lease([KIND]) is None  # between the two, by this process itself
    assert await jobs.begin(waited.id)


async def test_owners_take_turns(jobs: Jobs) -> None:
    for owner in ("many", "many", "many", "few"):
        await jobs.enqueue(wanted(owner=owner))
    taken = [await jobs.lease([KIND]) for _ in range(4)]
    assert [job and job.owner for job in taken] == ["many", "few", "many", "many"]


async def test_no_account_can_use_up_the_room_for_jobs(jobs: Jobs) -> None:
    for _ in range(OWNER_PENDING_MAX):
        await jobs.enqueue(wanted(owner="many"))
    with pytest.raises(RateLimited):
        await jobs.enqueue(wanted(owner="many"))
    await jobs.enqueue(wanted(owner="few"))


async def test_strangers_leave_room_for_codes_and_accounts(database: Database) -> None:
    jobs = Jobs(database, "here", pending_max=4)
    for _ in range(2):
        await jobs.enqueue(wanted())
    with pytest.raises(Busy):
        await jobs.enqueue(wanted())
    await jobs.enqueue(wanted(owner="mine"))
    await jobs.enqueue(Wanted("bought", None, waiting=True))
    with pytest.raises(Busy):  # that of all is full
        await jobs.enqueue(wanted(owner="mine"))


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("waiting", [True, False])
async def test_a_row_that_somebody_has_locked_keeps_no_other_from_its_repair(
    url: str, kind: str, waiting: bool
) -> None:
    database, other = Database(url, wait_s=0.3), Database(url)
    jobs = Jobs(database, "here")
    made = [await jobs.enqueue(wanted(waiting=waiting)) for _ in range(2)]
    for one in made:
        await (jobs.begin(one.id) if waiting else jobs.lease([KIND]))
    await lapse(database)
    async with other.transaction() as tx:
        await tx.execute(table.update().where(table.c.id == made[0].id).values(attempts=1))
        assert await jobs.repair() == 1
        ended = "FAILED" if waiting else "PENDING"
        assert [(await jobs.get(one.id)).state for one in made] == ["RUNNING", ended]
    assert await jobs.repair() == 1
    assert (await jobs.get(made[0].id)).state == ended
    await other.close()
    await database.close()
