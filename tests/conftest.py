"""What every test shares: the event loop of the product, a bound, and a speech model fetched once."""

import asyncio
import fcntl
import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in workers: on a full machine its threads spin

import pytest
import uvloop
from aiohttp import web_app

from gateway.speech import models
from tests.redis import Missing, Server

DATA_DIR = Path(os.environ.get("CLIPWIRE_TEST_DATA") or Path(__file__).parents[1] / ".cache" / "data")
# the longest takes a tenth of it; a hang must not take the suite with it
TEST_S_MAX = 1800 if os.environ.get("CLIPWIRE_SOAK") else 200


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    """Lets each application of a test go: aiohttp keeps them all, for their handlers."""
    yield
    web_app._cached_build_middleware.cache_clear()


def pytest_collection_finish() -> None:
    """Takes what is loaded for all tests out of the collector's rounds."""
    gc.collect()
    gc.freeze()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "a library has made this a process of real time"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _bounded(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _bounded(item))


def _bounded(item: pytest.Item) -> Generator[None, Any, Any]:
    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{item.name} did not end")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(TEST_S_MAX)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Kept between runs, for the model in it."""
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    return DATA_DIR


@pytest.fixture(scope="session")
def base_model(data_dir: Path) -> Path:
    """The real base model; parallel test processes wait for one of them to fetch it."""
    with (data_dir / "pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return asyncio.run(models.pull("base", data_dir, 10, lambda what, done, total: None))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis for the tests that leave it running."""
    yield from _redis()


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A Redis that the test may stop."""
    yield from _redis()


def _redis() -> Iterator[Server]:
    try:
        server = Server()
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        yield server
    finally:
        server.remove()


_tests = count()


@pytest.fixture
def redis_prefix() -> str:
    """What the keys of this test begin with."""
    return f"test{next(_tests)}"
