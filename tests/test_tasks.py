"""What goes on as long as the gateway."""

import asyncio

import pytest
import structlog

from gateway import tasks
from gateway.tasks import Background


async def test_what_is_kept_fails_aloud_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0)
    background, begun, well = Background(), 0, asyncio.Event()

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of somebody")
        well.set()
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as lines:
        task = background.keep(run, "loop")
        async with asyncio.timeout(30):
            await well.wait()
        await background.close()
    assert task.cancelled()
    assert [(line["log_level"], line["task"]) for line in lines] == [("error", "loop")] * 2
