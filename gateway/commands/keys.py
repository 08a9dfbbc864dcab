"""Keys of those who call."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.accounts import (
    MonthAudio,
    MonthBytes,
    Rated,
    StoredBytes,
    Streams,
    change_of,
    with_accounts,
)
from gateway.errors import BadRequest

if TYPE_CHECKING:  # the store takes a while to load
    from gateway.store.accounts import Accounts

KeyId = Annotated[str, typer.Argument(help="The id of a key, or the key.")]

keys = typer.Typer(no_args_is_help=True, help="Keys of those who call.")


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
    change = change_of(rate, streams, month_bytes, month_audio, stored_bytes)

    async def work(known: "Accounts") -> Made:
        if unknown := set(scopes) - set(SCOPES):
            raise BadRequest(f"Not a scope: {', '.join(sorted(unknown))}. There are {', '.join(SCOPES)}.")
        return await known.create(
            owner, [one for one in SCOPES if one in scopes], change=change, expires_s=expires_s
        )

    made = with_accounts(work)
    print(f"key {made.id} of {owner}", file=sys.stderr)
    typer.echo(made.key)


@keys.command(name="list")
def keys_list() -> None:
    """Print all keys without their letters: id, owner, scopes, since when, and whether they are good."""
    for one in with_accounts(lambda known: known.keys()):
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
    with_accounts(lambda known: known.revoke(id_))


@keys.command()
def rotate(
    id_: KeyId,
    keep_s: Annotated[float, typer.Option(min=0, help="Seconds that the old one is good yet.")] = 0,
) -> None:
    """Make another key for the same owner and scopes, print it, and end the old one."""
    typer.echo(with_accounts(lambda known: known.rotate(id_, keep_s=keep_s)).key)
