"""What every pool does, be its workers processes of this machine or replicas in a cluster."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import Busy, SpeechFailed
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool, Pool
from tests.cluster import ROOT
from tests.speech.clips import Clip, error_rate, silence
from tests.speech.pools import Clustered, Here, Place, alive, kill, text, until, window

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=["local", pytest.param("cluster", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, base_model: Path) -> Place:
    if request.param == "local":
        return Here(base_model)
    return Clustered(request.getfixturevalue("nodes"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(place: Place) -> AsyncIterator[Pool]:
    async with place.started() as pool:
        yield pool


async def test_each_window_gets_its_own_answer(pool: Pool, debian_clips: list[Clip]) -> None:
    texts = await asyncio.gather(
        *(text(pool, clip, transcript=str(i % 7)) for i, clip in enumerate(debian_clips * 3))
    )
    for clip, said in zip(debian_clips * 3, texts, strict=True):
        assert error_rate(clip, said) < 0.3
    assert pool.waiting == 0


async def test_the_language_comes_before_the_answer(pool: Pool, debian_clips: list[Clip]) -> None:
    told: list[str] = []
    answer = await pool.recognise(
        "t", window(debian_clips[0]), Options(), heard=lambda code, _: told.append(code)
    )
    assert told == [answer.language] == ["en"]
    assert answer.probability


async def test_a_cancelled_window_leaves_the_queue_at_once(pool: Pool, debian_clips: list[Clip]) -> None:
    tasks = [asyncio.create_task(text(pool, clip)) for clip in debian_clips * 6]
    await asyncio.sleep(0)
    assert pool.waiting == len(tasks)
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pool.waiting == 0
    await asyncio.wait(tasks)
    assert error_rate(debian_clips[0], await text(pool, debian_clips[0])) < 0.3


async def test_killed_workers_are_replaced_and_their_windows_tried_again(
    place: Place, pool: Pool, debian_clips: list[Clip]
) -> None:
    before = place.workers(pool)
    tasks = [asyncio.create_task(text(pool, clip)) for clip in debian_clips * 2]
    await asyncio.sleep(0.1)
    kill(before)
    texts = await asyncio.gather(*tasks)
    assert texts == [await text(pool, clip) for clip in debian_clips] * 2
    await until(lambda: pool.loaded == pool.workers == len(place.workers(pool)))
    assert not before & place.workers(pool)
    assert pool.restarts["lost"]


async def test_workers_killed_again_and_again_fail_clearly_then_serve(
    place: Place, pool: Pool, debian_clips: list[Clip]
) -> None:
    stop = asyncio.Event()

    async def murder() -> None:
        seen: set[int] = set()
        while not stop.is_set():
            await asyncio.sleep(0.02)  # one that has not begun is no try of its window
            kill(fresh := place.at_work(pool) - seen)
            seen |= fresh

    murderer = asyncio.create_task(murder())
    with pytest.raises(SpeechFailed):
        for _ in range(20):  # some may slip through before they are hit
            await text(pool, Clip("long", debian_clips[0].samples * 4, ""))
    stop.set()
    await murderer
    assert error_rate(debian_clips[0], await text(pool, debian_clips[0])) < 0.3


async def test_a_worker_that_is_stopped_and_then_dies_is_replaced_too(
    place: Place, pool: Pool, debian_clips: list[Clip]
) -> None:
    before = place.workers(pool)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    task = asyncio.create_task(text(pool, debian_clips[0]))
    await asyncio.sleep(0.1)
    task.cancel()
    kill(before)
    await asyncio.wait({task})
    assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3
    await until(lambda: pool.loaded == pool.workers == len(place.workers(pool)))
    assert not before & place.workers(pool)


async def test_a_worker_within_its_bounds_stays(place: Place, pool: Pool, debian_clips: list[Clip]) -> None:
    await until(lambda: pool.loaded == pool.workers)
    before = place.workers(pool)
    for _ in range(3):
        await text(pool, debian_clips[1])
    assert place.workers(pool) == before


async def test_a_window_whose_company_leaves_gets_its_answer(pool: Pool, debian_clips: list[Clip]) -> None:
    lost = pool.restarts["lost"]
    tasks = [asyncio.create_task(text(pool, debian_clips[0])) for _ in range(8)]
    await asyncio.sleep(0.1)
    for task in tasks[1:]:
        task.cancel()
    assert error_rate(debian_clips[0], await tasks[0]) < 0.3
    assert pool.restarts["lost"] == lost


async def test_hotwords_and_a_prompt_are_those_of_their_own_window(
    pool: Pool, debian_clips: list[Clip]
) -> None:
    wishes = [Options(language="en"), Options(language="en", hotwords="Mister Jon Dashwode")]
    wishes += [Options(language="en", prompt="Mister Jon Dashwode")]
    plain, hot, prompted = await asyncio.gather(
        *(text(pool, debian_clips[0], options=options) for options in wishes)
    )
    assert "Dashwode" not in plain
    assert "Dashwode" in hot
    assert "Dashwode" in prompted


async def test_what_was_recognised_is_counted(pool: Pool, debian_clips: list[Clip]) -> None:
    windows, sound_s, worked_s = pool.windows, pool.sound_s, pool.worked_s
    await asyncio.gather(*(text(pool, clip) for clip in debian_clips))
    assert pool.windows == windows + len(debian_clips)
    assert pool.sound_s == pytest.approx(sound_s + sum(clip.seconds for clip in debian_clips))
    assert pool.worked_s > worked_s
    assert pool.speed


@pytest.mark.parametrize("kind", [LocalPool, ClusterPool])
async def test_a_full_queue_is_busy(kind: type[Pool], debian_clips: list[Clip]) -> None:
    pool = kind(Settings(workers=1, transcripts_max=1))  # never started: nobody takes them
    tasks = [asyncio.create_task(text(pool, debian_clips[0])) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await pool.recognise("t", window(debian_clips[0]), Options())
    await pool.close()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, SpeechFailed) for one in ended)


async def test_closing_ends_what_waits_and_the_processes_of_the_pool(place: Place) -> None:
    async with place.started() as pool:
        assert pool.ready
        pids = pool.pids
        assert pids
        clip = Clip("silence", silence(20), "")
        tasks = [asyncio.create_task(text(pool, clip)) for _ in range(20)]
        await asyncio.sleep(0.05)
        await pool.close()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(one, SpeechFailed) for one in ended)
        assert not pool.ready
        assert not any(map(alive, pids))


async def test_no_process_of_the_pool_outlives_a_killed_gateway(place: Place) -> None:
    kind = "LocalPool(Settings(workers=1))"
    if isinstance(place, Clustered):
        kind = f"ClusterPool(Settings(cluster_address={place.nodes.address!r}))"
    code = f"""
import asyncio
from pathlib import Path
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool
from gateway.speech.windows import Window

async def main():
    pool = {kind}
    await pool.start(Path({str(place.model)!r}))
    work = asyncio.create_task(pool.recognise("t", Window(0, bytes(960000), ((0, 480000),), True), Options()))
    await asyncio.sleep(0.05)
    print(*pool.pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    gateway = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert gateway.stdout is not None
    (process,) = map(int, (await asyncio.to_thread(gateway.stdout.readline)).split())
    gateway.kill()
    gateway.wait()
    gateway.stdout.close()
    await until(lambda: not alive(process))
