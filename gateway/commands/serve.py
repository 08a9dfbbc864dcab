"""The gateway itself."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway import __version__
from gateway.commands import program

if TYPE_CHECKING:
    from gateway.settings import Settings


def serve(
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Gateways on this machine that share the port and the workers.")
    ] = 1,
    member: Annotated[Path | None, typer.Option(hidden=True, help="One of these: their folder.")] = None,
) -> None:
    """Run the gateway; every setting is an environment variable (docs/settings.md)."""
    settings = program.settings()
    if processes > 1:
        from gateway.commands.fleet import Fleet

        if settings.cluster_address is None and processes > settings.workers_max:
            raise typer.BadParameter(  # each has a speech worker at least
                f"this machine's cores are good for {settings.workers_max} speech workers, and so processes.",
                param_hint="--processes",
            )
        program.begun()
        raise typer.Exit(program.run(Fleet(settings, processes).run()))
    from gateway.web.server import serve

    with _told(settings):
        program.run(serve(settings, member))


@contextmanager
def _told(settings: "Settings") -> Iterator[None]:
    """The log on standard error, and where else it and errors are to be told."""
    from gateway import log
    from gateway.cloudlog import CloudLog
    from gateway.sentry import Sentry

    with ExitStack() as closing:
        sentry = cloud = None
        with program.plainly():
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
