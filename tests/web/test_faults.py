"""Fault injection: resets at a random byte, refusals and stalls in the middle, by seed.

Every client gets either the exact bytes or a visibly broken stream; and what can be healed is.
"""

import asyncio
import hashlib
import os
import random
from collections import Counter

import aiohttp
import pytest

from tests.origin.cdn import Fault
from tests.web.conftest import Front, Start, until

RUNS = 1000 if os.environ.get("CLIPWIRE_SOAK") else 150
AT_ONCE = 8
STALL_S = 0.3


@pytest.mark.soak
@pytest.mark.parametrize(("share", "healed"), [(0.4, 0.8), (0.9, 0.1)])
async def test_every_client_gets_the_exact_bytes_or_a_broken_stream(
    start: Start, share: float, healed: float
) -> None:
    front = await start(stall_s=STALL_S, spool_s=0, extract_cache_s=300)
    exact = {
        name: _digests(front, name) for name in ("video", "photo3", "photo_alternate", "cdn_ignores_range")
    }
    ends: Counter[str] = Counter()
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with turn:
            chance = random.Random(seed)
            name = chance.choice(list(exact))
            end = await _read(front, name, exact[name])
            ends[end] += 1
            front.gateway.spools.sweep()

    front.origin.faults(_Chaos(1, share))
    async with asyncio.TaskGroup() as group:
        for seed in range(RUNS):
            group.create_task(one(seed))
    front.origin.faults(None)
    front.origin.release()
    print(f"a fault in {share:.0%} of the answers: {RUNS} downloads tried, {dict(ends)}")
    assert ends["wrong bytes"] == 0
    assert ends["exact"] > RUNS * healed
    if share > 0.5:
        assert ends["broken"] + ends["refused"] > 0  # some cannot be healed
    await until(lambda: front.origin.open_reads == 0)
    for name, digests in exact.items():
        assert await _read(front, name, digests) == "exact"


class _Chaos:
    """A fault for each answer, drawn from a seed."""

    def __init__(self, seed: int, share: float) -> None:
        self._chance, self._share = random.Random(seed), share

    def __call__(self, part: str, size: int) -> Fault:
        draw, place = self._chance.random(), self._chance.randrange(size)
        if draw < self._share * 0.6:
            return Fault(cut_at=place)
        if draw < self._share * 0.9:
            return Fault(refused=True)
        if draw < self._share:
            return Fault(hang_at=place)
        return Fault()


def _digests(front: Front, name: str) -> list[bytes]:
    return [hashlib.sha256(part).digest() for part in front.origin.parts(name)]


async def _read(front: Front, name: str, exact: list[bytes]) -> str:
    """How a download ended."""
    got = []
    try:
        async with front.download(name) as response:
            if response.status != 200:
                assert response.status == 500, await response.text()
                return "refused"
            reader = aiohttp.MultipartReader.from_response(response)
            while (part := await reader.next()) is not None:
                assert isinstance(part, aiohttp.BodyPartReader)
                got.append(hashlib.sha256(await part.read()).digest())
    except (aiohttp.ClientError, ValueError):
        return "broken"
    return "exact" if got == exact else "wrong bytes"
