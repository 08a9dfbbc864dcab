"""The pool of this machine, where it is about its processes."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import ModelUnavailable, SpeechFailed
from gateway.settings import Settings
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool
from tests.speech.clips import Clip, error_rate, silence
from tests.speech.pools import alive, text, until


@asynccontextmanager
async def started(base_model: Path, settings: Settings) -> AsyncIterator[LocalPool]:
    """A pool of its own, with all its workers loaded."""
    pool = LocalPool(settings)
    await pool.start(base_model)
    try:
        await until(lambda: len(pool.pids) == pool.workers)
        yield pool
    finally:
        await pool.close()


async def at_work(pool: LocalPool, tasks: list["asyncio.Task[str]"]) -> None:
    """Waits until all these windows, and no others, are with a worker."""
    await asyncio.sleep(0)
    assert pool.waiting == len(tasks)
    await until(lambda: pool.waiting == 0)


@asynccontextmanager
async def watched(pool: LocalPool) -> AsyncIterator[list[tuple[bool, int]]]:
    """Whether the pool was ready, and with how many workers, all the while."""
    seen: list[tuple[bool, int]] = []

    async def watch() -> None:
        while True:
            seen.append((pool.ready, len(pool.pids)))
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def test_a_hung_worker_is_replaced(base_model: Path, debian_clips: list[Clip]) -> None:
    pool = LocalPool(Settings(workers=1, window_s=2))
    await pool.start(base_model)
    try:
        (hung,) = pool.pids
        os.kill(hung, signal.SIGSTOP)
        assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3
        assert hung not in pool.pids
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("workers", "bounds"),
    [
        (1, {"worker_windows_max": 1}),
        (2, {"worker_windows_max": 1}),
        (1, {"worker_windows_max": 0, "worker_growth_bytes_max": 1}),
    ],
    ids=["windows", "windows of two", "memory"],
)
async def test_worn_workers_are_replaced_and_nobody_sees_it(
    base_model: Path, debian_clips: list[Clip], workers: int, bounds: dict[str, int]
) -> None:
    if "worker_growth_bytes_max" in bounds and not Path("/proc/self/statm").exists():
        pytest.skip("nobody tells here how much memory a process has")
    async with started(base_model, Settings(workers=workers, **bounds)) as pool, watched(pool) as seen:
        before = set(pool.pids)
        texts = await asyncio.gather(
            *(text(pool, clip, transcript=str(i % 3)) for i, clip in enumerate(debian_clips))
        )
        await until(lambda: not before & set(pool.pids))
        for clip, said in zip(debian_clips, texts, strict=True):
            assert error_rate(clip, said) < 0.3
        assert all(ready for ready, _ in seen)
        assert min(count for _, count in seen) == pool.workers
    assert not any(alive(pid) for pid in before)


async def test_a_successor_that_does_not_load_changes_nothing(
    base_model: Path, debian_clips: list[Clip], tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base_model, folder)
    async with started(folder, Settings(workers=1, worker_windows_max=1)) as pool:
        (folder / "model.bin").write_bytes(b"no model")
        (before,) = pool.pids
        for _ in range(3):
            assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3
        assert pool.pids == [before]
        assert pool.ready


async def test_a_batch_that_nobody_waits_for_frees_its_worker(
    base_model: Path, debian_clips: list[Clip]
) -> None:
    async with started(base_model, Settings(workers=1)) as pool, watched(pool) as seen:
        (before,) = pool.pids
        os.kill(before, signal.SIGSTOP)  # at work until it is killed
        tasks = [asyncio.create_task(text(pool, debian_clips[0])) for _ in range(2)]
        await at_work(pool, tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3
        assert before not in pool.pids
        assert not alive(before)
        assert all(ready for ready, _ in seen)


async def test_a_batch_of_which_one_window_is_wanted_goes_on(
    base_model: Path, debian_clips: list[Clip]
) -> None:
    async with started(base_model, Settings(workers=1)) as pool:
        before = pool.pids
        tasks = [asyncio.create_task(text(pool, debian_clips[0])) for _ in range(3)]
        await at_work(pool, tasks)
        for task in tasks[1:]:
            task.cancel()
        assert error_rate(debian_clips[0], await tasks[0]) < 0.3
        assert pool.pids == before


async def test_only_windows_that_are_asked_alike_share_a_batch(debian_clips: list[Clip]) -> None:
    alike = [Options(), Options(language="de"), Options(words=True)]
    others = [Options(prompt="a"), Options(hotwords="a"), Options(temperature=0.2)]
    pool = LocalPool(Settings(workers=1))  # never started: nobody takes them but we
    tasks = [
        asyncio.create_task(text(pool, debian_clips[0], transcript=str(n), options=options))
        for n, options in enumerate(alike + others)
    ]
    await asyncio.sleep(0)
    taken = [[wish.item.job.options for wish in pool._queue.take(1)] for _ in range(4)]
    assert taken == [alike, *([options] for options in others)]
    await pool.close()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_the_encoder_hears_as_much_as_is_set(base_model: Path, debian_clips: list[Clip]) -> None:
    async with started(base_model, Settings(workers=1, encoder_silence_s=30)) as pool:
        assert error_rate(debian_clips[0], await text(pool, debian_clips[0])) < 0.3


async def test_workers_step_back_behind_the_gateway(base_model: Path) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    async with started(base_model, Settings(workers=1)) as pool:
        for pid in pool.pids:
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, ours + 5)
            group = Path(f"/proc/{pid}/autogroup")
            if group.exists():
                assert group.read_text().split()[-1] == "5"  # without it the first line is in vain


async def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    (tmp_path / "config.json").write_text("{}")
    pool = LocalPool(Settings(workers=1))
    with pytest.raises(ModelUnavailable):
        await pool.start(tmp_path)
    assert not pool.ready


async def test_closing_ends_the_workers_and_what_waits(base_model: Path) -> None:
    pool = LocalPool(Settings(workers=1))
    await pool.start(base_model)
    assert pool.ready
    pids = pool.pids
    clip = Clip("silence", silence(20), "")
    tasks = [asyncio.create_task(text(pool, clip)) for _ in range(5)]
    await asyncio.sleep(0.05)
    await pool.close()
    assert all(isinstance(r, SpeechFailed) for r in await asyncio.gather(*tasks, return_exceptions=True))
    assert not pool.ready
    assert not any(alive(pid) for pid in pids)
