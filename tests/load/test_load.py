"""A real gateway under every kind of call at once: right answers, nothing lost, nothing left, and fair.

`make test` loads it for some 25 s, `make soak` for eight minutes; by hand: `python -m tests.load`.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.load.calls import KINDS
from tests.load.leaks import Standing, leaks
from tests.load.run import OWN_KB_MORE, WORKER_KB_MORE, Load, run

LOAD = Load(480) if os.environ.get("CLIPWIRE_SOAK") else Load(10, callers=8)

QUIET = Standing(
    files={"socket": 10, "pipe": 4, "database": 3, "spool": 1}, processes=5, zombies=0, threads=9,
    own_kb=100_000, all_kb=500_000, spools=(), holds=0, jobs=0,
    metrics={"clipwire_requests_open": 1, "clipwire_workers": 1, "clipwire_workers_wanted": 1},
)  # fmt: skip


@pytest.mark.soak
async def test_a_gateway_under_load_answers_rightly_and_keeps_nothing(
    tmp_path: Path, base_model: Path
) -> None:
    found = await run(LOAD, tmp_path)
    print(found.tally.table(f"{LOAD.seconds:.0f} s of load", found.leaks))
    assert not found.faults, "\n".join(found.faults)
    kinds = {call.__name__.replace("_", " ") for call in KINDS}
    assert len(kinds & set(found.tally.kinds)) > len(kinds) / 2
    assert found.tally.ends["200"] > LOAD.seconds
    assert found.tally.ends["left"]


@pytest.mark.parametrize(
    "more",
    [
        {"files": {"spool": 2}}, {"files": {"socket": 20}}, {"files": {"pipe": 12}}, {"files": {"other": 1}},
        {"files": {"database": 40}}, {"processes": 6}, {"zombies": 1}, {"threads": 40}, {"holds": 1},
        {"own_kb": 100_000 + OWN_KB_MORE + 1}, {"all_kb": 500_000 + OWN_KB_MORE + WORKER_KB_MORE + 1},
        {"jobs": 1}, {"spools": ("spools/spools-a/1",)}, {"metrics": {"clipwire_requests_open": 2}},
        {"metrics": {"clipwire_streams_open": 1}}, {"metrics": {"clipwire_spool_bytes": 1}},
        {"metrics": {"clipwire_workers": 0}}, {"metrics": {"clipwire_transcripts_running": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_is_left_is_seen(more: dict[str, Any]) -> None:
    if "metrics" in more:
        more = {"metrics": {**QUIET.metrics, **more["metrics"]}}
    bounds = {"own_kb_more": OWN_KB_MORE, "worker_kb_more": WORKER_KB_MORE}
    assert not leaks(QUIET, QUIET, **bounds)
    assert len(leaks(replace(QUIET, **more), QUIET, **bounds)) == 1
