"""The database: its tables brought up to date, copied, and filled again."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands import program
from gateway.errors import NotFound

db = typer.Typer(no_args_is_help=True, help="The database (DATABASE_URL, or a file in the data folder).")


@db.command()
def upgrade() -> None:
    """Make the tables, or bring them up to date."""
    settings = program.begun()
    from gateway.commands.store import opened
    from gateway.store import schema

    async def work() -> None:
        async with opened(settings) as store:
            await schema.upgrade(store)

    program.run(work())


@db.command()
def current() -> None:
    """Print the version of the tables, and that of this program where it is another."""
    settings = program.begun("warning")
    from gateway.commands.store import opened
    from gateway.store import schema

    async def work() -> str | None:
        async with opened(settings, made=False) as store:
            return await schema.current(store)

    found, wanted = program.run(work()), schema.head()
    typer.echo(found or "none")
    if found != wanted:
        print(f"this program needs {wanted}: python -m gateway db upgrade", file=sys.stderr)


@db.command()
def backup(file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]) -> None:
    """Copy an SQLite database as it is now, while it is in use."""
    settings = program.begun("warning")
    from gateway.commands.store import opened
    from gateway.store import schema

    async def work() -> None:
        async with opened(settings, made=False) as store:
            if await schema.current(store) is None:
                raise NotFound("There is no database yet.")
            await store.backup(file)

    program.run(work())


@db.command()
def restore(file: Annotated[Path, typer.Argument(help="An SQLite database, such as a backup.")]) -> None:
    """Fill the database, which must be empty, with the rows of a backup: also PostgreSQL, of SQLite."""
    settings = program.begun("warning")
    from gateway.commands.store import opened
    from gateway.store import restoring

    async def work() -> int:
        async with opened(settings) as store:
            return await restoring.restore(file, store)

    typer.echo(f"{program.run(work())} rows")
