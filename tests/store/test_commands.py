"""The command line of the store, as an operator runs it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store import keying, lettering
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
    named, *log = done.stderr.splitlines()
    assert named == f"database: SQLite {tmp_path}/new/clipwire.db"
    for line in log:
        json.loads(line)
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
        named, said = empty.stderr.splitlines()
        assert named == f"database: SQLite {tmp_path}/a.db"
        assert "There is no database yet" in said
    assert not list(tmp_path.iterdir())
    assert gateway("db", "upgrade", **env).returncode == 0
    assert gateway("db", "backup", copy, **env).returncode == 0
    assert kept(Path(copy)) == set()
    again = gateway("db", "backup", copy, **env)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"database: SQLite {tmp_path}/a.db\nThere is a file of this name already.\n"
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
    named, *said = done.stderr.splitlines()
    assert named == "database: PostgreSQL 127.0.0.1:1/postgres"
    assert "database" in "".join(said)
    for secret in ("Traceback", PASSWORD, "%", "127.0.0.1"):
        assert secret not in "".join(said)


def test_a_key_is_made_shown_once_changed_and_ended(tmp_path: Path) -> None:
    env = {"GATEWAY_DATA_DIR": str(tmp_path)}
    done = gateway("keys", "create", "--owner", "alice", "--scope", "download", "--rate", "5/0.5", **env)
    assert done.returncode == 0
    key = done.stdout.strip()
    assert keying.hashed(key) is not None
    told = gateway("keys", "list", **env).stdout
    assert told.splitlines() == [told.strip()]
    assert told.split("\t")[:3] == [keying.named(key), "alice", "download"]
    assert told.rstrip().endswith("good")
    assert key not in told + done.stderr
    other = gateway("keys", "rotate", key, "--keep-s", "60", **env).stdout.strip()
    assert keying.hashed(other) is not None
    assert gateway("keys", "revoke", keying.named(key), **env).returncode == 0
    states = {
        line.split("\t")[0]: line.split("\t")[4]
        for line in gateway("keys", "list", **env).stdout.splitlines()
    }
    assert states[keying.named(key)].startswith("revoked")
    assert states[keying.named(other)] == "good"


def test_an_account_may_what_it_is_given_and_no_more_than_makes_sense(tmp_path: Path) -> None:
    env = {"GATEWAY_DATA_DIR": str(tmp_path)}
    limits = ("--rate", "5/0.5", "--streams", "2", "--month-bytes", "1000", "--month-audio", "1.5")
    assert gateway("accounts", "set", "alice", *limits, **env).returncode == 0
    assert gateway("accounts", "set", "alice", "--rate", "-", **env).returncode == 0
    told = [line.split("\t") for line in gateway("accounts", "list", **env).stdout.splitlines()]
    assert told[0] == [
        "alice", "rate -", "streams 2", "bytes 0 of 1000", "audio 0 s of 1.5", "stored 0 of -"
    ]  # fmt: skip
    for arguments, status in (
        (("accounts", "set", "alice", "--rate", "fast"), 2),
        (("accounts", "set", "alice", "--rate", "0/1"), 2),
        (("accounts", "set", "a/b"), 1),
        (("keys", "create", "--owner", "operator"), 1),
        (("keys", "create", "--owner", "alice", "--scope", "everything"), 1),
        (("keys", "revoke", "nothing"), 1),
        (("keys", "rotate", "nothing"), 1),
    ):
        done = gateway(*arguments, **env)
        assert (done.returncode, done.stdout) == (status, ""), arguments
        assert done.stderr
        assert "Traceback" not in done.stderr
