"""Chunks to a file with a safe name.

Always: under its name there is a whole file or what was there before; the file lies in the folder
that was asked for; after a failure or a cancellation nothing is left beside it; the event loop
never touches the disk.
"""

import asyncio
import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

NAME_BYTES_MAX = 200  # systems allow 255, and the unfinished file's name is longer
BATCH_BYTES = 1 << 20  # one trip to a thread for so many bytes

# names that Windows keeps for devices, whatever their extension
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³]) *(\.|$)")


async def save(chunks: AsyncIterator[bytes], path: Path, received: Callable[[int], None]) -> None:
    """Writes `chunks` to `path`, whole or not at all; `received` hears of every chunk's size."""
    draft = Draft(path)
    try:
        batch, size = list[bytes](), 0
        await _in_thread(draft.open)
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            received(len(chunk))
            if size >= BATCH_BYTES:
                await _in_thread(lambda full=batch: draft.write(full))  # type: ignore[misc]
                batch, size = [], 0
        await _in_thread(lambda: draft.write(batch))
        await _in_thread(draft.keep)
    except BaseException:
        await _in_thread(draft.discard)
        raise


class Draft:
    """A file that is not yet what its name promises; blocking, for a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # two downloads of one post at a time do not write into one file
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO | None = None

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("xb")

    def write(self, chunks: list[bytes]) -> None:
        assert self._file is not None
        self._file.writelines(chunks)

    def keep(self) -> None:
        """Gives the file its name; what had it before is gone."""
        assert self._file is not None
        self._file.close()
        os.replace(self._part, self._path)

    def discard(self) -> None:
        if self._file is None:
            return
        try:
            self._file.close()  # a full disk fails here again
        finally:
            self._part.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """`name`, or the nearest that is one plain, visible file on every system."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(_plain(character) for character in name).rstrip(" .").lstrip(" .-~") or "part"
    if _DEVICES.match(name):
        name = f"_{name}"
    stem, ending = os.path.splitext(name)
    ending = _start(ending, 20)  # longer than any that tells a type
    return (_start(stem, NAME_BYTES_MAX - len(ending.encode())) + ending).rstrip(" .")


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return ""  # control, invisible, half, or turns the direction of what follows
    if category == "Zs":
        return " "
    return "_" if character in '<>:"|?*' else character


def _start(text: str, bytes_max: int) -> str:
    """The longest start of `text` that fits, in whole characters."""
    return text.encode()[:bytes_max].decode(errors="ignore")


async def _in_thread(work: Callable[[], T]) -> T:
    """Runs `work` in a thread. A cancellation waits for its end: nobody cleans up under a running write."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
