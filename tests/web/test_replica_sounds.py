"""Gateways that hear, before one database and one Redis: a sound is recognised by one of them, whatever it is
asked for as, and by another when that one ends.

Who is not to recognise has its speech worker stopped meanwhile, so that words can only be another's.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.wire.events import End, Event, Info, Segment, text_of
from tests.redis import Server
from tests.serving import serving
from tests.web.conftest import Front, started, until
from tests.web.test_credits import issued, state
from tests.web.test_replicas import BROKEN
from tests.web.test_sharing import site
from tests.web.test_transcribe import lines
from tests.web.test_uploads import SOUND

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "sounds"
SECONDS = 60
AUDIO = {"Content-Type": "audio/mpeg"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path, redis_server: Server
) -> AsyncIterator[tuple[Front, Front]]:
    """Both, and the origin of the first."""
    folder = tmp_path_factory.mktemp("sounds")
    shared = settings(folder, redis_server)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(started(homed(folder / "one", data_dir), **shared))
        other = await stack.enter_async_context(
            started(homed(folder / "other", data_dir), **shared, **site(one))
        )
        yield one, other


@pytest_asyncio.fixture(loop_scope="module")
async def ready(pair: tuple[Front, Front]) -> tuple[Front, Front]:
    """Both, with workers that have nothing to do."""
    for front in pair:
        await until(lambda front=front: front.gateway.ready, SECONDS)  # type: ignore[misc]
    return pair


def settings(folder: Path, redis: Server) -> dict[str, Any]:
    return {
        "redis_url": redis.url, "redis_prefix": PREFIX, "redis_s": 5, "model": "base", "workers": 1,
        "database_url": f"sqlite:///{folder / 'both.db'}", "secret": "a secret that gateways share",
    }  # fmt: skip


def homed(folder: Path, data_dir: Path) -> Path:
    """A gateway's own folder, with the model that is there."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(data_dir / "models")
    return folder


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes that do nothing meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def heard(front: Front, sound: bytes, url: str | None = None) -> list[Event]:
    """What is said to an upload."""
    async with front.session.post(f"{url or front.url}/transcribe", data=sound, headers=AUDIO) as response:
        assert response.status == 200, await response.text()
        return await lines(response)


async def posted(front: Front, origin: Front, scenario: str) -> tuple[str, list[Event]]:
    """A transcript's id, and what is said to a post."""
    wish = {"url": origin.origin.url(scenario), "source": "speech"}
    async with front.post("/transcribe", **wish) as response:
        assert response.status == 200, await response.text()
        return response.headers["Transcript-Id"], await lines(response)


async def claimed(redis: Server) -> None:
    """Waits until some sound is recognised by one of them alone."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(redis.ask, "KEYS", f"{PREFIX}:lease:*"):
            await asyncio.sleep(0.02)


def following(front: Front) -> int:
    assert front.gateway.mirrors is not None
    return len(front.gateway.mirrors)


def said(events: list[Event]) -> list[tuple[float, float, str]]:
    assert isinstance(events[0], Info)
    assert isinstance(events[-1], End)
    return [(one.start, one.end, one.text) for one in events if isinstance(one, Segment)]


async def test_one_upload_at_both_is_recognised_by_one(
    ready: tuple[Front, Front], redis_server: Server
) -> None:
    one, other = ready
    before = other.gateway.pool.windows
    with stopped(*other.gateway.pool.pids):
        with stopped(*one.gateway.pool.pids):
            first = asyncio.ensure_future(heard(one, SOUND))
            await claimed(redis_server)
            second = asyncio.ensure_future(heard(other, SOUND))
            await until(lambda: following(other) == 1, SECONDS)
        async with asyncio.timeout(SECONDS):
            assert said(await second) == said(await first) != []
    assert other.gateway.pool.windows == before


async def test_what_one_has_recognised_is_told_by_the_other_for_as_long_as_it_is_kept(
    ready: tuple[Front, Front], redis_server: Server
) -> None:
    """For the same post, for another one with the same video, and for a code, of an upload of it."""
    one, other = ready
    before, read = other.gateway.pool.windows, one.origin.hits["media:speech"]
    id_, first = await posted(one, one, "speech")
    async with asyncio.timeout(SECONDS):
        while not (await other.gateway.archive.page(limit=1)).items:
            await asyncio.sleep(0.05)
        await until(lambda: not len(one.gateway.writer), SECONDS)
    with stopped(*other.gateway.pool.pids):
        async with asyncio.timeout(SECONDS):
            _, same = await posted(other, one, "speech")
            assert one.origin.hits["media:speech"] == read + 1  # by the first of them
            redis_server.ask("DEL", f"{PREFIX}:about:{id_}")  # as after a minute: its row is read
            _, alike = await posted(other, one, "captions")
            code = await issued(other)
            headers = {"X-Auth-Code": code.code, "Content-Type": "video/mp4"}
            data = one.origin.parts("speech")[0]
            async with other.session.post(f"{other.url}/transcripts", data=data, headers=headers) as response:
                assert response.status == 201, await response.text()
                bought = await response.json()
    assert said(same) == said(alike) == said(first) != []
    assert bought["text"] == text_of([one for one in first if isinstance(one, Segment)])
    assert await state(other, code) == "used"
    assert other.gateway.pool.windows == before


async def test_a_twin_of_a_request_waits_for_it_at_the_other(ready: tuple[Front, Front]) -> None:
    """By the same code and key, of what the first has promised."""
    one, other = ready
    sound, code = SOUND + b"\1\2", await issued(one)  # one that nobody has heard yet
    headers = AUDIO | {"X-Auth-Code": code.code, "Idempotency-Key": "twin"}
    async with asyncio.timeout(SECONDS):
        with stopped(*one.gateway.pool.pids, *other.gateway.pool.pids):
            first = one.session.post(f"{one.url}/transcripts?wait=0", data=sound, headers=headers)
            async with first as response:
                assert response.status == 202, await response.text()
                id_ = (await response.json())["id"]
            second = asyncio.ensure_future(
                other.session.post(f"{other.url}/transcripts", data=sound, headers=headers)
            )
            await until(lambda: following(other) == 1 or second.done(), SECONDS)
            assert not second.done()
        async with await second as response:
            assert response.status == 201, await response.text()
            told = await response.json()
    assert (told["id"], told["status"]) == (id_, "complete")
    assert told["text"]
    assert told["charged_s"] > 0
    assert await state(other, code) == "used"


async def test_what_was_removed_is_recognised_again(ready: tuple[Front, Front]) -> None:
    one, other = ready
    sound = SOUND + b"\0"  # one that nobody has heard yet
    async with one.session.post(f"{one.url}/transcribe", data=sound, headers=AUDIO) as response:
        id_, first = response.headers["Transcript-Id"], await lines(response)
    async with one.session.delete(f"{one.url}/transcripts/{id_}") as response:
        assert response.status == 204
    before = other.gateway.pool.windows
    assert said(await heard(other, sound)) == said(first)
    assert other.gateway.pool.windows > before


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_who_follows_goes_on_when_the_gateway_at_work_ends(
    ready: tuple[Front, Front], tmp_path: Path, data_dir: Path, redis_server: Server, how: str
) -> None:
    """Two of them do: one recognises the sound then, and the other follows that one."""
    one, other = ready
    sound = SOUND + bytes([len(how)])  # one that nobody has heard yet
    folder = one.gateway.settings.data_dir.parents[1]
    before = one.gateway.pool.windows, other.gateway.pool.windows
    async with (
        serving(homed(tmp_path / "third", data_dir), **settings(folder, redis_server)) as third,
        asyncio.timeout(SECONDS * 2),
    ):
        with stopped(*workers(third.pid)):
            own = asyncio.ensure_future(heard(one, sound, third.url))
            await claimed(redis_server)
            followers = [asyncio.ensure_future(heard(front, sound)) for front in ready]
            await until(lambda: following(one) == following(other) == 1, SECONDS)
            third.kill() if how == "killed" else third.stop()
            began = time.monotonic()
            with pytest.raises((*BROKEN, aiohttp.ClientError, AssertionError)):
                assert isinstance((await own)[-1], End)
            first, second = [await each for each in followers]
            print(f"all was told {time.monotonic() - began:.1f} s after the gateway was {how}")
    assert said(first) == said(second) != []
    after = one.gateway.pool.windows, other.gateway.pool.windows
    assert [a > b for a, b in zip(after, before, strict=True)].count(True) == 1


def workers(pid: int) -> list[int]:
    """The speech workers of a gateway in a process of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [
        int(one) for one in children if b"gateway.speech.worker" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]
    assert found
    return found
