"""The command line: `python -m gateway serve`, and what is done to models, the database and codes."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway import log
from gateway.errors import GatewayError, NotFound
from gateway.settings import Settings

SOURCES = {"hub": "model hub", "wheels": "package registry (no hub answered)"}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
model = typer.Typer(no_args_is_help=True, help="Speech models in the data folder.")
app.add_typer(model, name="model")
db = typer.Typer(no_args_is_help=True, help="The database (DATABASE_URL, or a file in the data folder).")
app.add_typer(db, name="db")
codes = typer.Typer(no_args_is_help=True, help="Single-use codes, each worth an amount of audio.")
app.add_typer(codes, name="codes")


@app.callback()
def main() -> None:
    """clipwire: a self-hosted streaming gateway for short video and its words."""


@app.command()
def serve() -> None:
    """Run the gateway; every setting is an environment variable (docs/settings.md)."""
    settings = _settings()
    log.configure(settings.log_level)
    from gateway.web.server import serve

    _run(serve(settings))


@model.command()
def pull(name: str = typer.Argument(help="A model's name, such as base or tiny.en.")) -> None:
    """Fetch a speech model, verify it and keep it."""
    settings = _settings()
    log.configure("warning")  # the bars say the rest
    from gateway.speech import models

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bars: dict[str, Any] = {}

        def progress(step: str, done: int, total: int | None) -> None:
            if step not in bars:
                for gone in bars.values():
                    shown.update(gone, visible=False)
                bars[step] = shown.add_task(SOURCES[step], total=total)
            shown.update(bars[step], completed=done, total=total)

        folder = _run(models.pull(name, settings.data_dir, settings.model_hub_s, progress))
    typer.echo(folder)


@db.command()
def upgrade() -> None:
    """Make the tables, or bring them up to date."""
    settings = _settings()
    log.configure(settings.log_level)
    from gateway.store import database, schema

    async def work() -> None:
        async with database.opened(settings) as store:
            await schema.upgrade(store)

    _run(work())


@db.command()
def current() -> None:
    """Print the version of the tables, and that of this program where it is another."""
    settings = _settings()
    log.configure("warning")
    from gateway.store import database, schema

    async def work() -> str | None:
        if not database.exists(settings):
            raise NotFound("There is no database yet: python -m gateway db upgrade makes one.")
        async with database.opened(settings) as store:
            return await schema.current(store)

    found, wanted = _run(work()), schema.head()
    typer.echo(found or "none")
    if found != wanted:
        print(f"this program needs {wanted}: python -m gateway db upgrade", file=sys.stderr)


@db.command()
def backup(file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]) -> None:
    """Copy an SQLite database as it is now, while it is in use."""
    settings = _settings()
    log.configure("warning")
    from gateway.store import database, schema

    async def work() -> None:
        if not database.exists(settings):
            raise NotFound("There is no database yet.")
        async with database.opened(settings) as store:
            if await schema.current(store) is None:
                raise NotFound("There is no database yet.")
            await store.backup(file)

    _run(work())


@db.command()
def restore(file: Annotated[Path, typer.Argument(help="An SQLite database, such as a backup.")]) -> None:
    """Fill the database, which must be empty, with the rows of a backup: also PostgreSQL, of SQLite."""
    settings = _settings()
    log.configure("warning")
    from gateway.store import database, restoring

    async def work() -> int:
        async with database.opened(settings) as store:
            return await restoring.restore(file, store)

    typer.echo(f"{_run(work())} rows")


@codes.command()
def issue(
    seconds: Annotated[float, typer.Option(help="Audio that a code is worth.")] = 3600,
    count: Annotated[int, typer.Option(help="How many.")] = 1,
) -> None:
    """Issue codes and print them, each on a line of its own; they are shown this once."""
    settings = _settings()
    log.configure(settings.log_level)
    from gateway.store import database, schema
    from gateway.store.codes import Codes, Issued

    async def work() -> tuple[Issued, ...]:
        async with database.opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            return await Codes(store).issue(count, seconds=seconds)

    for one in _run(work()):
        typer.echo(one.code)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for one in error.errors():
            names = (str(at) if str(at).isupper() else f"GATEWAY_{str(at).upper()}" for at in one["loc"])
            print(f"setting {'.'.join(names)}: {one['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None


def _run(work: Any) -> Any:
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(work)
    except GatewayError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:  # a port in use, a folder that cannot be written
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
