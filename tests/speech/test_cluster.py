"""The pool on Ray, where it is not as the one of this machine: its ends, its faults, its commands.

Recovery times are printed: `pytest -s`.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import Busy, SpeechFailed
from gateway.settings import Settings
from gateway.speech.cluster import ClusterPool
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool, Pool
from tests.cluster import ROOT, Nodes
from tests.speech.clips import Clip, error_rate
from tests.speech.test_pool import text, window

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECOVERY_S = 150  # of a machine that others use too


@pytest.fixture(scope="module")
def deployed(nodes: Nodes) -> Nodes:
    """The cluster with a replica on each node."""
    done = nodes.command("deploy", GATEWAY_CLUSTER_REPLICAS_MIN="2")
    assert done.returncode == 0, done.stderr
    return nodes


@asynccontextmanager
async def started(nodes: Nodes, *, replicas: int = 2) -> AsyncIterator[ClusterPool]:
    pool = ClusterPool(Settings(cluster_address=nodes.address, cluster_replicas_min=2))
    try:
        async with asyncio.timeout(RECOVERY_S):
            await pool.start(Path("base"))
        await until(lambda: pool.loaded >= replicas)
        yield pool
    finally:
        await pool.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(RECOVERY_S):
        while not done():
            await asyncio.sleep(0.02)


async def many(pool: Pool, clips: list[Clip]) -> list["asyncio.Task[str]"]:
    """Windows on their way, some of which are with a replica already."""
    tasks = [asyncio.create_task(text(pool, clip, transcript=str(n % 3))) for n, clip in enumerate(clips)]
    await asyncio.sleep(0.3)
    return tasks


async def recovered(what: str, pool: ClusterPool, clips: list[Clip], fault: Callable[[], None]) -> None:
    """No window is lost to a fault, and there is service again without a hand."""
    tasks = await many(pool, clips * 2)
    began = time.monotonic()
    await asyncio.to_thread(fault)
    async with asyncio.timeout(RECOVERY_S):
        texts = await asyncio.gather(*tasks)
    print(f"{what}: all windows answered after {time.monotonic() - began:.1f} s", flush=True)
    for clip, said in zip(clips * 2, texts, strict=True):
        assert error_rate(clip, said) < 0.3


async def test_its_texts_are_those_of_the_local_pool(
    deployed: Nodes, base_model: Path, debian_clips: list[Clip]
) -> None:
    local = LocalPool(Settings(workers=1))
    await local.start(base_model)
    try:
        own = [await text(local, clip) for clip in debian_clips]
    finally:
        await local.close()
    async with started(deployed) as pool:
        assert [await text(pool, clip) for clip in debian_clips] == own
        assert pool.windows == len(debian_clips)
        assert pool.speed is not None
        assert pool.worked_s > 0


async def test_what_is_asked_differently_shares_no_batch(deployed: Nodes, debian_clips: list[Clip]) -> None:
    wishes = [
        Options(language="en"),
        Options(language="en", hotwords="Mister Jon Dashwode"),
        Options(language="en", prompt="Mister Jon Dashwode"),
    ]
    async with started(deployed) as pool:
        plain, hot, prompted = await asyncio.gather(
            *(text(pool, debian_clips[0], options=options) for options in wishes)
        )
    assert "Dashwode" not in plain
    assert "Dashwode" in hot
    assert "Dashwode" in prompted


async def test_a_window_that_nobody_waits_for_leaves_the_cluster(
    deployed: Nodes, debian_clips: list[Clip]
) -> None:
    async with started(deployed) as pool:
        tasks = await many(pool, debian_clips * 4)
        assert pool._out
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert not pool._out
        assert not pool.waiting
        assert error_rate(debian_clips[1], await text(pool, debian_clips[1])) < 0.3


async def test_the_commands_tell_how_it_stands(deployed: Nodes) -> None:
    told = await asyncio.to_thread(deployed.command, "status")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("1 CPUs") == 2
    assert "clipwire-base: running, 2 of 2 replicas ready" in told.stdout
    other = await asyncio.to_thread(deployed.command, "status", GATEWAY_MODEL="tiny.en")
    assert other.returncode == 1
    assert "not deployed" in other.stdout


async def test_a_replica_that_is_killed(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:

        def fault() -> None:
            os.kill(deployed.replicas()[0], signal.SIGKILL)

        await recovered("a replica killed", pool, debian_clips, fault)
        assert pool.ready


async def test_a_replica_that_hangs(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        hung = deployed.replicas()[0]
        await recovered("a replica stopped", pool, debian_clips, lambda: os.kill(hung, signal.SIGSTOP))
        await until(lambda: hung not in deployed.replicas())


async def test_a_driver_that_is_killed(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        (driver,) = pool.pids
        await recovered("the driver killed", pool, debian_clips, lambda: os.kill(driver, signal.SIGKILL))
        assert pool.pids != [driver]


async def test_a_node_that_is_gone_and_comes_back(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        await recovered("a node killed", pool, debian_clips, lambda: deployed.kill("second"))
        began = time.monotonic()
        await asyncio.to_thread(deployed.node, "second")
        await until(lambda: pool.loaded == 2)
        print(f"a node back: two replicas after {time.monotonic() - began:.1f} s", flush=True)


async def test_a_head_that_is_started_again(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:

        def fault() -> None:
            deployed.kill("")  # what is left of the other node ends by itself in a minute
            deployed.start()

        await recovered("the head restarted", pool, debian_clips, fault)
        await asyncio.to_thread(deployed.node, "second")
        await until(lambda: pool.loaded == 2)


async def test_what_was_removed_stays_removed(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        removed = await asyncio.to_thread(deployed.command, "remove")
        assert "clipwire-base: removed" in removed.stdout, removed.stderr
        await until(lambda: not pool.ready)
        assert not pool.loaded
        again = await asyncio.to_thread(deployed.command, "remove")
        assert "clipwire-base: not deployed" in again.stdout


async def test_a_model_that_no_node_gets_is_said(nodes: Nodes) -> None:
    told = await asyncio.to_thread(
        nodes.command, "deploy", GATEWAY_MODEL="no-such-model", GATEWAY_MODEL_HUB_S="1"
    )
    assert told.returncode == 1
    assert "No replica came up" in told.stderr
    assert "Traceback" not in told.stderr
    await asyncio.to_thread(nodes.command, "remove", GATEWAY_MODEL="no-such-model")


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


async def test_a_cluster_that_is_not_there_is_waited_for_and_let_go() -> None:
    pool = ClusterPool(Settings(cluster_address="127.0.0.1:9"))
    starting = asyncio.create_task(pool.start(Path("base")))
    await asyncio.sleep(0.5)
    assert not pool.ready
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert pool.pids == []


async def test_without_the_setting_no_ray_is_imported(tmp_path: Path) -> None:
    code = """
import sys
from gateway.__main__ import app
from gateway.settings import Settings
from gateway.wiring import Gateway
from gateway.web import server
from pathlib import Path
print(type(Gateway(Settings(data_dir=Path(sys.argv[1]))).pool).__name__)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("ray", "grpc")))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    told = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(tmp_path)],
        cwd=tmp_path, env=environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"},
        text=True, capture_output=True, timeout=100,
    )  # fmt: skip
    assert told.stdout.split("\n")[:2] == ["LocalPool", "[]"], told.stderr


async def test_a_command_without_a_cluster_says_what_is_missing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    told = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "gateway", "cluster", "status"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"},
        text=True, capture_output=True, timeout=100,
    )  # fmt: skip
    assert told.returncode == 2
    assert "GATEWAY_CLUSTER_ADDRESS" in told.stderr


@pytest.mark.parametrize("address", ["host", "host:port", "http://host:1", "a@b:1", "host:1/x", ":6379"])
async def test_an_address_has_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Settings(cluster_address=address)
