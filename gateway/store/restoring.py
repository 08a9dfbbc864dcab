"""The rows of a backup, taken over into an empty database of either kind.

Always: all of them or none.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import BadRequest, NotFound, SchemaMismatch
from gateway.store import schema, sqlite
from gateway.store.database import Database
from gateway.store.tables import ANYONE, accounts, metadata, segments

_AT_ONCE = 1000  # rows in memory


async def restore(file: Path, database: Database) -> int:
    """Fills a database with the rows of an SQLite file, which is left as it is; how many.

    Raises NotFound, BadRequest, SchemaMismatch, StoreUnavailable.
    """
    if not file.is_file():  # noqa: ASYNC240  # a command's only work
        raise NotFound("There is no such file.")
    if not sqlite.is_one(file):
        raise BadRequest("The file is no SQLite database.")
    source, found = Database(f"sqlite:///{quote(str(file))}"), 0
    try:
        if (version := await schema.current(source)) != schema.head():
            raise SchemaMismatch(f"The backup is of version {version or 'none'}, not {schema.head()}.")
        await schema.upgrade(database)
        async with source.reading() as rows, database.transaction() as tx:
            for table in metadata.sorted_tables:
                if await _some(tx, table):
                    raise BadRequest("The database has rows already: only an empty one is filled.")
                found += await _copied(rows, tx, table)
    finally:
        await source.close()
    return found


async def _some(tx: AsyncConnection, table: sa.Table) -> bool:
    query = sa.select(sa.literal(1)).select_from(table).limit(1)
    if table is accounts:
        query = query.where(table.c.id != ANYONE)  # made with the table
    return (await tx.execute(query)).first() is not None


async def _copied(rows: AsyncConnection, tx: AsyncConnection, table: sa.Table) -> int:
    found, last, key = 0, None, tuple(table.primary_key.columns)
    while True:
        query = sa.select(table).order_by(*key).limit(_AT_ONCE)
        if last is not None:
            query = query.where(sa.tuple_(*key) > sa.tuple_(*last))
        some = (await rows.execute(query)).all()
        if not some:
            return found
        last = [sa.literal(some[-1]._mapping[column], column.type) for column in key]
        if kept := [_row(table, row) for row in some if not (table is accounts and row.id == ANYONE)]:
            await tx.execute(table.insert(), kept)
        for row in some:
            if table is accounts and row.id == ANYONE:  # it is there; what it may is in the backup
                await tx.execute(table.update().where(table.c.id == ANYONE).values(dict(row._mapping)))
        found += len(kept)


def _row(table: sa.Table, row: sa.Row[Any]) -> dict[str, Any]:
    named = dict(row._mapping)
    if table is segments:
        del named["id"]  # counted up by each database for itself
    return named
