import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.check import run
from gateway.errors import StoreUnavailable
from gateway.running import DATABASE_CLOSE_S, STRANGE_S, running, sweep_uploads
from gateway.settings import Settings
from gateway.store.jobs import Wanted
from gateway.web.server import listening
from gateway.wiring import Gateway
from tests.postgres import Cluster
from tests.store.conftest import cluster as cluster
from tests.web.conftest import until


def settings_of(folder: Path, **more: Any) -> Settings:
    fields = {"data_dir": folder, "extract_processes": 1, "model": str(folder / "none"), "port": 0} | more
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]


@pytest.mark.parametrize("ahead", [True, False])
async def test_what_posts_and_sound_need_is_loaded_ahead_where_that_is_asked_for(
    tmp_path: Path, ahead: bool
) -> None:
    async with running(settings_of(tmp_path), speech=False, ahead=ahead) as gateway:
        assert any(task.get_name() == "children" for task in gateway.background._tasks) == ahead
        if ahead:
            await until(lambda: bool(gateway.extractor._processes.pids), 30)
            assert gateway.decoders._nursery._starting is not None
        assert bool(gateway.extractor._processes.pids) == ahead


def put(folder: Path, name: str, *, age_s: float = 0) -> Path:
    """A file among the uploads."""
    file = folder / "uploads" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"media")
    os.utime(file, (time.time() - age_s,) * 2)
    return file


async def test_an_upload_of_another_database_is_left_until_no_promise_can_be_so_old(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path), speech=False, ahead=False) as gateway:
        open_, ended = [await gateway.jobs.enqueue(Wanted("nobody's", None)) for _ in range(2)]
        await gateway.jobs.cancel(ended.id)
        wanted = put(tmp_path, open_.id, age_s=STRANGE_S + 60)
        strange = put(tmp_path, "strange")
        gone = [put(tmp_path, ended.id), put(tmp_path, "old", age_s=STRANGE_S + 60)]
        assert await sweep_uploads(gateway) == 2
        assert (wanted.exists(), strange.exists()) == (True, True)
        assert not any(file.exists() for file in gone)


async def test_a_check_removes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path), speech=False, ahead=False) as gateway:
        job = await gateway.jobs.enqueue(Wanted("nobody's", None))
        await gateway.jobs.cancel(job.id)
    left = [put(tmp_path, job.id), put(tmp_path, "old", age_s=STRANGE_S + 60)]
    spools = tmp_path / "spools" / "spools-dead"
    spools.mkdir()
    await run.here(settings_of(tmp_path), None, ready_s=1)
    assert all(file.exists() for file in left)
    assert spools.exists()


async def test_a_database_that_stands_still_does_not_keep_a_gateway_from_its_end(
    tmp_path: Path, cluster: Cluster
) -> None:
    begun, frozen, stop = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    async def at_work(gateway: Gateway) -> None:
        with suppress(StoreUnavailable):
            async with gateway.database.transaction() as tx:
                await tx.execute(sa.text("SELECT 1"))
                begun.release()
                await frozen.wait()
                await tx.execute(sa.text("SELECT 1"))

    async def lived() -> None:
        settings = settings_of(tmp_path, database_url=cluster.url("busy"), shutdown_s=0)
        async with listening(settings, speech=False, ahead=False) as (gateway, _):
            for number in range(5):
                gateway.background.start(at_work(gateway), f"at work {number}")
            await stop.wait()

    cluster.create("busy")
    life = asyncio.create_task(lived())
    try:
        for _ in range(5):
            await begun.acquire()
        cluster.freeze()
        frozen.set()
        await asyncio.sleep(0.1)
        stop.set()
        ended, _ = await asyncio.wait([life], timeout=DATABASE_CLOSE_S + 3)  # as documented
    finally:
        cluster.thaw()
        await asyncio.wait([life])
        cluster.sql("DROP DATABASE busy WITH (FORCE)")
    assert ended
