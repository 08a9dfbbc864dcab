"""Single-use codes."""

from typing import Annotated

import typer

from gateway.commands import program

codes = typer.Typer(no_args_is_help=True, help="Single-use codes, each worth an amount of audio.")


@codes.command()
def issue(
    seconds: Annotated[float, typer.Option(help="Audio that a code is worth.")] = 3600,
    count: Annotated[int, typer.Option(help="How many.")] = 1,
) -> None:
    """Issue codes and print them, each on a line of its own; they are shown this once."""
    settings = program.begun()
    from gateway.commands.store import opened
    from gateway.store import schema
    from gateway.store.codes import Codes, Issued

    async def work() -> tuple[Issued, ...]:
        async with opened(settings) as store:
            await schema.check(store, migrate=settings.database_migrate)
            return await Codes(store).issue(count, seconds=seconds)

    for one in program.run(work()):
        typer.echo(one.code)
