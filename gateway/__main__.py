"""The command line: `python -m gateway serve`, `python -m gateway model pull NAME`."""

import asyncio
import sys
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from gateway import log
from gateway.errors import GatewayError
from gateway.settings import Settings

SOURCES = {"hub": "model hub", "wheels": "package registry (no hub answered)"}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
model = typer.Typer(no_args_is_help=True, help="Speech models in the data folder.")
app.add_typer(model, name="model")


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


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for one in error.errors():
            print(f"setting {'.'.join(str(at) for at in one['loc'])}: {one['msg']}", file=sys.stderr)
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
