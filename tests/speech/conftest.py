"""Real speech for the tests of this folder."""

import subprocess
from collections.abc import Generator, Iterator
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


CLUSTER = pytest.StashKey[Nodes]()


@pytest.fixture(scope="module")
def nodes(base_model: Path, data_dir: Path, pytestconfig: pytest.Config) -> Iterator[Nodes]:
    """A Ray cluster of two nodes of one CPU each, for all tests that are marked `cluster`."""
    found = pytestconfig.stash.get(CLUSTER, None)
    if found is None:
        try:
            found = pytestconfig.stash[CLUSTER] = Nodes(data_dir)
        except Missing as missing:
            pytest.skip(str(missing))
        found.start()
    if not found.pids("second"):
        found.node("second")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "PYTHONPATH"):
            patch.setenv(name, found.environment[name])
        yield found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of the cluster first: it is started once, and no other process of tests takes some of them."""
    items.sort(key=lambda item: not _of_cluster(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """Ends the cluster after the last of them."""
    try:
        return (yield)
    finally:
        if (nextitem is None or not _of_cluster(nextitem)) and CLUSTER in item.config.stash:
            item.config.stash[CLUSTER].stop()
            del item.config.stash[CLUSTER]


def _of_cluster(item: pytest.Item) -> bool:
    return item.get_closest_marker("cluster") is not None
