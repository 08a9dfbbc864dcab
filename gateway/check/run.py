"""A check from start to end: of a gateway that runs, or of one that is started for it."""

import hashlib
import secrets
from collections.abc import Sequence

import aiohttp
from pydantic import SecretStr

from gateway.check.finding import Finding
from gateway.check.visit import Visit
from gateway.check.walk import Walk
from gateway.errors import NotFound
from gateway.settings import Settings
from gateway.web.server import listening
from gateway.wire.events import Segment, text_of
from gateway.wiring import Gateway

MODEL_S = 300.0  # for a model that is not there yet
READY_S = 5.0  # for a gateway that runs
ROWS_MAX = 10_000


async def there(server: str, key: str | None, url: str | None) -> tuple[str, Sequence[Finding]]:
    """A gateway that runs, over its API."""
    async with aiohttp.ClientSession() as session:
        return server, await Walk(Visit(session, server, key), url=url, ready_s=READY_S).findings()


async def here(
    settings: Settings, url: str | None, *, ready_s: float = MODEL_S
) -> tuple[str, Sequence[Finding]]:
    """A gateway of our own with these settings, on a free port of this machine.

    Where no admin key is set, it gets one for as long as it runs: without it, half could not be tried. What
    others left in its folder and database it leaves as it is.
    """
    key = settings.admin_key or SecretStr(secrets.token_urlsafe(24))
    own = settings.model_copy(update={"host": "127.0.0.1", "port": 0, "admin_key": key, "shutdown_s": 1.0})

    async with listening(own, jobs=False) as (gateway, server), aiohttp.ClientSession() as session:

        async def texts() -> tuple[int, list[str]]:
            return await _texts(gateway)

        visit = Visit(session, server, key.get_secret_value())
        return server, await Walk(visit, url=url, ready_s=ready_s, texts=texts).findings()


async def _texts(gateway: Gateway) -> tuple[int, list[str]]:
    """How many stored transcripts there are, and which are not what their hashes say."""
    count, wrong, after = 0, list[str](), None
    while count < ROWS_MAX:
        page = await gateway.archive.page(after=after, limit=200)
        for row in page.items:
            if row.state != "COMPLETE":
                continue
            try:
                stored, log = await gateway.archive.whole(row.id)
            except NotFound:
                continue  # it was removed meanwhile
            count += 1
            text = text_of([event for event in log if isinstance(event, Segment)])
            told = hashlib.sha256(text.encode()).hexdigest()
            if told != stored.text_sha256 or stored.text != text:
                wrong.append(row.id)
        after = page.next
        if after is None:
            break
    return count, wrong
