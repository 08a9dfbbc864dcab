"""`serve --processes`: several gateways behind one port, as their callers and their operator see them."""

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.bench.process import free_port

SECONDS = 60
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
async def running(folder: Path, **settings: str) -> AsyncIterator[Fleet]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    env |= {
        "GATEWAY_PORT": str(port), "GATEWAY_DATA_DIR": str(folder / "data"), "GATEWAY_LOG_LEVEL": "error",
        "GATEWAY_MODEL": str(folder / "none"), "GATEWAY_EXTRACT_PROCESSES": "1", "GATEWAY_SHUTDOWN_S": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    } | settings  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--processes", str(COUNT),
        env=env, cwd=folder, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Fleet(f"http://127.0.0.1:{port}", process)
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), SECONDS)


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
        shutil.rmtree(folder)  # which is the parent's to remove


async def test_a_setting_that_is_wrong_ends_them_all(tmp_path: Path) -> None:
    async with running(tmp_path, GATEWAY_HOST="0.0.0.0") as fleet:  # and no key
        assert await asyncio.wait_for(fleet.process.wait(), SECONDS) == 2
