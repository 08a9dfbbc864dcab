"""Debian packages, fetched and unpacked beside the tests: nothing is installed, no root is needed.

Needs Debian's package lists (`apt-get update`, which is tried as root when they are missing).
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache"


def unpacked(package: str) -> Path:
    """The package's files, fetched the first time. Raises OSError or CalledProcessError."""
    final = CACHE / package
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as room:
                _fetch(package, room)
                shutil.move(f"{room}/unpacked", final)
    return final


def _fetch(package: str, room: str) -> None:
    try:
        _download(package, room)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        _download(package, room)
    (archive,) = Path(room).glob("*.deb")
    subprocess.run(["dpkg", "-x", str(archive), f"{room}/unpacked"], check=True)


def _download(package: str, room: str) -> None:
    # as root apt drops to its own user, which must be able to write here
    os.chmod(room, 0o777)
    subprocess.run(["apt-get", "download", "-qq", package], check=True, cwd=room, stderr=subprocess.DEVNULL)
