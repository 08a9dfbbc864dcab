"""Real speech for the tests of this folder."""

import subprocess

import pytest

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
