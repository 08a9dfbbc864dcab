"""The database that a command works on, told by its name: without the service's settings it is another."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.commands import plain
from gateway.errors import NotFound
from gateway.settings import Settings
from gateway.store import database
from gateway.store.database import Database


@asynccontextmanager
async def opened(settings: Settings, *, made: bool = True) -> AsyncIterator[Database]:
    """That of the settings, for as long as a command takes; made where it is missing, or else NotFound."""
    print(plain.line(f"database: {database.told(settings)}"), file=sys.stderr, flush=True)
    if not made and not database.exists(settings):
        raise NotFound("There is no database yet: python -m gateway db upgrade makes one.")
    async with database.opened(settings) as store:
        yield store
