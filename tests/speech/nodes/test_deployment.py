import pytest

pytest.importorskip("ray", reason="there is no Ray: pip install clipwire[cluster]")

from gateway.settings import Settings
from gateway.speech.nodes.deployment import lacking
from gateway.speech.orders import Plan

ORDINARY, LARGE, GRAPHICS = ("a", 1.0, 0.0), ("b", 8.0, 0.0), ("c", 2.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "nodes", "lacks"),
    [
        ({}, [ORDINARY], None),
        ({}, [], "1 CPU for"),
        ({}, [("head", 0.0, 1.0)], "1 CPU for"),
        ({"worker_threads": 4}, [ORDINARY], "4 CPU for"),
        ({"worker_threads": 4}, [ORDINARY, LARGE], None),
        ({"device": "cuda"}, [ORDINARY, LARGE], "1 CPU and 1 GPU for"),
        ({"device": "cuda"}, [ORDINARY, GRAPHICS], None),
        ({"device": "cuda", "worker_threads": 4}, [LARGE, GRAPHICS], "4 CPU and 1 GPU for"),
    ],
)
def test_a_worker_needs_one_node_that_has_all_that_it_takes(
    settings: dict[str, object], nodes: list[tuple[str, float, float]], lacks: str | None
) -> None:
    told = lacking(Plan.of(Settings(**settings)), nodes)
    assert told is None if lacks is None else lacks in str(told)
