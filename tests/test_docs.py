"""The papers say what the code does: routes, settings, error codes, the tree, the arrows, the links."""

import importlib.util
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices

from gateway.__main__ import app as cli
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.web.app import ROUTES
from gateway.web.dialects.analyzer.answers import ANALYZER, code_of
from gateway.web.dialects.openai import OPENAI
from gateway.web.dialects.ttsave import TTSAVE
from gateway.web.dialects.tttranscribe import TTTRANSCRIBE
from gateway.web.middleware import NATIVE

ROOT = Path(__file__).parents[1]
CLIENTS = [ROOT / "clients/python/README.md", ROOT / "clients/js/README.md"]
PAPERS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *CLIENTS]
OTHERS = [ROOT / name for name in (".env.example", "Dockerfile", ".dockerignore")]

# where an address in the papers may lead: this machine, and the site with its short links
HOSTS = {"127.0.0.1", "localhost", "www.tiktok.com", "vm.tiktok.com", "host"}


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def rows(markdown: str, first: str) -> list[list[str]]:
    """The table whose first head cell is `first`, without its head, as cells of plain text."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", markdown, re.M)
    assert table is not None, f"no table that begins with {first}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def fenced(markdown: str, language: str = "") -> list[str]:
    """The fenced blocks of one language."""
    return [
        block
        for name, block in re.findall(r"^```(\w*)\n(.*?)^```", markdown, re.M | re.S)
        if name == language
    ]


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Routes


def test_the_table_of_routes_is_the_gateways() -> None:
    table = rows(text("docs/api.md"), "route")
    told = {(route, errors) for cell, _, errors in table for route in re.findall(r"`([^`]+)`", cell)}
    shapes = {
        "ttsave": "TTSave", "native": "native", "openai": "OpenAI", "tttranscribe": "TTTranscribe",
        "analyzer": "analyzer",
    }  # fmt: skip
    assert told == {(f"{one.method} {one.path}", shapes[one.dialect.name]) for one in ROUTES}


@pytest.mark.parametrize("paper", PAPERS, ids=names)
def test_no_paper_names_a_route_that_is_not_there(paper: Path) -> None:
    told = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE|HEAD) (/[\w/.{}-]*)", paper.read_text("utf-8"))
    assert set(told) <= {(one.method, one.path) for one in ROUTES}


def test_the_examples_of_the_api_are_json() -> None:
    examples = fenced(text("docs/api.md"), "json")
    assert examples
    for example in examples:
        json.loads(example)


def test_what_curl_sends_in_the_papers_is_json_for_a_route() -> None:
    sent = [
        found
        for paper in PAPERS
        for found in re.findall(
            r"curl [^|#\n]*?(?:127\.0\.0\.1|localhost):8000(/[\w/]*)(?:[^'\n]|\\\n)*-d '([^']*)'",
            paper.read_text("utf-8"),
        )
    ]
    assert sent
    posts = {one.path for one in ROUTES if one.method == "POST"}
    for path, body in sent:
        assert path in posts
        assert json.loads(body).keys() >= ({"count"} if path == "/codes" else {"url"})


# Settings


def said(value: object) -> str:
    """A setting's default as one writes it in the environment; a dash where there is none."""
    match value:
        case None | ():
            return "-"
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


def bounds(field: Any) -> str:
    """A field's bounds as the table words them."""
    least = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    above = next((m.gt for m in field.metadata if hasattr(m, "gt")), None)
    most = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    choices = getattr(field.annotation, "__args__", ())
    if choices and isinstance(choices[0], str):
        return ", ".join(f"`{one}`" for one in choices)
    if field.annotation is bool:
        return "`true`, `false`"
    if above is not None:
        return f"above {above}" + (f", at most {most}" if most is not None else "")
    if least is not None:
        return f"{least} to {most}" if most is not None else f"at least {least}"
    return "-"


def environment_names(name: str, field: Any) -> list[str]:
    alias = field.validation_alias
    return (
        [str(one) for one in alias.choices]
        if isinstance(alias, AliasChoices)
        else [f"GATEWAY_{name.upper()}"]
    )


def test_the_table_of_settings_is_the_gateways() -> None:
    table = {
        tuple(re.findall(r"`(\w+)`", cells[0])): (cells[1], cells[2])
        for cells in rows(text("docs/settings.md"), "name")
    }
    expected = {}
    for name, field in Settings.model_fields.items():
        default = "`~/.local/share/clipwire`" if field.default_factory else said(field.default)
        expected[tuple(environment_names(name, field))] = (default, bounds(field))
    assert table == expected


def test_the_data_folder_is_where_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "GATEWAY_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Settings(_env_file=None).data_dir == Path("/home/somebody/.local/share/clipwire")  # type: ignore[call-arg]


def test_every_setting_has_a_meaning() -> None:
    assert all(cells[3] for cells in rows(text("docs/settings.md"), "name"))


def test_the_example_file_has_every_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    also = {one for name, field in Settings.model_fields.items() for one in environment_names(name, field)}
    for name in list(os.environ):
        if name.startswith("GATEWAY_") or name in also:
            monkeypatch.delenv(name)
    lines = [line for line in text(".env.example").splitlines() if not line.startswith("# ") and line]
    assert all(line.startswith("#") for line in lines), "a line of it is in force"
    assert [line[1:].partition("=")[0] for line in lines] == [
        environment_names(name, field)[0] for name, field in Settings.model_fields.items()
    ]
    (tmp_path / ".env").write_text("\n".join(line[1:] for line in lines))
    assert Settings(_env_file=tmp_path / ".env") == Settings(_env_file=None)  # type: ignore[call-arg]
    for name, field in Settings.model_fields.items():
        told = next(line for line in lines if line.startswith(f"#GATEWAY_{name.upper()}=")).partition("=")[2]
        assert told == ("" if field.default_factory else said(field.default).strip("`-")), name


@pytest.mark.parametrize("paper", [*PAPERS, *OTHERS], ids=names)
def test_no_paper_names_a_setting_that_is_not_there(paper: Path) -> None:
    known = {one for name, field in Settings.model_fields.items() for one in environment_names(name, field)}
    assert set(re.findall(r"\bGATEWAY_[A-Z_]*[A-Z]\b", paper.read_text("utf-8"))) <= known


# Errors


def failures() -> Iterator[type[GatewayError]]:
    """Every error that is raised: those with a code of their own, and the leaves that take it over."""

    def below(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
        for child in kind.__subclasses__():
            if child.__module__.startswith("gateway."):
                yield from below(child)
                yield child

    for kind in below(GatewayError):
        if "code" in vars(kind) or not kind.__subclasses__():
            yield kind


def made(kind: type[GatewayError]) -> GatewayError:
    try:
        return kind()
    except TypeError:
        return kind([])  # type: ignore[arg-type]  # params.Invalid takes its faults


def test_every_code_is_in_the_table_once() -> None:
    told = [cells[0] for cells in rows(text("docs/api.md"), "code")]
    assert sorted(told) == sorted({kind.code for kind in failures()})


def test_each_code_has_the_statuses_it_is_told_with() -> None:
    assert {one.dialect.name for one in ROUTES} == {
        "native",
        "openai",
        "ttsave",
        "tttranscribe",
        "analyzer",
    }, (  # fmt: skip
        "one more needs a column in the table"
    )
    for code, native, ttsave, tttranscribe, advice in rows(text("docs/api.md"), "code"):
        kinds = [made(kind) for kind in failures() if kind.code == code]
        for dialect in (NATIVE, OPENAI):  # they share a column
            assert statuses(native) == {dialect.shape(kind, "0")[0] for kind in kinds}, code
        if ttsave != "-":  # not met there
            assert statuses(ttsave) == {TTSAVE.shape(kind, "0")[0] for kind in kinds}, code
        if tttranscribe != "-":
            assert statuses(tttranscribe) == {TTTRANSCRIBE.shape(kind, "0")[0] for kind in kinds}, code
        assert advice


def test_the_analyzers_own_codes_and_statuses_are_told() -> None:
    table = {code: int(status) for code, status, _ in rows(text("docs/api.md"), "analyzer code")}
    found = {code_of(kind): ANALYZER.shape(kind, "0")[0] for kind in map(made, failures())}
    assert table.items() <= found.items()
    for kind in map(made, failures()):
        if code_of(kind) not in table:
            assert (code_of(kind), ANALYZER.shape(kind, "0")[0]) == (kind.code, kind.status)


def statuses(cell: str) -> set[int]:
    return {int(one) for one in cell.split(",")}


# The drawing


def test_the_tree_is_the_one_drawn() -> None:
    (tree,) = [block for block in fenced(text("docs/architecture.md")) if block.startswith("gateway/\n")]
    folders: list[str] = []
    drawn = set()
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders = [*folders[:depth], name]
        assert (ROOT / "".join(folders)).exists(), line
        if name.endswith(".py"):
            drawn.add("".join(folders))
    there = {names(path) for path in (ROOT / "gateway").rglob("*.py") if path.stat().st_size}
    assert drawn == there


def test_the_arrows_are_those_that_are_checked() -> None:
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one["type"] == "layers"]
    assert "\n".join(layers) + "\n" in fenced(text("docs/architecture.md"))


# Links, targets, hosts


def anchors(paper: Path) -> set[str]:
    heads = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", paper.read_text("utf-8"), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("paper", PAPERS, ids=names)
def test_every_link_leads_somewhere(paper: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", paper.read_text("utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (paper.parent / path).resolve() if path else paper
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("paper", PAPERS, ids=names)
def test_every_file_named_is_there(paper: Path) -> None:
    found = re.findall(r"`((?:gateway|tests|docs|clients)/[\w./-]*)`", paper.read_text("utf-8"))
    for name in found:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("paper", PAPERS, ids=names)
def test_every_make_target_named_is_there(paper: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    assert set(re.findall(r"(?:`|^|\$ )make ([a-z]+)", paper.read_text("utf-8"), re.M)) <= targets


def test_the_contributors_table_has_every_make_target() -> None:
    told = {
        cells[0].strip("`").removeprefix("make ") for cells in rows(text("docs/contributing.md"), "target")
    }
    public = set(re.findall(r"^([a-z]+):.*##", text("Makefile"), re.M))
    assert told | {"help"} == public | {"help"}


@pytest.mark.parametrize("paper", [*PAPERS, *OTHERS], ids=names)
def test_no_paper_sends_anybody_to_an_unknown_host(paper: Path) -> None:
    """Above all to no package registry: where packages come from is the reader's own setting."""
    found = re.findall(r"https?://(?:\[?[\w:@.\]]+@)?([\w.-]+)", paper.read_text("utf-8"))
    assert set(found) <= HOSTS
    assert not re.search(r"index[-_]url|/simple\b", paper.read_text("utf-8"))


def test_every_paper_is_reached_from_the_readme() -> None:
    linked = {
        (ROOT / link.partition("#")[0]).resolve()
        for link in re.findall(r"\]\(([^)\s]+)\)", text("README.md"))
    }
    assert set((ROOT / "docs").glob("*.md")) <= linked


@pytest.mark.parametrize("paper", [*PAPERS, *OTHERS], ids=names)
def test_every_command_named_is_there(paper: Path) -> None:
    content = paper.read_text("utf-8")
    commands = {one.name or one.callback.__name__ for one in cli.registered_commands if one.callback}
    groups = {one.name for one in cli.registered_groups}
    assert set(re.findall(r"python -m gateway (\w+)", content)) <= commands | groups
    for module in re.findall(r"python -m (tests[\w.]*\w)", content):
        assert importlib.util.find_spec(module) is not None, module
