"""The command line, also installed as `clipwire`."""

import typer

from gateway.commands.accounts import accounts
from gateway.commands.check import check
from gateway.commands.cluster import cluster
from gateway.commands.codes import codes
from gateway.commands.db import db
from gateway.commands.download import download
from gateway.commands.keys import keys
from gateway.commands.model import model
from gateway.commands.search import search
from gateway.commands.serve import serve
from gateway.commands.transcribe import transcribe

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """clipwire: a self-hosted streaming gateway for short video and its words."""


app.command()(download)
app.command()(transcribe)
app.command()(search)
app.command()(serve)
app.command()(check)
app.add_typer(model, name="model")
app.add_typer(cluster, name="cluster")
app.add_typer(db, name="db")
app.add_typer(codes, name="codes")
app.add_typer(keys, name="keys")
app.add_typer(accounts, name="accounts")

if __name__ == "__main__":
    app()
