"""The command line: `serve`, `check`, and what is done to models, the database, codes and keys."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from msgspec import UNSET, UnsetType
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway import __version__, log
from gateway.check.finding import exit_code
from gateway.cloudlog import CloudLog
from gateway.errors import BadRequest, GatewayError, NotFound, Unprotected
from gateway.sentry import Sentry
from gateway.settings import Settings

if TYPE_CHECKING:  # the store takes a while to load
    from gateway.store.accounts import Accounts, Change

T = TypeVar("T")

SOURCES = {"hub": "model hub", "wheels": "package registry (no hub answered)"}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
model = typer.Typer(no_args_is_help=True, help="Speech models in the data folder.")
app.add_typer(model, name="model")
db = typer.Typer(no_args_is_help=True, help="The database (DATABASE_URL, or a file in the data folder).")
app.add_typer(db, name="db")
codes = typer.Typer(no_args_is_help=True, help="Single-use codes, each worth an amount of audio.")
app.add_typer(codes, name="codes")
keys = typer.Typer(no_args_is_help=True, help="Keys of those who call.")
app.add_typer(keys, name="keys")
accounts = typer.Typer(no_args_is_help=True, help="The owners of keys: what each may use, and has used.")
app.add_typer(accounts, name="accounts")


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
    log.configure(settings.least_level)
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
    log.configure(settings.least_level)
    from gateway.store import database, schema
    from gateway.store.codes import Codes, Issued

    async def work() -> tuple[Issued, ...]:
        async with database.opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            return await Codes(store).issue(count, seconds=seconds)

    for one in _run(work()):
        typer.echo(one.code)


Rated = Annotated[str | None, typer.Option(metavar="CAPACITY/PER_S", help="Calls at once, and a second.")]
Streams = Annotated[str | None, typer.Option(metavar="NUMBER", help="Requests open at once.")]
MonthBytes = Annotated[str | None, typer.Option(metavar="BYTES", help="Bytes sent in a month.")]
MonthAudio = Annotated[str | None, typer.Option(metavar="SECONDS", help="Audio recognised in a month.")]
StoredBytes = Annotated[str | None, typer.Option(metavar="BYTES", help="Transcripts kept.")]
KeyId = Annotated[str, typer.Argument(help="The id of a key, or the key.")]


@keys.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose key it is; all keys of an owner are one account.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="download, transcribe, extract or admin; again for more.")
    ] = None,
    expires_s: Annotated[float | None, typer.Option(min=1, help="Seconds until it ends by itself.")] = None,
    rate: Rated = None,
    streams: Streams = None,
    month_bytes: MonthBytes = None,
    month_audio: MonthAudio = None,
    stored_bytes: StoredBytes = None,
) -> None:
    """Make a key and print it, this once; for all scopes but admin, or for those given."""
    from gateway.store.accounts import SCOPES, Made

    scopes = scope or [one for one in SCOPES if one != "admin"]
    change = _change(rate, streams, month_bytes, month_audio, stored_bytes)

    async def work(known: "Accounts") -> Made:
        if unknown := set(scopes) - set(SCOPES):
            raise BadRequest(f"Not a scope: {', '.join(sorted(unknown))}. There are {', '.join(SCOPES)}.")
        return await known.create(
            owner, [one for one in SCOPES if one in scopes], change=change, expires_s=expires_s
        )

    made = _with_accounts(work)
    print(f"key {made.id} of {owner}", file=sys.stderr)
    typer.echo(made.key)


@keys.command(name="list")
def keys_list() -> None:
    """Print all keys without their letters: id, owner, scopes, since when, and whether they are good."""
    for one in _with_accounts(lambda known: known.keys()):
        state = "good" if one.expires_at is None else f"until {one.expires_at:%Y-%m-%d %H:%M}"
        if one.revoked_at is not None:
            state = f"revoked {one.revoked_at:%Y-%m-%d %H:%M}"
        elif one.expires_at is not None and one.expires_at <= datetime.now(UTC):
            state = f"ended {one.expires_at:%Y-%m-%d %H:%M}"
        scopes = ",".join(sorted(one.scopes))
        typer.echo("\t".join((one.id, one.owner, scopes, f"{one.created_at:%Y-%m-%d}", state)))


@keys.command()
def revoke(id_: KeyId) -> None:
    """End a key, within some seconds on every gateway of the database."""
    _with_accounts(lambda known: known.revoke(id_))


@keys.command()
def rotate(
    id_: KeyId,
    keep_s: Annotated[float, typer.Option(min=0, help="Seconds that the old one is good yet.")] = 0,
) -> None:
    """Make another key for the same owner and scopes, print it, and end the old one."""
    typer.echo(_with_accounts(lambda known: known.rotate(id_, keep_s=keep_s)).key)


@accounts.command(name="set")
def accounts_set(
    name: Annotated[str, typer.Argument(help="An owner; or operator, api-key, anyone.")],
    rate: Rated = None,
    streams: Streams = None,
    month_bytes: MonthBytes = None,
    month_audio: MonthAudio = None,
    stored_bytes: StoredBytes = None,
) -> None:
    """Change what an account may; a dash takes a limit back to what the settings say."""
    change = _change(rate, streams, month_bytes, month_audio, stored_bytes)
    _with_accounts(lambda known: known.change(name, change))


@accounts.command(name="list")
def accounts_list() -> None:
    """Print the accounts: what each has used this month (UTC), and limits of its own."""
    settings = _settings()
    log.configure("warning")
    from gateway.store import database, schema
    from gateway.store.accounts import Accounts
    from gateway.store.usage import Usage

    async def work() -> None:
        async with database.opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            usage = Usage(store)
            for one in await Accounts(store).all():
                used, quota = await usage.used(one.id), one.quota
                rate = "-" if one.rate is None else f"{one.rate.capacity}/{one.rate.refill_per_s:g}"
                told = (
                    one.id, f"rate {rate}", f"streams {_dash(one.streams_max)}",
                    f"bytes {used.bytes_out} of {_dash(quota.month_bytes_max)}",
                    f"audio {used.audio_ms / 1000:g} s of {_dash(quota.month_audio_s_max)}",
                    f"stored {used.stored_bytes} of {_dash(quota.stored_bytes_max)}",
                )  # fmt: skip
                typer.echo("\t".join(told))

    _run(work())


def _dash(value: object) -> str:
    return "-" if value is None else str(value)


def _change(
    rate: str | None, streams: str | None, bytes_: str | None, audio: str | None, stored: str | None
) -> "Change":
    """What of an account the options name."""
    from gateway.store.accounts import Change
    from gateway.store.limits import Rate

    def read(told: str | None, kind: Callable[[str], T]) -> T | UnsetType | None:
        if told is None:
            return UNSET
        return None if told == "-" else kind(told)

    def bucket(told: str) -> Rate:
        capacity, _, refill = told.partition("/")
        return Rate(int(capacity), float(refill))

    try:
        return Change(
            rate=read(rate, bucket),
            streams_max=read(streams, int),
            month_bytes_max=read(bytes_, int),
            month_audio_s_max=read(audio, float),
            stored_bytes_max=read(stored, int),
        )
    except (ValueError, OverflowError) as failure:
        print(f"not a limit: {failure}", file=sys.stderr)
        raise typer.Exit(2) from None


def _with_accounts(work: "Callable[[Accounts], Coroutine[Any, Any, T]]") -> T:
    """What comes of something done with the accounts."""
    settings = _settings()
    log.configure("warning")
    from gateway.store import database, schema
    from gateway.store.accounts import Accounts

    async def done() -> T:
        async with database.opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            return await work(Accounts(store))

    found: T = _run(done())
    return found


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
            settings.least_level,
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
    except Unprotected as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(2) from None
    except GatewayError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:  # a port in use, a folder that cannot be written
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
