"""What a check found, and what it means for whoever asked. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

State = Literal["works", "fails", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was tried, or could not be."""

    what: str
    state: State
    detail: str
    advice: str = ""  # what to do about it


def works(what: str, detail: str) -> Finding:
    """It does what it says."""
    return Finding(what, "works", detail)


def fails(what: str, detail: str, advice: str) -> Finding:
    """It does not."""
    return Finding(what, "fails", detail, advice)


def skipped(what: str, detail: str, advice: str = "") -> Finding:
    """Nobody knows: it could not be tried."""
    return Finding(what, "skipped", detail, advice)


def exit_code(findings: Sequence[Finding]) -> int:
    """0: all that was tried works. 1: something does not. 2: nothing could be tried."""
    states = {finding.state for finding in findings}
    if "works" not in states:
        return 2
    return 1 if "fails" in states else 0
