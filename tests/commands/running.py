"""The command line as it is run: a process of its own, with pipes or on a terminal."""

import asyncio
import os
import pty
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.origin.origin import Origin
from tests.serving import environment

END_S = 120  # on a machine that has other work too


def before(origin: Origin, folder: Path) -> dict[str, str]:
    """Settings of a gateway before the origin, without a speech model."""
    return {
        "GATEWAY_PROXY_URL": origin.proxy_url,
        "GATEWAY_PROXY_CA_FILE": str(origin.ca_file),
        "GATEWAY_EXTRACT_PROCESSES": "1",
        "GATEWAY_MODEL": str(folder / "no-model"),
    }


async def begun(
    folder: Path,
    *arguments: str,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
    **env: str,
) -> asyncio.subprocess.Process:
    """A command in that folder, at work."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        cwd=folder, env=environment(folder, **env), stdin=stdin, stdout=stdout, stderr=stderr,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who runs us may ignore it
    )  # fmt: skip


async def run(folder: Path, *arguments: str, stdin: bytes = b"", **env: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    if not stdin:  # a pipe that is closed before anything is written to it is an error of uvloop's
        return await ended(await begun(folder, *arguments, **env))
    process = await begun(folder, *arguments, stdin=asyncio.subprocess.PIPE, **env)
    return await ended(process, stdin)


async def ended(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> tuple[int, str, str]:
    """What came of a command, which must come soon."""
    try:
        async with asyncio.timeout(END_S):
            out, error = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    assert b"Traceback" not in error, error.decode()
    return process.returncode, (out or b"").decode(), error.decode()


async def left(folder: Path, *arguments: str, first: bytes, more: asyncio.Event) -> tuple[int, str]:
    """Exit code and errors of a command whose reader leaves after the first line; then comes more."""
    ours, theirs = os.pipe()
    process = await begun(folder, *arguments, stdout=theirs)
    os.close(theirs)
    assert await asyncio.to_thread(os.read, ours, 100) == first
    os.close(ours)
    more.set()
    code, _, error = await ended(process)
    return code, error


async def on_terminal(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit code of a command, and what a terminal gets of it."""
    master, slave = pty.openpty()
    process = await begun(
        folder, *arguments, stdout=slave, stderr=slave, **({"TERM": "xterm-256color", "COLUMNS": "100"} | env)
    )
    os.close(slave)
    try:
        async with asyncio.timeout(END_S):
            said = await asyncio.to_thread(lambda: b"".join(_read(master)))
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        os.close(master)
    assert b"Traceback" not in said, said.decode()
    return code, said.decode()


def _read(master: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # nobody has the terminal open any more
            return
        if not data:
            return
        yield data


def screen(said: str) -> list[str]:
    """What is to be read on a terminal in the end: its lines, without colours and spaces at their ends."""
    lines, at = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if piece == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif piece == "\x1b[1A":
            at -= 1
        elif piece == "\x1b[2K":
            lines[at] = ""
        elif not piece.startswith(("\x1b", "\r")):
            lines[at] += piece
    return [line.rstrip() for line in lines if line.strip()]


def processes(folder: Path) -> list[str]:
    """What still runs with its data in the folder."""
    named = f"GATEWAY_DATA_DIR={folder / 'data'}".encode()
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if named in (one / "environ").read_bytes().split(b"\0"):
                found.append((one / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended
            continue
    return found
