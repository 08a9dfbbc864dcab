"""The owners of keys: what each may use, and has used."""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from msgspec import UNSET, UnsetType

from gateway.commands import program

if TYPE_CHECKING:  # the store takes a while to load
    from gateway.store.accounts import Accounts, Change

T = TypeVar("T")

Rated = Annotated[str | None, typer.Option(metavar="CAPACITY/PER_S", help="Calls at once, and a second.")]
Streams = Annotated[str | None, typer.Option(metavar="NUMBER", help="Requests open at once.")]
MonthBytes = Annotated[str | None, typer.Option(metavar="BYTES", help="Bytes sent in a month.")]
MonthAudio = Annotated[str | None, typer.Option(metavar="SECONDS", help="Audio recognised in a month.")]
StoredBytes = Annotated[str | None, typer.Option(metavar="BYTES", help="Transcripts kept.")]

accounts = typer.Typer(no_args_is_help=True, help="The owners of keys: what each may use, and has used.")


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
    change = change_of(rate, streams, month_bytes, month_audio, stored_bytes)
    with_accounts(lambda known: known.change(name, change))


@accounts.command(name="list")
def accounts_list() -> None:
    """Print the accounts: what each has used this month (UTC), and limits of its own."""
    settings = program.begun("warning")
    from gateway.commands.store import opened
    from gateway.store import schema
    from gateway.store.accounts import Accounts
    from gateway.store.usage import Usage

    async def work() -> None:
        async with opened(settings) as store:
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

    program.run(work())


def _dash(value: object) -> str:
    return "-" if value is None else str(value)


def change_of(
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


def with_accounts(work: "Callable[[Accounts], Coroutine[Any, Any, T]]") -> T:
    """What comes of something done with the accounts."""
    settings = program.begun("warning")
    from gateway.commands.store import opened
    from gateway.store import schema
    from gateway.store.accounts import Accounts

    async def done() -> T:
        async with opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            return await work(Accounts(store))

    found: T = program.run(done())
    return found
