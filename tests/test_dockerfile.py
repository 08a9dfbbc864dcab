"""The image's recipe, as far as it can be held to its promises without an engine."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.settings import Settings

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()


def told(word: str) -> list[str]:
    """What follows an instruction's word, at each place where it is used."""
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(word + " ")]


def copied() -> list[str]:
    """What is taken from the tree, not from another stage."""
    return [one for line in told("COPY") if "--from" not in line for one in line.split()[:-1]]


def environment() -> dict[str, str]:
    return dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(told("ENV"))))


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert "*" in ignored
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} is kept out by .dockerignore"


def test_nothing_is_let_through_that_is_not_copied() -> None:
    let = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    }
    assert let == {*copied(), "docs/deploy/cluster.lock"}  # which the recipe of docs/deploy copies


def test_what_the_package_needs_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'packages = ["gateway", "clients/python/clipwire"]' in project
    assert {"gateway", "clients/python/clipwire", "pyproject.toml", "README.md", "LICENSE"} <= set(copied())


def test_every_package_is_held_to_its_hash() -> None:
    installs = [line for line in told("RUN") if "pip install" in line]
    assert installs
    for line in installs:
        if "--require-hashes" in line:
            (lock,) = re.findall(r"-r (\S+)", line)
        else:  # ours, from the tree: only what builds it is fetched
            assert "--no-deps" in line
            assert line.endswith(" .")
            (lock,) = re.findall(r"--build-constraint (\S+)", line)
            assert "\nhatchling==" in (ROOT / lock).read_text("utf-8")
        assert lock in copied()
        assert "--hash=sha256:" in (ROOT / lock).read_text("utf-8")


def test_it_runs_as_a_user_who_is_not_root_and_owns_the_data() -> None:
    (user,) = told("USER")
    number = int(user.partition(":")[0])  # a number, so that an orchestrator can see it
    assert number > 0
    (data,) = told("VOLUME")
    assert environment()["GATEWAY_DATA_DIR"] == data
    assert any(f"-o {number} " in line and line.endswith(data) for line in told("RUN"))
    last_root = max(i for i, line in enumerate(LINES) if line.startswith("RUN "))
    assert LINES.index(f"USER {user}") > last_root


def test_its_settings_are_settings() -> None:
    names = {f"GATEWAY_{field}".upper() for field in Settings.model_fields}
    assert {name for name in environment() if name.startswith("GATEWAY_")} <= names


def test_signals_reach_the_gateway() -> None:
    (command,) = told("CMD")
    assert json.loads(command) == ["python", "-m", "gateway", "serve"]
    assert not told("ENTRYPOINT")


@contextmanager
def listening(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server on a free port that answers everything so; the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


def healthy(**env: str) -> bool:
    """What the health check says, run as the image runs it."""
    (check,) = told("HEALTHCHECK")
    python, *arguments = json.loads(check[check.index("CMD ") + 4 :])
    assert python == "python"
    kept = {"PATH": os.environ["PATH"]}
    ran = subprocess.run([sys.executable, *arguments], env=kept | env, timeout=30, capture_output=True)
    return ran.returncode == 0


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "PORT"])
def test_the_health_check_asks_the_port_that_is_set(name: str) -> None:
    with listening(200) as (port, asked):
        assert healthy(**{name: str(port)})
    assert asked == ["/live"]


def test_the_health_check_takes_the_ports_in_the_order_of_the_settings() -> None:
    with listening(200) as (port, asked):
        assert healthy(GATEWAY_PORT=str(port), PORT="1")
        assert healthy(GATEWAY_PORT="", PORT=str(port))
    assert len(asked) == 2


def test_the_health_check_goes_past_a_proxy() -> None:
    with listening(200) as (port, _):
        assert healthy(GATEWAY_PORT=str(port), http_proxy="http://127.0.0.1:1")


def test_the_health_check_fails_when_the_gateway_does() -> None:
    with listening(503) as (port, _):
        assert not healthy(GATEWAY_PORT=str(port))


def test_the_health_check_fails_when_nothing_listens() -> None:
    with listening(200) as (port, _):
        pass
    assert not healthy(GATEWAY_PORT=str(port))
