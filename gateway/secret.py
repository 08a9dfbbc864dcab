"""The secret that links are signed with, where none is set: made once and kept in the data folder."""

import os
import secrets
import tempfile
from pathlib import Path

NAME = "secret"
BYTES = 32
CHARS_MIN = 16  # as of the setting


def kept(folder: Path, name: str = NAME) -> bytes:
    """The folder's secret. Processes that start together on one folder get the same one."""
    path = folder / name
    if not path.exists():
        _make(path)
    found = path.read_bytes().strip()
    if len(found) < CHARS_MIN:
        raise OSError(f"{path} is no secret; remove it, and a new one is made.")
    return found


def _make(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600 from the first
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # whole at once, and never over what another process made meanwhile
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
