"""One caller: asks, and puts down what it gets."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.load.stand import Stand
from tests.load.tally import Kind

CALL_S = 150
ERRORS = {"BUSY", "SERVICE_UNAVAILABLE"}


class Turned(Exception):
    """Refused as it may be under load: too many calls (429), or too much work (503)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Caller:
    """Somebody with a key at one request, or at a few that belong together."""

    def __init__(self, stand: Stand, account: str, chance: random.Random) -> None:
        self.stand = stand
        self.account = account
        self.chance = chance
        self.bytes = 0
        self.audio_s = 0.0
        self.ends: list[str] = []  # statuses; or how an answer broke off, where it should

    @property
    def key(self) -> dict[str, str]:
        return {"X-API-Key": self.stand.keys[self.account]}

    @asynccontextmanager
    async def asked(
        self,
        method: str,
        path: str,
        *,
        status: int | Collection[int] = 200,
        headers: dict[str, str] | None = None,
        slow: bool = False,
        **body: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of this status. Raises Turned where there is no room, AssertionError for another."""
        expected = {status} if isinstance(status, int) else set(status)
        session = self.stand.slow if slow else self.stand.session
        sent = self.key if headers is None else headers
        async with session.request(method, self.stand.url + path, headers=sent, **body) as answer:
            self.ends.append(str(answer.status))
            if answer.status not in expected and answer.status in (429, 503):
                told = await answer.text()
                assert int(answer.headers["Retry-After"]) > 0, told
                assert answer.status == 429 or any(code in told for code in ERRORS), told
                raise Turned(answer.status)
            assert answer.status in expected, f"{answer.status} {(await answer.text())[:300]}"
            yield answer

    async def read(self, answer: aiohttp.ClientResponse) -> bytes:
        """All of a body."""
        data = await answer.read()
        self.bytes += len(data)
        return data


async def counted(kind: Kind, caller: Caller, call: Any) -> str | None:
    """Makes a call, and counts how it ended; what was wrong with it, if anything was."""
    began, wrong = time.monotonic(), None
    try:
        async with asyncio.timeout(CALL_S):
            await call(caller)
        kind.times.append(time.monotonic() - began)
        ends = caller.ends
    except Turned as refusal:
        ends = [str(refusal.status)]
    except TimeoutError:
        ends, wrong = ["late"], "no end in time"
    except aiohttp.ClientError as failure:
        ends, wrong = ["cut"], f"cut: {failure!r}"
    except AssertionError as failure:
        ends, wrong = ["wrong"], f"{failure!s:.600}" or "an assertion"
    except Exception as failure:  # an answer that cannot be read is wrong too
        ends, wrong = ["wrong"], f"{failure!r:.600}"
    kind.ends.update(ends)
    kind.bytes += caller.bytes
    kind.audio_s += caller.audio_s
    return wrong
