"""Child processes and their ends."""

import asyncio
import os
import sys

import pytest

from gateway import spawn

ECHO = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


async def child(program: str, **more: int) -> spawn.Piped:
    return await spawn.piped(sys.executable, "-c", program, **more)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_all_that_is_written_is_read_again() -> None:
    sent = os.urandom(3 << 20)
    echo = await child(ECHO)

    async def write() -> None:
        echo.stdin.write(sent)
        await echo.stdin.drain()
        echo.stdin.write_eof()

    _, heard = await asyncio.gather(write(), echo.stdout.read())
    assert heard == sent
    assert await echo.wait() == echo.returncode == 0


async def test_what_was_said_before_a_death_is_read_after_it() -> None:
    dies = await child("import os; os.write(1, b'x' * 50000); os._exit(3)")
    dies.stdin.write(b"it reads nothing")
    assert await dies.wait() == 3
    assert await dies.stdout.read() == b"x" * 50000


async def test_a_dead_one_is_not_written_to() -> None:
    dead = await child("pass")
    await dead.wait()
    assert await dead.stdout.read() == b""
    with pytest.raises((ConnectionError, RuntimeError)):
        async with asyncio.timeout(10):
            while True:
                dead.stdin.write(b"x")
                await dead.stdin.drain()
                await asyncio.sleep(0)


async def test_a_line_is_bounded() -> None:
    long = await child("print('x' * 5000)", limit_bytes=1000)
    with pytest.raises(ValueError, match="limit"):
        await long.stdout.readline()
    await long.wait()


async def test_one_that_is_killed_is_dead_and_buried() -> None:
    sleeps = await child(SLEEP)
    assert await sleeps.stdout.readline() == b"up\n"
    assert sleeps.returncode is None
    assert os.getsid(sleeps.pid) == sleeps.pid
    sleeps.kill()
    assert await sleeps.wait() == -9
    sleeps.kill()  # again, which is nothing to anybody
    with pytest.raises(ProcessLookupError):
        os.kill(sleeps.pid, 0)


async def test_one_that_nobody_waits_for_is_buried_and_leaves_no_descriptor() -> None:
    await (await child("pass")).wait()
    before = descriptors()
    pids = [(await child("print('x')")).pid for _ in range(5)]
    async with asyncio.timeout(30):
        while any(os.path.exists(f"/proc/{pid}") for pid in pids) or descriptors() > before:
            await asyncio.sleep(0.01)


async def test_what_is_no_program_leaves_no_descriptor() -> None:
    await (await child("pass")).wait()  # the loop itself keeps some
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        await spawn.piped("/there/is/none")
    async with asyncio.timeout(10):
        while descriptors() > before:
            await asyncio.sleep(0)
    with pytest.raises(FileNotFoundError):
        spawn.spawn("/there/is/none", stdin=0)


async def test_a_descriptor_becomes_its_input() -> None:
    reading, writing = os.pipe()
    process = spawn.spawn(sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))", stdin=reading)
    os.close(reading)
    os.write(writing, b"seven..")
    os.close(writing)
    assert await process.wait() == 7
