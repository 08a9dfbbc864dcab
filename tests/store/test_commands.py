"""The command line of the store, as an operator runs it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store import lettering
from tests.postgres import PASSWORD, Cluster
from tests.store.conftest import Fresh

CODE = re.compile(r"([2-9A-HJ-NP-Z]{5}-){4}[2-9A-HJ-NP-Z]{5}")


def gateway(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """`python -m gateway ...` with no settings but these."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=kept | env, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def kept(file: Path) -> set[tuple[str, int]]:
    connection = sqlite3.connect(file)
    rows = set(connection.execute("SELECT hash, worth_ms FROM codes"))
    connection.close()
    return rows


def test_codes_are_issued_into_an_empty_folder_one_on_a_line(tmp_path: Path) -> None:
    env = {"GATEWAY_DATA_DIR": str(tmp_path / "new"), "GATEWAY_DATABASE_MIGRATE": "false"}
    done = gateway("codes", "issue", "--seconds", "90.5", "--count", "3", **env)
    assert done.returncode == 0
    codes = done.stdout.splitlines()
    assert len(set(codes)) == 3
    assert all(CODE.fullmatch(code) for code in codes)
    assert kept(tmp_path / "new" / "clipwire.db") == {(lettering.hashed(code), 90_500) for code in codes}
    for line in done.stderr.splitlines():
        json.loads(line)  # the log
        assert not any(code in line for code in codes)


def test_a_number_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    done = gateway("codes", "issue", "--count", "0", GATEWAY_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "1 to" in done.stderr


def test_the_tables_are_made_told_and_copied(tmp_path: Path) -> None:
    env, copy = {"DATABASE_URL": f"sqlite:///{tmp_path}/a.db"}, str(tmp_path / "copy.db")
    for command in (["current"], ["backup", copy]):  # of nothing
        empty = gateway("db", *command, **env)
        assert (empty.returncode, empty.stdout) == (1, "")
        assert "There is no database yet" in empty.stderr
    assert not list(tmp_path.iterdir())
    assert gateway("db", "upgrade", **env).returncode == 0
    assert gateway("db", "backup", copy, **env).returncode == 0
    assert kept(Path(copy)) == set()
    again = gateway("db", "backup", copy, **env)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "There is a file of this name already.\n"
    restored = gateway("db", "restore", copy, **env)
    assert (restored.returncode, restored.stdout) == (0, "0 rows\n")


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_server_does_as_well(fresh: Fresh, kind: str) -> None:
    env = {"DATABASE_URL": fresh().replace("postgresql://", "postgres://")}
    done = gateway("codes", "issue", **env)
    assert done.returncode == 0
    assert CODE.fullmatch(done.stdout.strip())
    backup = gateway("db", "backup", "/tmp/never", **env)
    assert backup.returncode == 1
    assert "pg_dump" in backup.stderr


def test_a_server_that_is_away_is_told_without_its_secrets(cluster: Cluster) -> None:
    url = cluster.url("postgres").replace(f":{cluster.port}/", ":1/")
    done = gateway("codes", "issue", DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "database" in done.stderr
    for secret in ("Traceback", PASSWORD, "%", "127.0.0.1"):
        assert secret not in done.stderr
