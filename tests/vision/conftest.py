"""An analyst before a vision API of the tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from gateway.errors import MediaUndecodable
from gateway.settings import Settings
from gateway.store.cache import Cache
from gateway.tasks import Background
from gateway.vision.analyst import Analyst
from gateway.vision.client import Client
from tests.vision.stand_in import Api

KEY = "sk-of-tests"

Looking = Callable[..., Analyst]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with TestServer(api.app()) as server:
        api.url = f"http://127.0.0.1:{server.port}/v1"
        yield api


@pytest.fixture
async def looking(api: Api, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Looking]:
    """Makes an analyst with the settings given; it ends with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with AsyncExitStack() as stack:

        def looking(convert: Any = refused, **settings: Any) -> Analyst:
            fields = {"vision_s": 20.0} | settings
            background = Background()
            all_of_them = Settings(_env_file=None, **fields)
            client = Client(
                key=KEY, base_url=api.url, model=all_of_them.vision_model, call_s=all_of_them.vision_s
            )
            analyst = Analyst(
                client, all_of_them, background, cache=Cache(bytes_max=1 << 20), convert=convert
            )
            stack.push_async_callback(analyst.close)
            stack.push_async_callback(background.close)
            return analyst

        yield looking


async def refused(image: bytes) -> bytes:
    """There is nothing to be converted."""
    raise MediaUndecodable("The image cannot be read.")
