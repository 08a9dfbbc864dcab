"""`serve --processes`: several gateways behind one port, as their callers and their operator see them."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.fleet import fleet_folder
from gateway.commands.shares import share, shared
from gateway.settings import Settings
from tests.commands.running import run
from tests.serving import ROOT, serving

SECONDS = 60
PAPER = (ROOT / "docs" / "settings.md").read_text("utf-8")
COUNT = 2


class Fleet:
    """A parent with its gateways."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process

    async def asked(self, path: str) -> str:
        """An answer, by a connection of its own: any of the gateways takes it."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            assert response.status == 200
            return await response.text()

    async def value(self, name: str) -> float:
        """What a metric is, all of its labels together."""
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", await self.asked("/metrics"), re.M)
        return sum(map(float, found))

    @property
    def members(self) -> list[int]:
        """The gateways' processes."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(one) for one in found.split() if _serves(int(one))]

    async def whole(self) -> None:
        """Waits until all of them tell what they count."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    if len(self.members) == COUNT and await self.value("clipwire_build_info") == 1:
                        told = [(_folder(pid) / f"{pid}.sock").exists() for pid in self.members]
                        if all(told):
                            return
                except (aiohttp.ClientError, OSError, IndexError):
                    assert self.process.returncode is None, "it did not start"
                await asyncio.sleep(0.1)


def _serves(pid: int) -> bool:
    try:
        return b"--member" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _folder(pid: int) -> Path:
    return Path(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2]))


@asynccontextmanager
async def running(folder: Path, **settings: object) -> AsyncIterator[Fleet]:
    if Settings(_env_file=None).workers_max < COUNT:  # type: ignore[call-arg]
        pytest.skip(f"there are no {COUNT} cores")
    async with serving(
        folder, "--processes", str(COUNT), until=None, log_level="error", **settings
    ) as served:  # fmt: skip
        yield Fleet(served.url, served.process)


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(SECONDS):
        while any(map(_serves, pids)):
            await asyncio.sleep(0.05)


async def test_what_all_have_counted_is_told_by_any_and_never_less(tmp_path: Path) -> None:
    async with running(tmp_path) as fleet:
        await fleet.whole()
        before = await fleet.value("clipwire_requests_total")
        for _ in range(20):
            await fleet.asked("/live")
        told = await fleet.value("clipwire_requests_total")
        assert told == before + 21  # and the look before
        assert await fleet.value("clipwire_database_up") == 1
        whole = Settings(_env_file=None)  # type: ignore[call-arg]
        assert await fleet.value("clipwire_spool_limit_bytes") == whole.spool_bytes_max
        assert await fleet.value("clipwire_workers_wanted") == whole.worker_count
        killed, *_ = fleet.members
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        await gone([killed])
        async with asyncio.timeout(SECONDS):
            while len(fleet.members) < COUNT:
                await asyncio.sleep(0.05)
        await fleet.whole()
        print(f"there were {COUNT} again {time.monotonic() - began:.1f} s after one was killed")
        assert await fleet.value("clipwire_requests_total") > told


async def test_they_end_together_and_renew_together(tmp_path: Path) -> None:
    async with running(tmp_path) as fleet:
        await fleet.whole()
        members, folder = fleet.members, _folder(fleet.members[0])
        fleet.process.send_signal(signal.SIGHUP)
        await fleet.asked("/live")
        assert fleet.members == members
        fleet.process.terminate()
        assert await asyncio.wait_for(fleet.process.wait(), SECONDS) == 0
        await gone(members)
        assert not folder.exists()


async def test_they_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path) as fleet:
        await fleet.whole()
        members, folder = fleet.members, _folder(fleet.members[0])
        fleet.process.kill()
        await fleet.process.wait()
        await gone(members)
    assert folder.exists()
    with fleet_folder() as own:  # as at the next start
        assert not folder.exists()
        with fleet_folder():
            assert own.exists()  # whose process lives
    assert not own.exists()


async def test_more_processes_than_the_machine_is_good_for_are_refused(tmp_path: Path) -> None:
    code, _, said = await run(tmp_path, "serve", "--processes", "64", GATEWAY_WORKER_THREADS="64")
    assert code == 2
    assert "--processes" in said


@given(st.integers(0, 10**12), st.integers(1, 64))
def test_shares_are_all_there_is(whole: int, count: int) -> None:
    shares = [share(whole, count, number) for number in range(count)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("count", [1, 2, 3, 64])
def test_what_each_has_is_a_setting_that_may_be(count: int) -> None:
    settings = Settings(_env_file=None, transcripts_max=5, spool_bytes_max=3 << 20)  # type: ignore[call-arg]
    each = [shared(settings, count, number) for number in range(count)]
    for one in each:
        fields = {name.removeprefix("GATEWAY_").lower(): value for name, value in one.items()}
        Settings(_env_file=None, **fields)  # type: ignore[call-arg, arg-type]
        assert set(one) <= set(re.findall(r"`(GATEWAY_\w+)`", PAPER.partition("## Several processes")[2]))
    assert sum(int(one["GATEWAY_TRANSCRIPTS_MAX"]) for one in each) == max(5, count)


async def test_a_setting_that_is_wrong_ends_them_all(tmp_path: Path) -> None:
    async with running(tmp_path, host="0.0.0.0") as fleet:  # and no key
        assert await asyncio.wait_for(fleet.process.wait(), SECONDS) == 2
