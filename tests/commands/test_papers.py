"""docs/cli.md says what the commands do: options, exit codes, codes of failures, examples."""

import asyncio
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from gateway.__main__ import app
from gateway.commands.ending import EXITS
from gateway.commands.failures import CODES
from tests.commands.running import before, on_terminal, run, screen
from tests.origin.origin import Origin
from tests.serving import ROOT, environment
from tests.test_docs import fenced, rows

PAPER = (ROOT / "docs/cli.md").read_text("utf-8")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
ID = re.compile(r"[\w-]{22}$")  # of a transcript
SPEAKING = ("download", "transcribe", "search")
# what takes long to load, and is of no use to who asks another gateway
HEAVY = (
    "ctranslate2", "faster_whisper", "yt_dlp", "av", "numpy", "sqlalchemy", "onnxruntime", "structlog",
    "gateway.settings", "gateway.wiring",
)  # fmt: skip


def section(command: str) -> str:
    return re.split(r"^## ", PAPER, flags=re.M)[1 + SPEAKING.index(command)]


def options(command: str) -> dict[str, tuple[str, str]]:
    """The options of a command as the paper tells them: default and meaning."""
    found = {}
    for one in COMMANDS[command].params:
        if one.param_type_name == "argument":
            continue
        names = ", ".join(f"`{name}`" for name in one.opts)
        default = "-" if one.default in (None, False) else f"`{one.default}`"
        found[names] = (default, one.help + (f" `{one.envvar}`" if one.envvar else ""))
    return found


@pytest.mark.parametrize("command", SPEAKING)
def test_the_options_are_those_of_the_command(command: str) -> None:
    told = {names: (default, meaning) for names, default, meaning in rows(section(command), "option")}
    assert told == options(command)


@pytest.mark.parametrize("command", SPEAKING)
async def test_help_names_every_option(command: str, tmp_path: Path) -> None:
    code, out, _ = await run(tmp_path, command, "--help", COLUMNS="200")
    assert code == 0
    for names in options(command):
        assert re.findall(r"`([^`]+)`", names)[0] in out


def test_the_exit_codes_are_all_told() -> None:
    assert {int(code): meaning for code, meaning in rows(PAPER, "code")} == EXITS


def test_the_codes_of_failures_are_all_told() -> None:
    assert {code.strip("`") for code, _ in rows(PAPER, "failure")} == set(CODES.values())


@pytest.mark.parametrize(
    "line", [line for block in fenced(PAPER, "sh") for line in block.splitlines() if "clipwire " in line]
)
def test_every_example_is_understood(line: str) -> None:
    """Up to the point where something would be done."""
    words = [re.sub(r"\$\w+", "x", word) for word in shlex.split(line, comments=True)]
    ends = [words.index(end) for end in ("|", ">", "<") if end in words]
    program, name, *arguments = words[: min(ends, default=None)]
    assert program == "clipwire"
    if name != "--install-completion":
        assert COMMANDS[name].make_context(name, arguments).params


async def test_the_transcript_of_the_readme_is_true(tmp_path: Path, base_model: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = [one for one in fenced(readme, "console") if "$ clipwire" in one]
    async with Origin(tmp_path / "origin") as origin:
        settings = before(origin, tmp_path) | {"GATEWAY_MODEL": str(base_model)}
        for shown in block.strip().split("\n\n"):
            call, *lines = shown.splitlines()
            code, said = await on_terminal(tmp_path, *shlex.split(call)[2:], **settings)
            assert code == 0
            assert [ID.sub("ID", line) for line in screen(said)] == [ID.sub("ID", line) for line in lines]


async def test_the_command_line_is_quick_to_load(tmp_path: Path) -> None:
    code = f"import sys, gateway.__main__; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr


async def test_who_asks_another_gateway_loads_none(tmp_path: Path, unused_tcp_port: int) -> None:
    code = (
        "import sys, gateway.__main__ as one\n"
        "try: one.app()\n"
        f"finally: print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    server = f"http://127.0.0.1:{unused_tcp_port}"
    for asked in (["download", "x"], ["transcribe", "https://x"], ["search", "x"]):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, *asked, "--server", server],
            env=environment(tmp_path), capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout == "[]\n", done.stderr
        assert done.returncode == 1


def test_clipwire_is_installed_as_this_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"clipwire": "gateway.__main__:app"}
    assert "clients/python/clipwire" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


async def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['clipwire']; from gateway.__main__ import app; app()"
    asked = {"_CLIPWIRE_COMPLETE": "complete_bash", "COMP_WORDS": "clipwire trans", "COMP_CWORD": "1"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        env=environment(tmp_path, **asked), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "transcribe\n", done.stderr
