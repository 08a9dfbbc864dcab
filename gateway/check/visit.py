"""A gateway as one caller sees it: its address, a key, and answers that are bounded in size and time."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

ANSWER_BYTES_MAX = 512 << 20
ANSWER_S = 180.0
PATIENCE_S = 60  # a limit that asks for more than this is not waited for
TRIES_MAX = 3


class Unreached(Exception):
    """Nobody answered, or not to the end."""


class Broken(Unreached):
    """The connection broke on the way: also what is refused while it is still being written may end so."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float

    def json(self) -> dict[str, Any]:
        """The body as JSON. Raises Unreached where it is none: then it is not a gateway that answers."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Unreached(f"HTTP {self.status} with a body that is no JSON of a gateway") from None

    @property
    def code(self) -> str:
        """Its error's code; the status where it has none."""
        try:
            told = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            told = None
        error = told.get("error", told) if isinstance(told, dict) else {}
        code = error.get("code") if isinstance(error, dict) else None
        return f"HTTP {self.status}" + (f" {code}" if code else "")


class Visit:
    """Requests to one server, in one session."""

    def __init__(self, session: aiohttp.ClientSession, server: str, key: str | None) -> None:
        self.server = server.rstrip("/")
        self.key = key
        self._session = session

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Answer:
        """An answer, after as long as a limit asks to wait. Raises Unreached."""
        sent = dict(headers or {})
        if (shown := key or self.key) is not None:
            sent["X-API-Key"] = shown
        if json is not None:
            data, sent["Content-Type"] = msgspec.json.encode(json), "application/json"
        for left in reversed(range(TRIES_MAX)):
            answer = await self._asked(method, self.server + path, data, sent)
            after = answer.headers.get("Retry-After", "")
            if answer.status != 429 or not left or not after.isdigit() or int(after) > PATIENCE_S:
                return answer
            await asyncio.sleep(int(after))
        raise AssertionError("the last try returns")

    async def _asked(self, method: str, url: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                self._session.request(
                    method, url, data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise Unreached(f"the answer is larger than {ANSWER_BYTES_MAX >> 20} MB")
                return Answer(response.status, response.headers, bytes(body), time.monotonic() - began)
        except TimeoutError:
            raise Unreached(f"no whole answer within {ANSWER_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            # that nobody listens is a ClientOSError too
            broken = isinstance(failure, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
            kind = Broken if broken and not isinstance(failure, aiohttp.ClientConnectorError) else Unreached
            raise kind(str(failure) or type(failure).__name__) from None
