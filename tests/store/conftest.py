"""A database for each test: a file, or one in a PostgreSQL of this test process's own."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from gateway.store import schema
from gateway.store.database import Database
from gateway.store.redis import CONNECTIONS_MAX, Redis
from gateway.tasks import Background
from tests.postgres import Cluster, Missing

KINDS = ("sqlite", "postgresql")
TEMPLATE = "template_of_tests"

Fresh = Callable[[], str]
StartRedis = Callable[..., Awaitable[Redis]]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL, with a template that has the tables."""
    try:
        cluster = Cluster()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        cluster.make()
        cluster.create(TEMPLATE)
        asyncio.run(_upgraded(cluster.url(TEMPLATE)))
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file that has the tables, to be copied."""
    file = tmp_path_factory.mktemp("store") / "template.db"
    asyncio.run(_upgraded(f"sqlite:///{file}"))
    return file


async def _upgraded(url: str) -> None:
    database = Database(url)
    await schema.upgrade(database)
    await database.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A test that asks for it is run on both."""
    found: str = request.param
    return found


@pytest.fixture
def fresh(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """Makes databases without tables; they end with the test."""
    yield from _databases(kind, request, tmp_path, template=None)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with tables and no rows."""
    for make in _databases(kind, request, tmp_path, template=TEMPLATE):
        yield make()


_numbers = count()


def _databases(
    kind: str, request: pytest.FixtureRequest, folder: Path, *, template: str | None
) -> Iterator[Fresh]:
    made: list[str] = []

    def file() -> str:
        target = folder / f"store-{next(_numbers)}.db"
        if template is not None:
            shutil.copy(request.getfixturevalue("file"), target)
        return f"sqlite:///{target}"

    def server() -> str:
        made.append(f"test_{next(_numbers)}")
        cluster.create(made[-1], template or "template0")
        return cluster.url(made[-1])

    if kind == "sqlite":
        yield file
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    yield server
    for name in made:
        cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A database with tables and no rows."""
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def start_redis(redis_prefix: str, request: pytest.FixtureRequest) -> AsyncIterator[StartRedis]:
    """Starts the gateway's side of a Redis; of the one for all where none is named."""
    async with AsyncExitStack() as stack:
        background = Background()
        stack.push_async_callback(background.close)

        async def start(url: str | None = None, **more: float) -> Redis:
            if url is None:
                url = request.getfixturevalue("redis_server").url
            redis = Redis(url, prefix=redis_prefix, **({"wait_s": 5} | more))
            stack.push_async_callback(redis.close)
            await redis.start()
            background.start(redis.run(), "redis")
            return redis

        yield start


@asynccontextmanager
async def crowded(redis: Redis) -> AsyncIterator[None]:
    """All of its places are taken."""
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX - 1):
            await stack.enter_async_context(redis._places)
        yield


@pytest.fixture(params=("memory", "redis"))
async def shared(request: pytest.FixtureRequest, start_redis: StartRedis) -> Redis | None:
    """A test that asks for it is run without Redis and with it."""
    return await start_redis() if request.param == "redis" else None


@pytest.fixture
async def redis(start_redis: StartRedis) -> Redis:
    """One that answers."""
    return await start_redis()
