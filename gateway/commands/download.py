"""The media of posts, to files."""

import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from gateway.commands import asking, ending, inputs, plain
from gateway.commands.asking import Access
from gateway.commands.out import Out
from gateway.commands.telling import Telling

if TYPE_CHECKING:  # they take a while to load: `--help` does without
    from clipwire import Client

    from gateway.commands.places import Places

Mode = Literal["ORIGINAL", "VIDEO_ONLY", "AUDIO_ONLY"]
Codec = Literal["h264", "h265"]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What of a post is wanted."""

    mode: Mode
    quality: str | None
    codec: Codec | None
    thumbnail: bool


def download(
    url: Annotated[
        list[str],
        typer.Argument(
            metavar="URL",
            help="Addresses of posts, or texts with one in them; a dash reads them from standard input.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the files.")
    ] = Path("."),
    mode: Annotated[
        Mode,
        typer.Option(
            case_sensitive=False,
            metavar="ORIGINAL|VIDEO_ONLY|AUDIO_ONLY",
            help="What the post is made of; one video; its sound.",
        ),
    ] = "ORIGINAL",
    quality: Annotated[
        str | None, typer.Option(metavar="QUALITY", help="best, worst, or a height such as 720p.")
    ] = None,
    codec: Annotated[Codec | None, typer.Option(help="h265 takes HEVC where the post has it.")] = None,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="The post's cover too.")] = False,
    replace: asking.Replace = False,
    server: asking.Server = None,
    key: asking.Key = None,
    quiet: asking.Quiet = False,
    verbose: asking.Verbose = False,
) -> None:
    """Save what posts are made of, while it arrives.

    The path of each file is printed once the file is whole; on a terminal its bar says so.
    """
    access = Access(server=server or None, key=asking.secret(key, "--key"), verbose=verbose)
    wish = Wish(mode=mode, quality=quality, codec=codec, thumbnail=thumbnail)
    ending.end(_downloaded(inputs.words(url), wish, output, access, Telling(quiet=quiet), replace=replace))


async def _downloaded(
    urls: list[str], wish: Wish, folder: Path, access: Access, telling: Telling, *, replace: bool
) -> int:
    from gateway.commands.places import Places

    out, places = Out(), Places(replace=replace)
    async with asking.asked(access, telling) as client:

        async def save(url: str) -> None:
            await _saved(client, url, wish, folder, places, telling, out)

        return await asking.each(urls, save, telling)


async def _saved(
    client: "Client", url: str, wish: Wish, folder: Path, places: "Places", telling: Telling, out: Out
) -> None:
    """One post's parts, each under its name once it is whole."""
    async with AsyncExitStack() as stack:
        with telling.going(f"asking for {plain.line(url)[:60]}"):
            answer = await asking.again(
                lambda: stack.enter_async_context(
                    client.download(
                        url, wish.mode, quality=wish.quality, codec=wish.codec, thumbnail=wish.thumbnail
                    )
                ),
                telling,
            )
        telling.title(answer.title or plain.line(url))
        async for part in answer:
            part.name = places.free(folder, part.name).name
            with telling.bar(part.name, part.length) as progress:
                path = await part.save(folder, progress)
            if not (telling.terminal and out.terminal):
                await out.write(os.fsencode(path) + b"\n")
