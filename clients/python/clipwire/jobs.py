"""The caller's jobs, or for the operator everybody's."""

import msgspec

from .connection import Connection
from .records import Job
from .records import Jobs as Told


class _Failed(msgspec.Struct, frozen=True):
    jobs: tuple[Job, ...]


class _Repaired(msgspec.Struct, frozen=True):
    repaired: int


class Jobs:
    """`client.jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> Told:
        """How many there are, and the newest."""
        return await self._connection.told("GET", "/jobs", Told)

    async def failed(self) -> tuple[Job, ...]:
        """The newest that failed."""
        return (await self._connection.told("GET", "/jobs/failed", _Failed)).jobs

    async def repair(self) -> int:
        """Has what dead processes left done again; how many jobs that were."""
        return (await self._connection.told("POST", "/jobs/repair", _Repaired)).repaired
