"""A walk through a gateway."""

from typing import Annotated

import typer

from gateway.check.finding import exit_code
from gateway.commands import asking, program


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
    settings = program.begun("error")  # the findings say the rest
    from gateway.check import report, run

    try:
        work = (
            run.there(server, asking.secret(key, "--key"), url)
            if server is not None
            else run.here(settings, url)
        )
        address, findings = program.run(work)
    except typer.Exit:
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(report.document(address, findings))
    else:
        report.show(address, findings)
    raise typer.Exit(exit_code(findings))
