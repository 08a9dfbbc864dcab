"""A browser and a gateway for the walks of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.page.visit import chromium
from tests.web.conftest import Front, started, until

TRANSCRIPTS_MAX = 4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """A gateway without a speech model: tests say what is said."""
    async with started(tmp_path_factory.mktemp("front")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hearing(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, base_model: Path
) -> AsyncIterator[Front]:
    """A gateway that hears, with one worker and few places."""
    async with started(
        tmp_path_factory.mktemp("hearing"),
        data_dir=data_dir,
        model="base",
        workers=1,
        transcripts_max=TRANSCRIPTS_MAX,
        stall_s=120,
    ) as found:
        await until(lambda: found.gateway.ready, 60)
        yield found
