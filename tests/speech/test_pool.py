import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import ModelUnavailable, SpeechFailed
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.orders import Begun, FromDriver
from gateway.speech.pool import LocalPool, Pool
from gateway.speech.windows import Window
from tests.speech.clips import Clip, error_rate, silence

pytestmark = pytest.mark.asyncio(loop_scope="module")


class SeenClusterPool(ClusterPool):
    """One whose replicas are on this machine: their processes are known once they have begun a window."""

    seen: set[int]

    def _take(self, said: FromDriver) -> None:
        if isinstance(said, Begun):
            self.seen.add(int(said.replica.rpartition(":")[2]))
        super()._take(said)

    @property
    def pids(self) -> list[int]:
        return [pid for pid in self.seen if _alive(pid)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["local", "cluster"])
async def pool(request: pytest.FixtureRequest, base_model: Path) -> AsyncIterator[Pool]:
    if request.param == "local":
        pool: Pool = LocalPool(Settings(workers=2))
    else:
        nodes = request.getfixturevalue("nodes")
        deployed = await asyncio.to_thread(nodes.command, "deploy", GATEWAY_CLUSTER_REPLICAS_MIN="2")
        assert deployed.returncode == 0, deployed.stderr
        pool = SeenClusterPool(Settings(cluster_address=nodes.address, cluster_replicas_min=2))
        pool.seen = set()
    async with asyncio.timeout(150):
        await pool.start(base_model)
    yield pool
    await pool.close()


@pytest.fixture
def local(pool: Pool) -> LocalPool:
    """The pool where the test is about its processes."""
    if not isinstance(pool, LocalPool):
        pytest.skip("about processes on this machine")
    return pool


def window(clip: Clip, *, first: bool = False) -> Window:
    return Window(0, clip.samples, ((0, len(clip.samples) // 2),), first)


async def text(pool: Pool, clip: Clip, *, transcript: str = "t", options: Options | None = None) -> str:
    answer = await pool.recognise(transcript, window(clip), options or Options(language="en"))
    return " ".join(segment.text for segment in answer.segments)


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


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.005)


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
    pool: Pool, debian_clips: list[Clip]
) -> None:
    tasks = [asyncio.create_task(text(pool, clip)) for clip in debian_clips * 2]
    await asyncio.sleep(0.1)
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    texts = await asyncio.gather(*tasks)
    assert texts == [await text(pool, clip) for clip in debian_clips] * 2


async def test_workers_killed_again_and_again_fail_clearly_then_serve(
    pool: Pool, debian_clips: list[Clip]
) -> None:
    stop = asyncio.Event()

    async def murder() -> None:
        seen: set[int] = set()
        while not stop.is_set():
            await asyncio.sleep(0.02)  # one that has not begun is no try of its window
            for pid in (fresh := set(pool.pids) - seen):
                os.kill(pid, signal.SIGKILL)
            seen |= fresh

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
    assert not any(_alive(pid) for pid in before)


async def test_a_worker_within_its_bounds_stays(local: LocalPool, debian_clips: list[Clip]) -> None:
    await until(lambda: len(local.pids) == local.workers)
    before = set(local.pids)
    for _ in range(3):
        await text(local, debian_clips[1])
    assert set(local.pids) == before


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
        assert not _alive(before)
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


async def test_a_stopped_worker_that_dies_meanwhile_is_replaced_too(
    base_model: Path, debian_clips: list[Clip]
) -> None:
    async with started(base_model, Settings(workers=1)) as pool:
        (before,) = pool.pids
        os.kill(before, signal.SIGSTOP)
        task = asyncio.create_task(text(pool, debian_clips[0]))
        await at_work(pool, [task])
        task.cancel()
        os.kill(before, signal.SIGKILL)
        await asyncio.wait({task})
        assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3
        assert before not in pool.pids


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


async def test_hotwords_and_a_prompt_are_those_of_their_own_window(
    base_model: Path, debian_clips: list[Clip]
) -> None:
    async with started(base_model, Settings(workers=1)) as pool:
        before = pool.pids
        wishes = [Options(language="en"), Options(language="en", hotwords="Mister Jon Dashwode")]
        wishes += [Options(language="en", prompt="Mister Jon Dashwode")]
        plain, hot, prompted = await asyncio.gather(
            *(text(pool, debian_clips[0], options=options) for options in wishes)
        )
        assert "Dashwode" not in plain
        assert "Dashwode" in hot
        assert "Dashwode" in prompted
        assert pool.pids == before


async def test_the_encoder_hears_as_much_as_is_set(base_model: Path, debian_clips: list[Clip]) -> None:
    async with started(base_model, Settings(workers=1, encoder_silence_s=30)) as pool:
        assert error_rate(debian_clips[0], await text(pool, debian_clips[0])) < 0.3


async def test_workers_step_back_behind_the_gateway(local: LocalPool) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    for pid in local.pids:
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
    assert not any(_alive(pid) for pid in pids)


async def test_no_worker_outlives_a_killed_gateway(base_model: Path, tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.pool import LocalPool, Pool
from gateway.speech.orders import Begun, FromDriver
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
