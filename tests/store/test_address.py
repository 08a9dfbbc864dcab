from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.store import address, database

SERVER = "postgresql://me:p%40ss%2Fword@db.internal:5433/clips"


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("sqlite:///clips.db", Path("clips.db")),
        ("sqlite:///folder/clips.db", Path("folder/clips.db")),
        ("sqlite:////srv/clips.db", Path("/srv/clips.db")),
        ("sqlite+aiosqlite:////srv/my%20clips%3F.db", Path("/srv/my clips?.db")),
        (SERVER, SERVER),
        (SERVER.replace("postgresql", "postgres"), SERVER),
        (SERVER.replace("postgresql", "postgresql+asyncpg"), SERVER),
        (SERVER.replace("postgresql", "postgres+psycopg2"), SERVER),
        (SERVER + "?sslmode=require&channel_binding=require", SERVER + "?sslmode=require"),
        (SERVER + "?connect_timeout=10", SERVER),
        ("postgresql:///clips?host=/run/postgresql", "postgresql:///clips?host=%2Frun%2Fpostgresql"),
    ],
)
def test_every_form_of_an_address_is_read(told: str, read: Path | str) -> None:
    assert address.read(told) == read
    assert settings(database_url=told).database_url is not None


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (SERVER, "db.internal:5433/clips"),
        ("postgres://me@[::1]:5432/my%20clips?sslmode=require", "[::1]:5432/my clips"),
        ("postgresql://one:5432,two:5432/clips?password=word", "one:5432,two:5432/clips"),
        ("postgresql:///clips?host=/run/postgresql", "/run/postgresql/clips"),
        ("postgresql://me:12/word@host/clips", "(its address has an @ behind the host)"),
        ("postgresql://me:12?word@host/clips", "(its address has an @ behind the host)"),
    ],
)
def test_its_place_is_told_without_a_login(url: str, place: str) -> None:
    assert address.place(url) == place
    assert "word" not in place


@pytest.mark.parametrize(
    "told",
    [
        "mysql://me:secret@host/clips",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/clips.db",
        "sqlite+pysqlcipher:///secret.db",
        "postgresql://",
        "postgresql://me:sec#ret@host/clips",
        "postgresql://me:sec/ret@host/clips",
        "clips.db",
        "//secret",
    ],
)
def test_others_are_refused_and_not_shown(told: str) -> None:
    with pytest.raises(ValidationError, match="postgresql://") as caught:
        settings(database_url=told)
    assert "sec" not in str(caught.value)


def test_an_address_is_not_shown_by_its_settings() -> None:
    assert "p%40ss" not in repr(settings(database_url=SERVER))


@pytest.mark.parametrize("name", ["data", "my data?", "100%41#"])
async def test_without_one_it_is_a_file_in_the_data_folder(name: str, tmp_path: Path) -> None:
    async with database.opened(settings(data_dir=tmp_path / name)) as store:
        assert store.name == "sqlite"
    assert (tmp_path / name / "clipwire.db").is_file()


@pytest.mark.parametrize("name", ["DATABASE_URL", "GATEWAY_DATABASE_URL"])
def test_it_is_read_from_either_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SERVER)
    found = settings().database_url
    assert found is not None
    assert found.get_secret_value() == SERVER


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]
