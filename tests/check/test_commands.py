"""`python -m gateway check`, as it is run."""

import json
from pathlib import Path

from gateway.check import report
from gateway.check.finding import fails, works
from tests.commands.running import run
from tests.web.conftest import Front, front, start

__all__ = ["front", "start"]  # fixtures


async def checked(folder: Path, *arguments: str) -> tuple[int, str]:
    code, out, _ = await run(folder, "check", *arguments)
    return code, out


async def test_a_pipe_gets_plain_lines_and_the_exit_code_tells(front: Front, tmp_path: Path) -> None:
    code, said = await checked(tmp_path, "--server", front.url)
    assert code == 1  # there is no model
    lines = [line.split("\t") for line in said.splitlines()]
    assert {line[0] for line in lines} <= {"works", "fails", "skipped"}
    assert ["works", "database", "answers"] in lines
    assert "\x1b" not in said


async def test_machines_get_json(front: Front, tmp_path: Path) -> None:
    code, said = await checked(tmp_path, "--server", front.url, "--json")
    told = json.loads(said)
    assert (told["server"], told["exit_code"]) == (front.url, code)
    assert {"what", "state", "detail", "advice"} == told["findings"][0].keys()


async def test_nobody_there_is_exit_2(tmp_path: Path, unused_tcp_port: int) -> None:
    code, said = await checked(tmp_path, "--server", f"http://127.0.0.1:{unused_tcp_port}")
    assert code == 2
    assert said.startswith("skipped\thealth")


def test_a_line_has_its_advice_last() -> None:
    found = [works("a", "well"), fails("b", "badly", "do this")]
    assert report.lines(found) == "works\ta\twell\nfails\tb\tbadly\tdo this"
