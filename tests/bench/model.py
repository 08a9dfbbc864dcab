"""The speech model that the benches use: the tests', fetched if it is not there."""

import asyncio
import fcntl
from pathlib import Path

from gateway.speech import models
from tests.conftest import DATA_DIR

NAME = "base"
HUB_S = 10


async def model() -> Path:
    """Its folder."""
    return await asyncio.to_thread(_pulled)


def _pulled() -> Path:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    with (DATA_DIR / "pull.lock").open("w") as lock:  # tests may be fetching it now
        fcntl.flock(lock, fcntl.LOCK_EX)
        return asyncio.run(models.pull(NAME, DATA_DIR, HUB_S, lambda step, done, total: None))
