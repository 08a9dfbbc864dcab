"""What a load needs around it: origin, gateway in a process of its own, accounts, codes and sessions."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.settings import Rate
from gateway.store import schema
from gateway.store.accounts import Accounts, Change
from gateway.store.database import Database
from tests.bench.model import model
from tests.bench.serve import Served, serve
from tests.load import sounds
from tests.origin.origin import Origin

ADMIN = "the operator's key of the load"
SECRET = "what the load signs with"
STEADY = ("alice", "bob", "carol")
FLOOD, POOR = "flood", "poor"  # who wants everything at once, and who may ask but seldom
PLACES = 6  # requests that each account may have open
PLENTY, SELDOM = Rate(1_000_000, 1000), Rate(5, 1)
POSTS = 2  # with speech of their own
CODES = 50  # issued at once
SLOW_ROOM = 16_384  # bytes that the kernel keeps for a slow client, or it would not be slow

SETTINGS = {
    "GATEWAY_ADMIN_KEY": ADMIN, "API_SECRET": SECRET, "GATEWAY_LOG_LEVEL": "info",
    # what is kept for a while is kept shortly, so that soon nothing may be left
    "GATEWAY_SPOOL_S": "1", "GATEWAY_TRANSCRIPT_S": "2", "GATEWAY_EXTRACT_CACHE_S": "2",
    "GATEWAY_LEASE_S": "5", "GATEWAY_CLIENT_STALL_S": "10", "GATEWAY_BODY_S": "3", "GATEWAY_HEAD_S": "3",
    "GATEWAY_UPLOAD_STALL_S": "3", "GATEWAY_EXTRACT_S": "10", "GATEWAY_STALL_S": "3",
    "MAX_REQUESTS_PER_MINUTE": "1000000",
}  # fmt: skip


@dataclass(frozen=True)
class Stand:
    """All of it, running."""

    gateway: Served
    origin: Origin
    folder: Path
    keys: Mapping[str, str]  # by account
    session: aiohttp.ClientSession
    slow: aiohttp.ClientSession
    purse: "Purse"
    database: Database

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def log(self) -> Path:
        return self.folder / "gateway" / "gateway.log"

    @property
    def data(self) -> Path:
        return self.folder / "gateway" / "data"


@dataclass
class Purse:
    """The codes, and what became of them as their users were told."""

    url: str
    session: aiohttp.ClientSession
    issued: list[str] = field(default_factory=list)  # ids
    told: dict[str, str] = field(default_factory=dict)  # id of a code to its transcript, told 201
    promised: dict[str, str] = field(default_factory=dict)  # the same, told 202
    _fresh: list[tuple[str, str]] = field(default_factory=list)

    async def code(self) -> tuple[str, str]:
        """The id and the letters of a code that nobody has used."""
        if not self._fresh:
            body = {"count": CODES, "seconds": 60}
            async with self.session.post(
                f"{self.url}/codes", json=body, headers={"X-API-Key": ADMIN}
            ) as answer:
                assert answer.status == 201, await answer.text()
                made = [(one["id"], one["code"]) for one in (await answer.json())["codes"]]
            self._fresh += made
            self.issued += [id_ for id_, _ in made]
        return self._fresh.pop()


@asynccontextmanager
async def stand(folder: Path, *, workers: int) -> AsyncIterator[Stand]:
    """A gateway that hears, before an origin; both end with the block."""
    async with AsyncExitStack() as stack:
        origin = Origin(folder / "origin", speech=await asyncio.to_thread(_posts, folder))
        await stack.enter_async_context(origin)
        for name in ("big", *(f"speech:{number:04}" for number in range(POSTS))):
            await asyncio.to_thread(origin.parts, name)  # made before anybody waits for it
        (folder / "gateway" / "data").mkdir(parents=True)
        database = Database(f"sqlite:///{folder}/gateway/data/clipwire.db")
        stack.push_async_callback(database.close)
        keys = await _accounts(database)
        settings = SETTINGS | {
            "GATEWAY_PROXY_URL": origin.proxy_url, "GATEWAY_PROXY_CA_FILE": str(origin.ca_file),
            "GATEWAY_MODEL": str(await model()), "GATEWAY_WORKERS": str(workers),
        }  # fmt: skip
        gateway = await stack.enter_async_context(serve(folder / "gateway", settings, until="/ready"))
        timeout = aiohttp.ClientTimeout(total=150)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout)
        )
        narrow = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_narrow)
        slow = await stack.enter_async_context(
            aiohttp.ClientSession(connector=narrow, timeout=timeout, read_bufsize=4096)
        )
        yield Stand(gateway, origin, folder, keys, session, slow, Purse(gateway.url, session), database)


def _posts(folder: Path) -> dict[str, Path]:
    (folder / "sounds").mkdir(parents=True)
    made = {}
    for number in range(POSTS):
        made[f"{number:04}"] = folder / "sounds" / f"{number}.wav"
        made[f"{number:04}"].write_bytes(sounds.piece(random.Random(number)))
    return made


async def _accounts(database: Database) -> dict[str, str]:
    await schema.upgrade(database)
    accounts, keys = Accounts(database), {}
    for owner in (*STEADY, FLOOD, POOR):
        change = Change(rate=SELDOM if owner == POOR else PLENTY, streams_max=PLACES)
        made = await accounts.create(owner, ("download", "transcribe", "extract"), change=change)
        keys[owner] = made.key
    return keys


def _narrow(address: Any) -> socket.socket:
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_ROOM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SLOW_ROOM)
    return made
