"""What is counted is told as Prometheus reads it, and as the papers say."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import FAMILIES, Family, Metrics, Reading
from tests.test_docs import rows, text

ROOT = Path(__file__).parents[1]
UNITS = ("_total", "_bytes", "_seconds", "_ratio", "_info", "_up")
COUNTED = {"requests_open", "streams_open", "spools", "queue_windows", "workers", "workers_wanted",
           "transcripts_running", "transcripts_unwritten", "jobs"}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_a_name_says_whose_it_is_and_ends_in_its_unit(family: Family) -> None:
    name = family.name.removeprefix("clipwire_")
    assert family.name.startswith("clipwire_")
    assert name.endswith(UNITS) or name in COUNTED
    assert name.endswith("_total") == (family.kind == "counter")


def test_the_papers_have_every_metric_with_its_labels() -> None:
    told = {cells[0].strip("`"): (cells[1], cells[2]) for cells in rows(text("docs/operations.md"), "metric")}
    assert told == {
        one.name: (one.kind, ", ".join(f"`{label}`" for label in one.labels) or "-") for one in FAMILIES
    }


def test_requests_are_counted_and_timed() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.05, 0.3, 1000):
        metrics.request("GET /live", "native", "200", seconds=seconds, sent_bytes=15)
    metrics.request("other", "native", "404", seconds=0, sent_bytes=5)
    said = metrics.text([Reading("clipwire_jobs", 3, ("running",))], sending_bytes=100).decode()
    assert metrics.requests == 5
    assert 'clipwire_requests_total{dialect="native",route="GET /live",status="200"} 4.0' in said
    assert "clipwire_sent_bytes_total 165.0" in said
    assert 'clipwire_jobs{state="running"} 3.0' in said
    found = re.findall(r'bucket{dialect="native",le="([^"]+)",route="GET /live"} (\S+)', said)
    assert found == [
        ("0.005", "1.0"), ("0.05", "2.0"), ("0.25", "2.0"), ("1.0", "3.0"), ("5.0", "3.0"), ("30.0", "3.0"),
        ("300.0", "3.0"), ("+Inf", "4.0"),
    ]  # fmt: skip
    assert {one.name for one in text_string_to_metric_families(said)} == {
        one.name.removesuffix("_total") for one in FAMILIES
    }


def test_one_gateways_numbers_are_not_anothers() -> None:
    one, other = Metrics(), Metrics()
    one.request("GET /live", "native", "200", seconds=0, sent_bytes=0)
    assert (one.requests, other.requests) == (1, 0)
    assert "GET /live" not in other.text([]).decode()


# what the dashboard and the alerts name


def named(expression: str) -> set[str]:
    """The metrics in an expression, whatever a histogram's or a label's words are."""
    found = set(re.findall(r"\bclipwire_\w+", expression))
    return {re.sub(r"(?<=_seconds)_(bucket|sum|count)$", "", name) for name in found}


def test_the_dashboard_shows_metrics_that_are_there() -> None:
    board = json.loads((ROOT / "docs/grafana/clipwire.json").read_text("utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert {name for one in expressions for name in named(one)} <= {one.name for one in FAMILIES}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["targets"], panel["title"]
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            assert all(named(target["expr"]) for target in panel["targets"]), panel["title"]


def test_every_metric_of_note_is_on_the_dashboard() -> None:
    board = (ROOT / "docs/grafana/clipwire.json").read_text("utf-8")
    assert {one.name for one in FAMILIES} - named(board) <= {"clipwire_build_info", "clipwire_spools"}


def test_the_alerts_are_rules_about_metrics_that_are_there() -> None:
    yaml = pytest.importorskip("yaml")
    (block,) = re.findall(r"^```yaml\n(groups:.*?)^```", text("docs/operations.md"), re.M | re.S)
    rules = [rule for group in yaml.safe_load(block)["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert named(rule["expr"]) or rule["expr"].startswith("up{"), rule  # Prometheus' own
        assert named(rule["expr"]) <= {one.name for one in FAMILIES}
        assert rule["annotations"]["summary"]
