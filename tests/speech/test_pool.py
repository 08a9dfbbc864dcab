import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import ModelUnavailable, SpeechFailed
from gateway.settings import Settings
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool
from gateway.speech.windows import Window
from tests.speech.clips import Clip, error_rate, silence

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(base_model: Path) -> AsyncIterator[LocalPool]:
    pool = LocalPool(Settings(workers=2))
    await pool.start(base_model)
    yield pool
    await pool.close()


def window(clip: Clip, *, first: bool = False) -> Window:
    return Window(0, clip.samples, ((0, len(clip.samples) // 2),), first)


async def text(pool: LocalPool, clip: Clip, *, transcript: str = "t") -> str:
    answer = await pool.recognise(transcript, window(clip), Options(language="en"))
    return " ".join(segment.text for segment in answer.segments)


async def test_each_window_gets_its_own_answer(pool: LocalPool, debian_clips: list[Clip]) -> None:
    texts = await asyncio.gather(
        *(text(pool, clip, transcript=str(i % 7)) for i, clip in enumerate(debian_clips * 3))
    )
    for clip, said in zip(debian_clips * 3, texts, strict=True):
        assert error_rate(clip, said) < 0.3
    assert pool.waiting == 0


async def test_the_language_comes_before_the_answer(pool: LocalPool, debian_clips: list[Clip]) -> None:
    told: list[str] = []
    answer = await pool.recognise("t", window(debian_clips[0]), Options(), lambda code, _: told.append(code))
    assert told == [answer.language] == ["en"]
    assert answer.probability


async def test_a_cancelled_window_leaves_the_queue_at_once(pool: LocalPool, debian_clips: list[Clip]) -> None:
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
    pool: LocalPool, debian_clips: list[Clip]
) -> None:
    tasks = [asyncio.create_task(text(pool, clip)) for clip in debian_clips * 2]
    await asyncio.sleep(0.1)
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    texts = await asyncio.gather(*tasks)
    assert texts == [await text(pool, clip) for clip in debian_clips * 2]


async def test_workers_killed_again_and_again_fail_clearly_then_serve(
    pool: LocalPool, debian_clips: list[Clip]
) -> None:
    stop = asyncio.Event()

    async def murder() -> None:
        seen: set[int] = set()
        while not stop.is_set():
            for pid in set(pool.pids) - seen:
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.005)

    murderer = asyncio.create_task(murder())
    with pytest.raises(SpeechFailed):
        for _ in range(20):  # some may slip through before they are hit
            await text(pool, Clip("long", debian_clips[0].samples * 4, ""))
    stop.set()
    await murderer
    assert error_rate(debian_clips[0], await text(pool, debian_clips[0])) < 0.3


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
    assert not any(_alive(pid) for pid in pids)


async def test_no_worker_outlives_a_killed_gateway(base_model: Path, tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from gateway.settings import Settings
from gateway.speech.pool import LocalPool
from gateway.speech.messages import Options
from gateway.speech.windows import Window

async def main():
    pool = LocalPool(Settings(workers=1))
    await pool.start(Path({str(base_model)!r}))
    work = asyncio.create_task(pool.recognise("t", Window(0, bytes(960000), ((0, 480000),), True), Options()))
    await asyncio.sleep(0.05)
    print(*pool.pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    gateway = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert gateway.stdout is not None
    (worker,) = map(int, (await asyncio.to_thread(gateway.stdout.readline)).split())
    gateway.kill()
    gateway.wait()
    gateway.stdout.close()
    async with asyncio.timeout(20):
        while _alive(worker):
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
