"""What was counted: in memory at first, added to rows behind the answer. Several gateways add to the same.

Always: nobody waits for a count to be written; what is not written yet counts here already.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import StoreUnavailable
from gateway.store import behind
from gateway.store.database import Database
from gateway.store.tables import totals

WRITE_S = 5.0
CLOSE_S = 5.0  # as transcripts have
NAMES_MAX = 1000  # that wait for their rows: they come from tables of ours

log = structlog.get_logger()


class Totals:
    """Sums by name. `since_start` has what this process counted itself."""

    def __init__(self, database: Database) -> None:
        self.since_start: Counter[str] = Counter()
        self._database = database
        self._counted: Counter[str] = Counter()  # what no row has yet
        self._turn = asyncio.Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts."""
        assert len(self._counted) < NAMES_MAX
        self.since_start.update(counts)
        self._counted.update(counts)

    async def read(self) -> Counter[str]:
        """What all gateways have counted; what this one has since its start, while the database is away."""
        if self._database.away or not self._database.ready:
            return Counter(self.since_start)
        try:
            async with self._turn:
                async with self._database.reading() as rows:
                    found = Counter({row.id: row.value for row in await rows.execute(sa.select(totals))})
                return found + self._counted
        except StoreUnavailable:
            return Counter(self.since_start)

    async def run(self) -> None:
        """Writes for as long as the gateway runs."""
        await behind.every(WRITE_S, self.write, "totals were")

    async def write(self) -> None:
        """Adds what was counted to the rows. Raises StoreUnavailable; then it goes on being counted here."""
        async with self._turn:
            taken = {name: count for name, count in sorted(self._counted.items()) if count}
            if not taken:
                return
            insert = (sqlite if self._database.name == "sqlite" else postgresql).insert(totals)
            add = insert.on_conflict_do_update(
                index_elements=["id"], set_={"value": totals.c.value + insert.excluded.value}
            )
            async with self._database.transaction() as tx:
                # in one order: gateways do not wait for each other in a ring
                await tx.execute(add.values([{"id": name, "value": count} for name, count in taken.items()]))
            self._counted.subtract(taken)
            self._counted = +self._counted

    async def close(self) -> None:
        """Writes what is left, within a deadline; `run` has ended."""
        await behind.last(self.write, CLOSE_S)
        if self._counted:
            log.error("counts are lost: the database did not take them", count=self._counted.total())
