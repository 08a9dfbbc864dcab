"""Children of the real decoder module: each waits to be told of a file, and ends when nobody will."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.errors import Busy
from gateway.media.nursery import Child, Nursery
from gateway.tasks import Background
from tests.web.conftest import until

MODULE = "gateway.media.decoder"


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    background = Background()
    nursery = Nursery(MODULE, background)
    nursery.load()
    yield nursery
    await background.close()
    await nursery.close()


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def mother(child: Child) -> int:
    """The number of the nursery that forked a child: it leads the group."""
    return os.getpgid(child.pid)


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


async def test_a_child_lives_as_long_as_it_is_held(nursery: Nursery) -> None:
    async with nursery.child() as child:
        assert alive(child.pid)
        assert child.pid != mother(child)
        assert alive(mother(child))
    assert not alive(child.pid)


async def test_a_child_has_nothing_that_is_anothers(nursery: Nursery) -> None:
    async with nursery.child() as first, nursery.child() as second:
        sockets = [
            {
                str(one.readlink())
                for one in Path(f"/proc/{child.pid}/fd").iterdir()
                if str(one.readlink()).startswith("socket:")
            }
            for child in (first, second)
        ]
    assert [len(one) for one in sockets] == [2, 2]  # in and out
    assert not sockets[0] & sockets[1]


async def test_nothing_has_threads_before_or_after_the_fork(nursery: Nursery) -> None:
    async with nursery.child() as child:
        assert threads(mother(child)) == 1
        assert threads(child.pid) == 1


async def test_ctrl_c_is_not_for_them(nursery: Nursery) -> None:
    async with nursery.child() as child:
        assert os.getsid(child.pid) == mother(child) != os.getsid(0)


async def test_a_child_that_is_killed_is_the_only_one_that_dies(nursery: Nursery) -> None:
    async with nursery.child() as first, nursery.child() as second:
        first.kill()
        await first.ended()
        assert not alive(first.pid)
        assert await first.stdout.read() == b""
        assert alive(second.pid)
        first.kill()  # once more: nothing, and nobody else


async def test_dead_children_leave_no_zombies(nursery: Nursery) -> None:
    async with nursery.child() as first, nursery.child() as second:
        parent = mother(first)
        os.kill(second.pid, signal.SIGKILL)
        await second.ended()
    async with nursery.child():
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert str(first.pid) not in children
        assert str(second.pid) not in children


async def test_a_nursery_that_dies_is_replaced_and_its_children_go_on(nursery: Nursery) -> None:
    async with nursery.child() as first:
        dead = mother(first)
        os.kill(dead, signal.SIGKILL)
        async with nursery.child() as second:
            assert mother(second) != dead
            assert not alive(dead)
            assert alive(first.pid)
        assert alive(first.pid)
    assert not alive(first.pid)


async def test_a_nursery_that_dies_while_it_is_asked_is_replaced(nursery: Nursery) -> None:
    async with nursery.child() as first:
        dead = mother(first)
    os.kill(dead, signal.SIGSTOP)  # it is asked, and does not answer any more
    async with AsyncExitStack() as stack:
        asking = asyncio.gather(*(stack.enter_async_context(nursery.child()) for _ in range(4)))
        await asyncio.sleep(0.1)
        assert not asking.done()
        os.kill(dead, signal.SIGKILL)
        assert {mother(child) for child in await asking}.isdisjoint({dead})
        assert len({mother(child) for child in asking.result()}) == 1


SHORT = textwrap.dedent("""
    import errno, os, pathlib
    from gateway.media import cradle, decoder

    fork, before = os.fork, pathlib.Path(__file__).with_suffix(".children")

    def short():
        \"""A system that has no process to give when the second one is asked for.\"""
        count = len(before.read_text()) if before.exists() else 0
        before.write_text("x" * (count + 1))
        if count == 1:
            raise BlockingIOError(errno.EAGAIN, "no process")
        return fork()

    os.fork = short
    cradle.serve(decoder.main)
""")


async def test_a_nursery_that_cannot_fork_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.py").write_text(SHORT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    background = Background()
    nursery = Nursery("short", background)
    async with nursery.child() as first, nursery.child() as second:
        assert mother(second) != mother(first)
        assert not alive(mother(first))
        assert alive(first.pid)
    await background.close()
    await nursery.close()


async def test_one_that_cannot_be_started_is_said_and_tried_again() -> None:
    background = Background()
    nursery = Nursery("gateway.no_such_module", background)
    for _ in range(2):
        with pytest.raises(Busy):
            async with nursery.child():
                pass
    await background.close()
    await nursery.close()


async def test_many_at_once_of_whom_half_leave_while_they_wait(nursery: Nursery) -> None:
    born: list[Child] = []
    leave = asyncio.Event()

    async def held() -> None:
        async with nursery.child() as child:
            born.append(child)
            await leave.wait()

    tasks = [asyncio.ensure_future(held()) for _ in range(24)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await until(lambda: len(born) == 12, 60)
    (parent,) = {mother(child) for child in born}
    # those that nobody waited for end by themselves
    await until(lambda: len(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()) == 12)
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not any(alive(child.pid) for child in born)


async def test_closing_ends_all_that_is_left(nursery: Nursery) -> None:
    async with nursery.child() as child:
        parent = mother(child)
        await nursery.close()
        assert not alive(parent)
        await child.ended()
    assert not alive(child.pid)


GATEWAY = textwrap.dedent("""
    import asyncio, os, signal, sys
    from gateway.media.nursery import Nursery
    from gateway.tasks import Background

    async def main():
        nursery = Nursery("gateway.media.decoder", Background())
        async with nursery.child() as hears, nursery.child() as deaf:
            os.kill(deaf.pid, signal.SIGSTOP)
            print(os.getpgid(hears.pid), hears.pid, deaf.pid, flush=True)
            await asyncio.sleep(600)

    asyncio.run(main())
""")


async def test_when_the_gateway_is_killed_all_of_them_end() -> None:
    """A stopped child stands for one that is stuck in a codec: it hears of nothing."""
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", GATEWAY, stdout=-1)
    assert gateway.stdout is not None
    pids = [int(one) for one in (await gateway.stdout.readline()).split()]
    assert len(pids) == 3
    gateway.kill()
    await gateway.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_child_ends_with_the_gateway_though_its_nursery_is_gone() -> None:
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", GATEWAY, stdout=-1)
    assert gateway.stdout is not None
    parent, hears, deaf = (int(one) for one in (await gateway.stdout.readline()).split())
    os.kill(parent, signal.SIGKILL)
    os.kill(deaf, signal.SIGKILL)
    await until(lambda: not alive(parent))
    assert alive(hears)
    gateway.kill()
    await gateway.wait()
    await until(lambda: not alive(hears))


FIRST_PROCESS = textwrap.dedent("""
    import asyncio, ctypes, os, signal
    from pathlib import Path
    from gateway.media.nursery import Nursery
    from gateway.tasks import Background

    async def main():
        assert ctypes.CDLL(None).prctl(36, 1) == 0  # PR_SET_CHILD_SUBREAPER: orphans fall to us
        nursery = Nursery("gateway.media.decoder", Background())
        async with nursery.child() as child:
            os.kill(os.getpgid(child.pid), signal.SIGKILL)
            status = Path(f"/proc/{child.pid}/status")
            while f"PPid:\\t{os.getpid()}\\n" not in status.read_text():
                await asyncio.sleep(0.01)
        print(os.path.exists(f"/proc/{child.pid}"), flush=True)
        await nursery.close()

    asyncio.run(main())
""")


async def test_an_orphan_that_falls_to_a_containers_first_process_leaves_no_zombie() -> None:
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", FIRST_PROCESS, stdout=-1)
    said, _ = await gateway.communicate()
    assert said.split() == [b"False"]
