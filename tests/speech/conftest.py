"""Real speech for the tests of this folder."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Missing, Nodes
from tests.speech import clips
from tests.speech.clips import Clip


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


@pytest.fixture(scope="module")
def nodes(base_model: Path, data_dir: Path) -> Iterator[Nodes]:
    """A Ray cluster of two nodes of one CPU each, with a replica of the base model on each."""
    try:
        nodes = Nodes(data_dir)
    except Missing as missing:
        pytest.skip(str(missing))
    patch = pytest.MonkeyPatch()
    try:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
            patch.setenv(name, nodes.environment[name])
        patch.setenv("PYTHONPATH", nodes.environment["PYTHONPATH"])
        nodes.start()
        nodes.node("second")
        yield nodes
    finally:
        patch.undo()
        nodes.stop()
