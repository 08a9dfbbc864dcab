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
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.check import run
from gateway.errors import SpeechFailed
from gateway.settings import Settings
from gateway.speech import models
from gateway.speech.cluster import ClusterPool
from gateway.speech.pool import LocalPool, Pool
from gateway.wire.events import End, Info
from tests.cluster import ROOT, Nodes
from tests.speech.clips import Clip, error_rate
from tests.speech.hub import Hub
from tests.speech.pools import REPLICAS, UNTIL_S, text, until
from tests.web.conftest import started as front
from tests.web.test_transcribe import line, lines

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOAK_ONLY = pytest.mark.skipif("CLIPWIRE_SOAK" not in os.environ, reason="long: with CLIPWIRE_SOAK only")


@pytest.fixture(scope="module")
def deployed(nodes: Nodes) -> Nodes:
    """The cluster with a replica on each node, where little may wait."""
    done = nodes.command("deploy", GATEWAY_CLUSTER_QUEUE_MAX="4", **REPLICAS)
    assert done.returncode == 0, done.stderr
    return nodes


@asynccontextmanager
async def started(nodes: Nodes, *, replicas: int = 2) -> AsyncIterator[ClusterPool]:
    pool = ClusterPool(Settings(cluster_address=nodes.address, cluster_replicas_min=2))
    try:
        async with asyncio.timeout(UNTIL_S):
            await pool.start(Path("base"))
        await until(lambda: pool.loaded >= replicas)
        yield pool
    finally:
        await pool.close()


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
    async with asyncio.timeout(UNTIL_S):
        texts = await asyncio.gather(*tasks)
    print(f"{what}: all windows answered after {time.monotonic() - began:.1f} s", flush=True)
    for clip, said in zip(clips * 2, texts, strict=True):
        assert error_rate(clip, said) < 0.3


@pytest.mark.cluster
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


@pytest.mark.cluster
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


@pytest.mark.cluster
async def test_two_gateways_share_the_replicas_and_what_they_do_not_take_waits(
    deployed: Nodes, debian_clips: list[Clip]
) -> None:
    clips = debian_clips * 3
    with capture_logs() as logs:
        async with started(deployed) as one, started(deployed) as other:
            texts = await asyncio.gather(
                *(
                    text(pool, clip, transcript=str(n % 3))
                    for pool in (one, other)
                    for n, clip in enumerate(clips)
                )
            )
            assert one.windows == other.windows == len(clips)
            assert not one.restarts + other.restarts
    for clip, said in zip(clips * 2, texts, strict=True):
        assert error_rate(clip, said) < 0.3
    assert "speech cluster full" in [log["event"] for log in logs]


@pytest.mark.cluster
async def test_a_gateway_on_it_tells_the_truth(deployed: Nodes, tmp_path: Path) -> None:
    async with front(
        tmp_path, cluster_address=deployed.address, model="base", transcripts_max=1, admin_key="k" * 32
    ) as gateway:
        await until(lambda: gateway.gateway.pool.loaded == 2)
        keyed = {"X-API-Key": "k" * 32}
        ask = partial(gateway.session.post, gateway.url + "/transcribe", headers=keyed)
        async with gateway.session.get(gateway.url + "/ready") as told:
            assert (told.status, (await told.json())["speech"]) == (200, "ok")
        async with ask(json={"url": gateway.origin.url("video")}) as answer:
            assert isinstance((await lines(answer))[-1], End)
        gateway.origin.pace(20_000)
        async with ask(json={"url": gateway.origin.url("speech")}) as answer:
            assert isinstance(await line(answer), Info)
            async with ask(json={"url": gateway.origin.url("photo3")}) as refused:
                assert refused.status == 503
                assert (await refused.json())["error"]["code"] == "BUSY"
                assert int(refused.headers["Retry-After"]) > 0
            answer.close()
        gateway.origin.pace(None)
        await until(lambda: not len(gateway.gateway.transcripts))
        async with gateway.session.get(gateway.url + "/metrics", headers=keyed) as told:
            metrics = (await told.text()).splitlines()
        assert "clipwire_workers 2.0" in metrics
        assert "clipwire_workers_wanted 2.0" in metrics
        _, findings = await run.there(gateway.url, "k" * 32, None)
        assert not [one for one in findings if one.state == "fails"]
        assert "speech" in [one.what for one in findings if one.state == "works"]


@pytest.mark.cluster
async def test_the_commands_tell_how_it_stands(deployed: Nodes) -> None:
    told = await asyncio.to_thread(deployed.command, "status")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("1 CPUs") == 2
    assert "clipwire-base: running, 2 of 2 replicas ready" in told.stdout
    other = await asyncio.to_thread(deployed.command, "status", GATEWAY_MODEL="tiny.en")
    assert other.returncode == 1
    assert "not deployed" in other.stdout


@pytest.mark.cluster
async def test_a_replica_that_is_killed(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:

        def fault() -> None:
            os.kill(deployed.replicas()[0], signal.SIGKILL)

        await recovered("a replica killed", pool, debian_clips, fault)
        assert pool.ready


@pytest.mark.cluster
@pytest.mark.soak
@SOAK_ONLY
async def test_a_replica_that_hangs(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        hung = deployed.replicas()[0]
        await recovered("a replica stopped", pool, debian_clips, lambda: os.kill(hung, signal.SIGSTOP))
        await until(lambda: hung not in deployed.replicas())


@pytest.mark.cluster
async def test_a_driver_that_is_killed(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:
        (driver,) = pool.pids
        await recovered("the driver killed", pool, debian_clips, lambda: os.kill(driver, signal.SIGKILL))
        assert pool.pids != [driver]


@pytest.mark.cluster
async def test_a_node_is_gone_and_another_fetches_the_model_before_it_takes_work(
    deployed: Nodes, base_model: Path, debian_clips: list[Clip], tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in base_model.iterdir()}
    with Hub(files, damaged=frozenset({"model.bin"})) as hub:
        without_model = {
            "GATEWAY_DATA_DIR": str(tmp_path), "HF_ENDPOINT": hub.url,
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path),
        }  # fmt: skip
        async with started(deployed) as pool:
            await recovered("a node killed", pool, debian_clips, lambda: deployed.kill("second"))
            began = time.monotonic()
            await asyncio.to_thread(lambda: deployed.node("second", **without_model))
            await until(lambda: pool.loaded == 2)
            print(f"a node back: two replicas after {time.monotonic() - began:.1f} s", flush=True)
    assert hub.given["model.bin"] == 2  # what came first was not the published one
    assert models.find("base", tmp_path) == tmp_path / "models" / "base"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["base"]


@pytest.mark.cluster
async def test_a_head_that_is_started_again(deployed: Nodes, debian_clips: list[Clip]) -> None:
    async with started(deployed) as pool:

        def fault() -> None:
            deployed.kill("")  # what is left of the other node ends by itself in a minute
            deployed.start()

        await recovered("the head restarted", pool, debian_clips, fault)
        await asyncio.to_thread(deployed.node, "second")
        await until(lambda: pool.loaded == 2)


@pytest.mark.cluster
@pytest.mark.soak
@SOAK_ONLY
async def test_worn_replicas_are_replaced_and_no_window_is_lost(
    deployed: Nodes, debian_clips: list[Clip]
) -> None:
    done = await asyncio.to_thread(
        lambda: deployed.command("deploy", GATEWAY_WORKER_WINDOWS_MAX="1", **REPLICAS)
    )
    assert done.returncode == 0, done.stderr
    async with started(deployed) as pool:
        before = set(deployed.replicas())
        texts: list[str] = []
        while before & set(deployed.replicas()):
            texts += await asyncio.gather(*await many(pool, debian_clips))
        for clip, said in zip(debian_clips * (len(texts) // len(debian_clips)), texts, strict=True):
            assert error_rate(clip, said) < 0.3
        assert not pool.restarts


@pytest.mark.cluster
async def test_what_was_removed_stays_removed_whatever_else_is_deployed(
    deployed: Nodes, debian_clips: list[Clip]
) -> None:
    async with started(deployed) as pool:
        removed = await asyncio.to_thread(deployed.command, "remove")
        assert "clipwire-base: removed" in removed.stdout, removed.stderr
        await until(lambda: not pool.ready)
        waiting = asyncio.create_task(text(pool, debian_clips[0]))
        other = {"GATEWAY_MODEL": "no-such-model", "GATEWAY_MODEL_HUB_S": "1"}
        told = await asyncio.to_thread(lambda: deployed.command("deploy", **other))
        assert told.returncode == 1
        assert "No replica came up" in told.stderr
        assert "Traceback" not in told.stderr
        assert not pool.loaded
        assert not pool.ready
        with pytest.raises(SpeechFailed):
            await waiting
        await asyncio.to_thread(lambda: deployed.command("remove", **other))
        again = await asyncio.to_thread(deployed.command, "remove")
        assert "clipwire-base: not deployed" in again.stdout


@pytest.mark.cluster
async def test_a_gpu_that_no_node_has_is_said_at_once(nodes: Nodes) -> None:
    told = await asyncio.to_thread(lambda: nodes.command("deploy", GATEWAY_DEVICE="cuda"))
    assert told.returncode == 1
    assert "No node has 1 CPU and 1 GPU for a worker" in told.stderr
    assert "Traceback" not in told.stderr


async def test_a_cluster_that_is_not_there_is_waited_for_and_let_go() -> None:
    pool = ClusterPool(Settings(cluster_address="127.0.0.1:9"))
    starting = asyncio.create_task(pool.start(Path("base")))
    await asyncio.sleep(0.5)
    assert not pool.ready
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert pool.pids == []


async def test_without_their_settings_no_ray_redis_or_postgresql_is_imported(tmp_path: Path) -> None:
    code = """
import sys
from gateway.__main__ import app
from gateway.settings import Settings
from gateway.wiring import Gateway
from gateway.web import server
from pathlib import Path
print(type(Gateway(Settings(data_dir=Path(sys.argv[1]))).pool).__name__)
print(sorted({name.split(".")[0] for name in sys.modules} & {"ray", "grpc", "redis", "asyncpg"}))
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
