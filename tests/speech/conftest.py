"""A model, fetched once for all tests of this machine, and a bound on every test."""

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gateway.speech import models
from tests.speech import clips
from tests.speech.clips import Clip

DATA_DIR = Path(os.environ.get("CLIPWIRE_TEST_DATA") or Path(__file__).parents[2] / ".cache" / "data")
TEST_S_MAX = 120  # nothing here takes a quarter of it; a hang must not take the suite with it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if not item.path.is_relative_to(Path(__file__).parent):
        return (yield)

    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{item.name} did not end")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(TEST_S_MAX)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    return DATA_DIR


@pytest.fixture(scope="session")
def base_model(data_dir: Path) -> Path:
    """The real base model; parallel test processes wait for one of them to fetch it."""
    with (data_dir / "pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return asyncio.run(models.pull("base", data_dir, 10, lambda what, done, total: None))


@pytest.fixture(scope="session")
def debian_clips() -> list[Clip]:
    try:
        return clips.debian()
    except (OSError, subprocess.CalledProcessError) as failure:
        pytest.skip(f"Debian's pocketsphinx-testdata is not to be had: {failure}")


@pytest.fixture(scope="session")
def held_clips() -> list[Clip]:
    found = clips.held()
    if found is None:
        pytest.skip("CLIPWIRE_SPEECH names no folder with clips and their manifest.json")
    return found


@pytest.fixture(scope="session")
def passage(debian_clips: list[Clip]) -> Clip:
    """Some 40 s of speech in several windows."""
    return clips.joined(debian_clips + debian_clips[:3], 1.0)
