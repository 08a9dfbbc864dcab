"""The secret that is made: one for all processes of a folder, and for nobody else to read."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway import secret
from gateway.settings import Settings

AT_ONCE = 8


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    first = secret.kept(tmp_path)
    assert len(first) == 64
    assert secret.kept(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_folders_have_secrets_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert secret.kept(tmp_path / "a") != secret.kept(tmp_path / "b")


def test_processes_that_start_together_get_the_same_one(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
from gateway import secret
print("ready", flush=True); sys.stdin.readline()
print(secret.kept(pathlib.Path({str(tmp_path)!r})).decode())
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(AT_ONCE)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    found = {one.communicate(timeout=30)[0] for one in started}
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_one_that_lost_the_race_takes_the_winners(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the winner's secret, of some length")
    secret._make(tmp_path / "secret")
    assert secret.kept(tmp_path) == b"the winner's secret, of some length"


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short\n")
    with pytest.raises(OSError, match="no secret"):
        secret.kept(tmp_path)


def test_a_short_one_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None, secret="fifteen letters")  # type: ignore[call-arg, arg-type]
    assert "fifteen letters" not in str(caught.value)
    settings = Settings(_env_file=None, secret="sixteen letters!")  # type: ignore[call-arg, arg-type]
    assert "sixteen" not in repr(settings)
