"""What goes on as long as the gateway."""

import asyncio
from contextlib import suppress

import pytest
import structlog

from gateway import tasks
from gateway.tasks import Background, heeded


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


async def test_a_cancellation_that_is_taken_for_a_failure_goes_on_all_the_same() -> None:
    begun = asyncio.Event()

    async def asked() -> None:
        """As client libraries do whose connection is closed while they are cancelled."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    async def work() -> None:
        while True:
            with suppress(ConnectionError), heeded():
                await asked()

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
