"""Findings to be read: a table on a terminal, plain lines in a pipe, JSON for machines."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.check.finding import Finding, exit_code

COLOURS = {"works": "green", "fails": "red", "skipped": "yellow"}


def document(server: str, findings: Sequence[Finding]) -> str:
    """All of it as JSON."""
    told = {"server": server, "exit_code": exit_code(findings), "findings": findings}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def lines(findings: Sequence[Finding]) -> str:
    """One line each: state, what, and what came of it, with tabs between."""
    return "\n".join(
        "\t".join(filter(None, (one.state, one.what, one.detail, one.advice))) for one in findings
    )


def show(server: str, findings: Sequence[Finding]) -> None:
    """On standard output, as suits whoever reads it."""
    if not sys.stdout.isatty():
        print(lines(findings))
        return
    table = Table(title=server, title_justify="left")
    for head in ("", "what", "found", "what to do"):
        table.add_column(head)
    for one in findings:
        # as text: brackets in a server's words are no markup of ours
        table.add_row(Text(one.state, COLOURS[one.state]), Text(one.what), Text(one.detail), Text(one.advice))
    Console().print(table)
