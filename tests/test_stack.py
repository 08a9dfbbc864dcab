"""The main job on the whole stack: the same words, whoever recognises them, and nothing left behind."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.nginx import program
from tests.bench.process import BenchFailed
from tests.cluster import Missing, Nodes
from tests.demo import SPOKEN
from tests.postgres import Missing as NoPostgreSQL
from tests.redis import Missing as NoRedis
from tests.stack import GATEWAYS, NODES, up
from tests.stack_demo import KILLED, Played, play

ENDED_S = 20  # for what a killed gateway had started


@pytest.fixture
def nodes(base_model: Path, data_dir: Path) -> Iterator[Nodes]:
    """Two nodes of one CPU each."""
    try:
        program()
        nodes = Nodes(data_dir)
    except (BenchFailed, Missing) as missing:
        pytest.skip(str(missing))
    try:
        up(nodes)
        yield nodes
    finally:
        nodes.stop()


async def test_two_gateways_and_two_nodes_hear_what_one_gateway_hears(nodes: Nodes, tmp_path: Path) -> None:
    before = folders()
    try:
        played = await play(nodes, tmp_path)
    except (NoPostgreSQL, NoRedis) as missing:
        pytest.skip(str(missing))
    whole, over = played.alone.values()
    assert len(whole) > len(over) > 1
    assert played.live == whole
    assert played.followed == dict.fromkeys(GATEWAYS, whole)
    assert played.resumed == over
    assert played.killed in GATEWAYS
    assert played.same
    assert all(played.asked[gateway] for gateway in GATEWAYS), played.asked
    assert all(played.windows[node] for node in NODES), played.windows

    nodes.stop()
    assert nodes.pids() == []
    assert not nodes.folder.exists()
    until = time.monotonic() + ENDED_S
    while (left := processes(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
    assert folders() == before


def test_other_words_are_not_the_same() -> None:
    whole, over, wrong = [(0.0, 1.0, "a")], [(0.0, 2.0, "b")], [(0.0, 1.0, "A")]

    def same(**others: object) -> bool:
        told = {"live": whole, "followed": {"one": whole, "two": whole}, "resumed": over} | others
        heard = {f"speech:{SPOKEN}": whole, KILLED: over}
        return Played(alone=heard, killed="one", asked={}, windows={}, **told).same  # type: ignore[arg-type]

    assert same()
    assert not same(live=wrong)
    assert not same(followed={"one": whole, "two": wrong})
    assert not same(resumed=over[:-1])


def processes(folder: Path) -> list[bytes]:
    """The commands of those that were started with a folder."""
    name, found = str(folder).encode(), []
    for one in Path("/proc").iterdir():
        if one.name.isdigit() and int(one.name) != os.getpid():
            try:
                command = (one / "cmdline").read_bytes()
                if name in command + (one / "environ").read_bytes():
                    found.append(command)
            except OSError:
                continue  # it has ended
    return found


def folders() -> set[Path]:
    """What servers of this process have on disk or in memory."""
    places = (Path(tempfile.gettempdir()), Path("/dev/shm"))
    return {found for place in places for found in place.glob(f"clipwire-*-{os.getpid()}-*")}
