"""A gateway to ask, and how it is asked for one thing after the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec
import typer

from gateway.commands import plain
from gateway.commands.telling import Telling

if TYPE_CHECKING:  # it takes a while to load: `--help` does without
    from clipwire import Client

TRIES_MAX = 3
WAIT_S_MAX = 60  # who is asked to wait longer is told so
NAME_CHARS_MAX = 120  # of what failed: a share text is some lines
BUSY = frozenset({429, 503})

T = TypeVar("T")

Server = Annotated[
    str | None,
    typer.Option(
        envvar="CLIPWIRE_SERVER", metavar="URL", help="The gateway to ask; else it is run in this process."
    ),
]
Key = Annotated[
    str | None, typer.Option(envvar="CLIPWIRE_KEY", metavar="KEY", help="The key for that gateway.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell only what went wrong.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the log of the gateway in this process.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace files of the same name; else the new one gets a number.")
]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Which gateway is asked, and as whom. Without a `server` it is one of our own."""

    server: str | None
    key: str | None
    verbose: bool
    speech: bool = False  # whether one of our own needs its model

    def __post_init__(self) -> None:
        if self.server is None:
            return
        try:
            there = urlsplit(self.server)
            good = there.scheme in ("http", "https") and bool(there.hostname) and there.port != 0
        except ValueError:
            good = False
        if not good:
            raise typer.BadParameter("--server is an address such as http://127.0.0.1:8000")


def secret(told: str | None, option: str) -> str | None:
    """A key or a code as it is sent: one that was read from a file may have the file's last line end."""
    told = (told or "").strip()
    if not told.isprintable():
        raise typer.BadParameter(f"{option} has a line end, or another character that is none of it")
    return told or None


@asynccontextmanager
async def asked(access: Access, telling: Telling) -> AsyncIterator["Client"]:
    """A client of the gateway. One of our own ends after it. Raises GatewayError where that cannot be."""
    from clipwire import Client

    async with AsyncExitStack() as stack:
        if access.server is not None:
            url, key = access.server, access.key
        else:
            from gateway.commands.here import here

            own = here(telling, speech=access.speech, verbose=access.verbose)
            url, key = await stack.enter_async_context(own)
        # tries: `again` tells whoever waits
        yield await stack.enter_async_context(Client(url, key=key, tries=0))


async def again(ask: Callable[[], Awaitable[T]], telling: Telling) -> T:
    """What is asked for, after as long as a busy gateway asks to wait."""
    from clipwire import Refused

    for left in reversed(range(TRIES_MAX + 1)):
        try:
            return await ask()
        except Refused as refusal:
            wait_s = refusal.retry_after_s
            if not left or wait_s is None or wait_s > WAIT_S_MAX or refusal.status not in BUSY:
                raise
            code = refusal.code
        telling.note(f"The gateway asks to come again in {wait_s} s ({code or 'busy'}).")
        await asyncio.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


async def each(inputs: Sequence[T], work: Callable[[T], Awaitable[None]], telling: Telling) -> int:
    """Works on one after the other, whatever came of those before; the exit code."""
    from clipwire import ClipwireError

    from gateway.commands.failures import told

    failed = 0
    for one in inputs:
        try:
            await work(one)
        except (ClipwireError, OSError) as failure:
            failed += 1
            telling.failed(f"{plain.line(str(one))[:NAME_CHARS_MAX]}: {told(failure)}")
    if failed and len(inputs) > 1:
        telling.failed(f"{failed} of {len(inputs)} failed.")
    return 1 if failed else 0
