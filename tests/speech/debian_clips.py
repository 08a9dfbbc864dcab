"""Real speech from Debian's pocketsphinx-testdata: LibriVox readers, with what they say.

Run as a module it fetches them; needs Debian's package lists, but no root when they are there.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_CACHE = Path(__file__).parents[2] / ".cache"
_PACKAGE = "pocketsphinx-testdata"


def folder() -> Path:
    """The unpacked package, fetched the first time. Raises OSError or CalledProcessError."""
    final = _CACHE / "pocketsphinx"
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "pocketsphinx.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            _fetch(final)
    return final


def librivox() -> dict[Path, str]:
    """Clips and their words, in lower case without punctuation."""
    where = folder() / "usr/share/pocketsphinx/test/data/librivox"
    clips = {}
    for line in (where / "transcription").read_text().splitlines():
        words, _, name = line.rpartition("(")
        text = words.replace("<s>", "").replace("</s>", "").strip()
        clips[where / f"{name.rstrip(')').strip()}.wav"] = text.lower()
    return clips


def _fetch(final: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE) as room:
        try:
            _download(room)
        except subprocess.CalledProcessError:
            if os.geteuid() != 0:
                raise
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            _download(room)
        (package,) = Path(room).glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), f"{room}/unpacked"], check=True)
        shutil.move(f"{room}/unpacked", final)


def _download(room: str) -> None:
    # as root apt drops to its own user, which must be able to write here
    os.chmod(room, 0o777)
    subprocess.run(["apt-get", "download", "-qq", _PACKAGE], check=True, cwd=room)


if __name__ == "__main__":
    print(folder())
