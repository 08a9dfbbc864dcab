"""One account asks for all it can get; what another gets meanwhile, as counts and orders.

A flood has at most its places open, so at most so many windows and reads go ahead of somebody else.
"""

import asyncio
import random
import time
from dataclasses import dataclass

from gateway.wire import events
from gateway.wire.events import Segment
from tests.load import sounds
from tests.load.caller import Caller
from tests.load.leaks import metrics
from tests.load.stand import FLOOD, PLACES, STEADY, Stand
from tests.load.tally import Tally
from tests.speech import clips

FILES = 3  # whole downloads beside a flood
LONG_PIECES = 6  # of which each sound of the flood is made
BATCH_MAX = 4  # windows that a worker may have in hand when somebody comes


@dataclass(frozen=True)
class Heard:
    """What one saw of its own upload."""

    first_s: float
    windows: float  # of all, recognised until its first words


async def found(there: Stand, tally: Tally, chance: random.Random) -> list[str]:
    """What was not fair."""
    alone = await _words(there, STEADY[0], sounds.piece(chance))
    under = asyncio.Event()
    floods = [asyncio.create_task(_flooding(there, _long(chance), under)) for _ in range(PLACES)]
    try:
        async with asyncio.timeout(60):
            await under.wait()
        beside = await _words(there, STEADY[1], sounds.piece(chance))
        longer = sum(not flood.done() for flood in floods)
    finally:
        for flood in floods:
            flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    async with asyncio.timeout(60):  # the flood has its places again once the gateway has seen it leave
        while (await metrics(there))["clipwire_requests_open"] > 1:
            await asyncio.sleep(0.05)
    reading = await _files(there)
    # one of each open call, what each worker had in hand, and their own
    windows_max = PLACES + BATCH_MAX * (await metrics(there))["clipwire_workers_wanted"] + 1
    # how long it took is told and not asserted: the machine may be busy with others
    tally.notes += [
        f"beside {PLACES} long uploads of another account: first words after {beside.first_s:.2f} s and "
        f"{beside.windows:.0f} windows (at most {windows_max:.0f} may be), alone {alone.first_s:.2f} s; then "
        f"{longer} of the {PLACES} were still at work",
        f"beside {PLACES} slow downloads of another account: {FILES} whole downloads, while {reading} of the "
        f"{PLACES} went on",
    ]
    wrong = []
    if beside.windows > windows_max:
        wrong.append(f"{beside.windows:.0f} windows were recognised before somebody had first words")
    if not longer:
        wrong.append("the flood was over before another had first words")
    if reading != PLACES:
        wrong.append("the flood's downloads were over before another's")
    return wrong


async def _words(there: Stand, account: str, sound: bytes) -> Heard:
    caller = Caller(there, account, random.Random(0))
    headers = caller.key | {"Content-Type": "audio/wav"}
    before, began = await _windows(there), time.monotonic()
    async with there.session.post(f"{there.url}/transcribe", data=sound, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if isinstance(events.parse(line), Segment):
                return Heard(time.monotonic() - began, await _windows(there) - before)
    return Heard(time.monotonic() - began, await _windows(there) - before)


async def _flooding(there: Stand, sound: bytes, under: asyncio.Event) -> None:
    caller = Caller(there, FLOOD, random.Random(0))
    headers = caller.key | {"Content-Type": "audio/wav"}
    async with there.session.post(f"{there.url}/transcribe", data=sound, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if isinstance(events.parse(line), Segment):
                under.set()


async def _files(there: Stand) -> int:
    """How many slow downloads of a flood are not over when another account has had some whole ones."""
    big = {"url": there.origin.url("big"), "content_type": "VIDEO_ONLY"}
    flood, other = (Caller(there, name, random.Random(0)) for name in (FLOOD, STEADY[1]))
    begun = asyncio.Barrier(PLACES + 1)

    async def slow() -> None:
        url = f"{there.url}/download"
        async with there.slow.post(url, json=big, headers=flood.key) as answer:
            assert answer.status == 200, await answer.text()
            await answer.content.read(1024)
            await begun.wait()
            while await answer.content.read(5000):
                await asyncio.sleep(0.1)

    floods = [asyncio.create_task(slow()) for _ in range(PLACES)]
    try:
        async with asyncio.timeout(60):
            await begun.wait()
            for _ in range(FILES):
                body = {"url": there.origin.url("video"), "content_type": "VIDEO_ONLY"}
                async with other.asked("POST", "/download", json=body) as answer:
                    await answer.read()
        return sum(not flood.done() for flood in floods)
    finally:
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)


def _long(chance: random.Random) -> bytes:
    pieces = b"".join(sounds.piece(chance)[44:] + clips.silence(0.6) for _ in range(LONG_PIECES))
    return clips.wav(pieces)


async def _windows(there: Stand) -> float:
    return (await metrics(there))["clipwire_windows_total"]
