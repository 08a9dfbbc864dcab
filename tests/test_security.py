"""The threat model against the tests: what it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs" / "security.md").read_text("utf-8")
DEFINED = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.M)
}


def rows() -> list[list[str]]:
    table = re.search(r"^\| threat \| answer \| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAPER, re.M)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def test_every_threat_has_an_answer_and_tests_that_are_there() -> None:
    assert len(rows()) > 30
    for threat, answer, tests in rows():
        named = re.findall(r"`(test_\w+)`", tests)
        assert answer, threat
        assert named, threat
        assert set(named) <= DEFINED, (threat, set(named) - DEFINED)


def test_every_file_that_answers_is_there() -> None:
    for name in re.findall(r"`((?:media|wire|web)/\w+\.py)`", PAPER):
        assert (ROOT / "gateway" / name).is_file(), name
