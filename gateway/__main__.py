"""The command line: `serve`, `check`, and what is done to models, the database and codes."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway import __version__, log
from gateway.check.finding import exit_code
from gateway.cloudlog import CloudLog
from gateway.errors import GatewayError, NotFound
from gateway.sentry import Sentry
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
    from gateway.web.server import serve

    with _told(settings):
        _run(serve(settings))


@app.command()
def check(
    server: Annotated[str | None, typer.Option(help="A gateway that runs; else one is started here.")] = None,
    key: Annotated[str | None, typer.Option(help="Whose eyes to see it with; the admin's see most.")] = None,
    url: Annotated[
        str | None, typer.Option(help="A post to try; without one the site is left alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Walk through a gateway and tell what works, what does not, and what to do about it.

    Exit code 0: all that was tried works. 1: something does not. 2: nothing could be tried.
    """
    settings = _settings()
    log.configure("error")  # the findings say the rest
    from gateway.check import report, run

    try:
        work = run.there(server, key, url) if server is not None else run.here(settings, url)
        address, findings = _run(work)
    except typer.Exit:
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(report.document(address, findings))
    else:
        report.show(address, findings)
    raise typer.Exit(exit_code(findings))


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


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """The log on standard error, and where else it and errors are to be told."""
    with ExitStack() as closing:
        sentry = cloud = None
        with _plainly():
            if settings.sentry_dsn is not None:
                sentry = Sentry(settings.sentry_dsn.get_secret_value(), version=__version__)
                closing.callback(sentry.close)
            if settings.gcp_project_id is not None:
                cloud = CloudLog(
                    settings.gcp_project_id, settings.gcp_log_name, settings.google_application_credentials
                )
                closing.callback(cloud.close)
        log.configure(
            settings.log_level,
            severity=cloud is not None,
            on_failure=sentry.tell if sentry is not None else None,
            on_line=cloud.tell if cloud is not None else None,
        )
        yield


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
    with _plainly(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@contextmanager
def _plainly() -> Iterator[None]:
    """What fails for a foreseen reason ends the command with a line that says so."""
    try:
        yield
    except GatewayError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:  # a port in use, a folder that cannot be written
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
