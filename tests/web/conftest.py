"""A gateway in this process, in front of the origin, as callers see it."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.settings import Settings
from gateway.store import schema
from gateway.store.database import Database
from gateway.web.server import listening
from gateway.wiring import Gateway
from tests.origin.origin import Origin
from tests.postgres import Cluster, Missing


class Front:
    """A running gateway, its address, the origin behind it and a client's session."""

    def __init__(self, gateway: Gateway, url: str, origin: Origin, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.url = url
        self.origin = origin
        self.session = session

    def post(self, path: str, **body: Any) -> Any:
        return self.session.post(self.url + path, json=body)

    def download(self, scenario: str, mode: str = "ORIGINAL") -> Any:
        return self.post("/download", url=self.origin.url(scenario), content_type=mode)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection, for what no HTTP library lets one see."""
        return await asyncio.open_connection("127.0.0.1", int(self.url.rsplit(":", 1)[1]))


Start = Callable[..., Any]


@asynccontextmanager
async def started(
    folder: Path, *, proxies: tuple[str | None, ...] = (), others: tuple[Origin, ...] = (), **settings: Any
) -> AsyncIterator[Front]:
    """A gateway before an origin; or behind several proxies, where None stands for that origin's."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Origin(folder / "origin"))
        if proxies:
            authorities = folder / "authorities.pem"
            authorities.write_bytes(b"".join(one.ca_file.read_bytes() for one in (origin, *others)))
            urls = ",".join(one or origin.proxy_url for one in proxies)
            settings |= {"proxy_url": urls, "proxy_ca_file": authorities}
        fields: dict[str, Any] = {
            "port": 0, "data_dir": folder / "data",
            "database_url": f"sqlite:///{folder / 'clipwire.db'}",  # tests may share a data folder
            "proxy_url": origin.proxy_url, "proxy_ca_file": origin.ca_file,
            "extract_processes": 1, "shutdown_s": 1, "model": str(folder / "no-model"),
        }  # fmt: skip
        if "database_url" not in settings:
            await asyncio.to_thread(_lay, folder / "clipwire.db")
        running = listening(Settings(_env_file=None, **(fields | settings)), ahead=False)  # type: ignore[call-arg]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", os.devnull)  # the origin's CA will do, and the system's load slowly
            gateway, url = await stack.enter_async_context(running)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Front(gateway, url, origin, session)


def _lay(file: Path) -> None:
    """Puts an empty database with its tables there, unless there is one: to make them takes longer."""
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as to:
            to.write(_tables())


@cache
def _tables() -> bytes:
    async def made(file: Path) -> None:
        database = Database(f"sqlite:///{file}")
        await schema.upgrade(database)
        await database.close()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clipwire.db"
        asyncio.run(made(file))
        return file.read_bytes()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a gateway with the settings given; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Front:
            return await stack.enter_async_context(started(tmp_path, **settings))

        yield start


@pytest.fixture
async def front(start: Start) -> Front:
    """A gateway without a speech model."""
    found: Front = await start()
    return found


shared = pytest.mark.asyncio(loop_scope="module")  # for tests that take a gateway of their module


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """A gateway without a speech model, for the tests of a module that leave it as it was."""
    async with started(tmp_path_factory.mktemp("lasting")) as front:
        yield front


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hearing(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path
) -> AsyncIterator[Front]:
    """The same, and it hears; what was heard before is not recognised again."""
    folder = tmp_path_factory.mktemp("hearing")
    async with started(folder, data_dir=data_dir, model="base", workers=1) as front:
        await until(lambda: front.gateway.ready, 60)
        yield front


@pytest.fixture
async def speaking(start: Start, data_dir: Path, base_model: Path) -> Front:
    """A gateway that hears."""
    front: Front = await start(data_dir=data_dir, model="base", workers=1)
    await until(lambda: front.gateway.ready, 60)
    return front


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A PostgreSQL of the module's own."""
    try:
        cluster = Cluster()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        cluster.make()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'rows.db'}"
        return
    cluster: Cluster = request.getfixturevalue("server")
    cluster.create("rows")
    yield cluster.url("rows")
    cluster.sql("DROP DATABASE rows WITH (FORCE)")


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until something has happened; fails when it does not."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)
