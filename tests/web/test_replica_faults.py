"""Gateways before one PostgreSQL and one Redis, and what is left of their promises when one of these dies.

Recovery times are printed: run with -s.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.wire import events
from gateway.wire.events import End, Info, Segment
from tests.postgres import Cluster, Missing
from tests.redis import Server
from tests.serving import Served, serving
from tests.web.conftest import Front, started, until
from tests.web.script import END, INFO, segment
from tests.web.test_credits import issued, kept_books, sent, state
from tests.web.test_replica_sounds import stopped
from tests.web.test_replicas import BROKEN, Reader, looked, registered, there
from tests.web.test_uploads import SOUND

LEASE_S = 2
SECONDS = 60
SECRET = "a secret that gateways share"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that the test may stop."""
    try:
        cluster = Cluster()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        cluster.make()
        cluster.create("rows")
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def shared(cluster: Cluster, redis_server: Server, redis_prefix: str) -> dict[str, Any]:
    """The settings that replicas have in common."""
    return {
        "database_url": cluster.url("rows"), "redis_url": redis_server.url, "redis_prefix": redis_prefix,
        "redis_s": 5, "secret": SECRET, "lease_s": LEASE_S,
    }  # fmt: skip


@asynccontextmanager
async def hearing(folder: Path, data_dir: Path, shared: dict[str, Any]) -> AsyncIterator[Front]:
    """A replica in this process, once it hears."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(data_dir / "models")
    async with started(folder, **shared, model="base", workers=1) as front:
        await until(lambda: front.gateway.ready, SECONDS)
        yield front


def replica(
    folder: Path, data_dir: Path, shared: dict[str, Any], front: Front
) -> AbstractAsyncContextManager[Served]:
    """One in a process of its own, which may be killed, before the same site; once it hears."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(data_dir / "models")
    return serving(
        folder, workers=1, model="base", log_level="error",
        proxy_url=front.origin.proxy_url, proxy_ca_file=front.origin.ca_file, **shared,
    )  # fmt: skip


async def line(response: aiohttp.ClientResponse) -> events.Event | None:
    """The next event that is no progress; None: the end."""
    while one := await response.content.readline():
        event = events.parse(one)
        if not isinstance(event, events.Progress):
            return event
    return None


async def lines(response: aiohttp.ClientResponse) -> list[events.Event]:
    found = []
    while (event := await line(response)) is not None:
        found.append(event)
    return found


async def test_one_sound_is_recognised_by_one_of_them(
    tmp_path: Path, data_dir: Path, base_model: Path, shared: dict[str, Any]
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(hearing(tmp_path / "one", data_dir, shared))
        way = {"proxy_url": one.origin.proxy_url, "proxy_ca_file": one.origin.ca_file}
        other = await stack.enter_async_context(hearing(tmp_path / "other", data_dir, shared | way))

        async def words(front: Front) -> list[events.Event]:
            async with front.post("/transcribe", url=one.origin.url("speech")) as response:
                assert response.status == 200
                return await lines(response)

        async with asyncio.timeout(SECONDS):
            first, second = await asyncio.gather(words(one), words(other))
        assert isinstance(first[-1], End)
        assert first[1:-1] == second[1:-1]
        assert first[-1].text_sha256 == second[-1].text_sha256
        assert min(one.gateway.pool.windows, other.gateway.pool.windows) == 0
        assert one.origin.hits["media:speech"] == 1


async def test_a_replica_is_killed_mid_stream(
    tmp_path: Path, data_dir: Path, base_model: Path, shared: dict[str, Any]
) -> None:
    """Who follows its transcript by another gateway gets all of it; its own client sees a cut stream."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(hearing(tmp_path / "other", data_dir, shared))
        served = await stack.enter_async_context(replica(tmp_path / "one", data_dir, shared, other))
        await stack.enter_async_context(asyncio.timeout(SECONDS * 2))
        other.origin.pace(len(other.origin.parts("speech")[0]) // 12)
        wish = {"url": other.origin.url("speech")}
        own = await stack.enter_async_context(other.session.post(f"{served.url}/transcribe", json=wish))
        assert isinstance(await line(own), Info)
        assert isinstance(await line(own), Segment)
        followed = await stack.enter_async_context(other.post("/transcribe", **wish))
        found = [await line(followed), await line(followed)]
        assert isinstance(found[1], Segment)
        assert not other.gateway.pool.windows
        served.kill()
        killed_at = time.monotonic()
        other.origin.pace(None)
        with pytest.raises(BROKEN):
            await lines(own)
        found.append(await line(followed))
        print(f"the stream went on {time.monotonic() - killed_at:.1f} s after its replica was killed")
        found += await lines(followed)
        *segments, last = found[1:]
        assert isinstance(last, End)
        assert [one.id for one in segments if isinstance(one, Segment)] == list(range(last.segments))
        id_ = own.headers["Transcript-Id"]
        while (told := (await looked(other, f"/transcripts/{id_}"))[1])["state"] == "running":
            await asyncio.sleep(0.1)
        assert told["error"]["code"] == "INTERRUPTED"
        print(f"its own was told to be over after {time.monotonic() - killed_at:.1f} s")
        while not (rows := (await other.gateway.archive.page(owner=None, after=None, limit=10)).items):
            await asyncio.sleep(0.1)  # it is written behind
        assert [row.state for row in rows] == ["COMPLETE"]  # one of the two, and once


async def test_a_replica_is_killed_mid_upload(
    tmp_path: Path, data_dir: Path, base_model: Path, shared: dict[str, Any]
) -> None:
    """The code that was to pay for it is back with its lease, and buys at another gateway."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(hearing(tmp_path / "other", data_dir, shared))
        served = await stack.enter_async_context(replica(tmp_path / "one", data_dir, shared, other))
        await stack.enter_async_context(asyncio.timeout(SECONDS))
        one = await issued(other)
        killed_at = 0.0

        async def body() -> AsyncIterator[bytes]:
            nonlocal killed_at
            yield SOUND[: len(SOUND) // 2]
            while await state(other, one) != "held":
                await asyncio.sleep(0.05)
            served.kill()
            killed_at = time.monotonic()
            await asyncio.sleep(SECONDS)

        headers = {"X-Auth-Code": one.code, "Content-Type": "audio/wav"}
        with pytest.raises((*BROKEN, aiohttp.ClientError)):
            await other.session.post(f"{served.url}/transcripts", data=body(), headers=headers)
        while await state(other, one) != "active":
            await asyncio.sleep(0.05)
        print(f"the code was back {time.monotonic() - killed_at:.1f} s after the replica was killed")
        async with other.session.post(f"{other.url}/transcripts", data=SOUND, headers=headers) as response:
            assert response.status == 201, await response.text()
        assert await state(other, one) == "used"


async def test_postgresql_goes_and_comes_back(
    tmp_path: Path, cluster: Cluster, shared: dict[str, Any]
) -> None:
    """What runs goes on, and is followed at the other gateway meanwhile; its row comes when it can."""
    async with (
        started(tmp_path / "one", **shared) as one,
        started(tmp_path / "other", **shared) as other,
    ):
        at = {one: registered(one), other: registered(other)}
        for front, script in at.items():
            script.say(INFO, segment(0))
            await there(other if front is one else one, script, 2)
        cluster.stop()
        for front, script in at.items():
            async with Reader(other if front is one else one, script.path) as reader:
                script.say(segment(1), END)
                assert isinstance((await reader.read())[-1], End)
        cluster.start()
        back_at = time.monotonic()
        for front in at:
            await until(lambda front=front: front.gateway.database_state == "ok", SECONDS)  # type: ignore[misc]
        print(f"both use the database {time.monotonic() - back_at:.1f} s after it was back")
        for front, script in at.items():
            await until(lambda front=front: not len(front.gateway.writer), SECONDS)  # type: ignore[misc]
            assert (await one.gateway.archive.read(script.transcript.id)).state == "COMPLETE"
        print(f"the rows were written after {time.monotonic() - back_at:.1f} s")


async def test_postgresql_goes_and_comes_back_while_a_code_is_at_work(
    tmp_path: Path, data_dir: Path, base_model: Path, cluster: Cluster, shared: dict[str, Any]
) -> None:
    """It is spent once, or it is as before, and what is told is what is in the books."""
    async with hearing(tmp_path / "one", data_dir, shared | {"lease_s": SECONDS}) as one:
        code = await issued(one)
        with stopped(*one.gateway.pool.pids):
            buying = asyncio.ensure_future(sent(one, code.code, SOUND))
            while await state(one, code) != "held":
                await asyncio.sleep(0.05)
            await until(lambda: len(one.gateway.transcripts) == 1)
            cluster.stop()
        cluster.start()
        async with asyncio.timeout(SECONDS):
            status, told = await buying
        if status != 201:  # the sound had ended before it was back
            assert (status, told["error"]["code"]) == (503, "STORE_UNAVAILABLE")
        async with asyncio.timeout(SECONDS):
            while await state(one, code) == "held":
                await asyncio.sleep(0.05)
        assert await state(one, code) == ("used" if status == 201 else "active")
        await kept_books(one)


async def test_what_a_dead_replica_had_promised_is_done_by_another(
    tmp_path: Path, shared: dict[str, Any]
) -> None:
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(started(tmp_path / "other", **shared))
        (tmp_path / "one").mkdir()
        way = {"proxy_url": other.origin.proxy_url, "proxy_ca_file": other.origin.ca_file}
        served = await stack.enter_async_context(
            serving(tmp_path / "one", until="/live", log_level="error", **way, **shared)
        )
        address, before = other.origin.url("captions"), other.gateway.settings.lease_s
        other.origin.pace(1)  # it is at work for long
        wish = {"url": address, "wait": False}
        async with other.session.post(f"{served.url}/transcribe", json=wish) as response:
            assert response.status == 202, await response.text()
            id_ = (await response.json())["id"]
        async with asyncio.timeout(SECONDS):
            while (await other.gateway.jobs.of(id_)).state != "RUNNING":  # type: ignore[union-attr]
                await asyncio.sleep(0.02)
            served.kill()
            killed_at = time.monotonic()
            other.origin.pace(None)
            while (told := (await looked(other, f"/transcripts/{id_}"))[1])["state"] != "complete":
                assert told["state"] in ("pending", "running"), told
                await asyncio.sleep(0.05)
        print(f"it was done {time.monotonic() - killed_at:.1f} s after, with a lease of {before:g} s")
