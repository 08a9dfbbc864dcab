"""The speech model in a Ray cluster (GATEWAY_CLUSTER_ADDRESS): deployed, looked at, removed."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gateway.commands import program
from gateway.errors import ModelUnavailable

if TYPE_CHECKING:
    from gateway.speech.nodes.deployment import Standing
    from gateway.speech.orders import Plan

DEPLOY_S = 900  # a node that has no model fetches it first

cluster = typer.Typer(no_args_is_help=True, help="The speech model in a Ray cluster.")


@cluster.command()
def deploy() -> None:
    """Start the replicas, or change them to the settings as they are now; returns when they are ready."""
    with _there() as plan:
        from gateway.speech.nodes import deployment

        if (lacking := deployment.lacking(plan, deployment.nodes())) is not None:
            raise ModelUnavailable(lacking)
        deployment.deploy(plan)
        until, told = time.monotonic() + DEPLOY_S, ""
        while (now := deployment.standing(plan)).status != "running":
            if time.monotonic() > until or now.status == "deploy_failed":
                raise ModelUnavailable(f"No replica came up: {now.trouble or now.status}")
            if now.trouble and now.trouble != told:
                told = now.trouble
                print(told, file=sys.stderr)
            time.sleep(0.5)
        _tell(plan, now)


@cluster.command()
def status() -> None:
    """Print the nodes and the replicas; 1 as exit code where no replica is ready."""
    with _there() as plan:
        from gateway.speech.nodes import deployment

        for address, cpus, gpus in deployment.nodes():
            typer.echo(f"node {address}: {cpus:g} CPUs, {gpus:g} GPUs")
        now = deployment.standing(plan)
        _tell(plan, now)
    if not now.replicas:
        raise typer.Exit(1)


@cluster.command()
def remove() -> None:
    """End the replicas of this model; gateways that run are not ready then."""
    with _there() as plan:
        from gateway.speech.nodes import deployment

        typer.echo(f"{plan.name}: {'removed' if deployment.remove(plan) else 'not deployed'}")


@contextmanager
def _there() -> Iterator["Plan"]:
    """A connection to the cluster of the settings, and what they would have there."""
    settings = program.begun("warning")
    if settings.cluster_address is None:
        print("setting GATEWAY_CLUSTER_ADDRESS: it names no cluster", file=sys.stderr)
        raise typer.Exit(2)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from gateway.speech.nodes import deployment
    from gateway.speech.orders import Plan

    with program.plainly(), deployment.connected(settings.cluster_address):
        yield Plan.of(settings)


def _tell(plan: "Plan", now: "Standing") -> None:
    typer.echo(f"{plan.name}: {now.status}, {now.replicas} of {now.wanted} replicas ready")
    if now.trouble:
        typer.echo(now.trouble, err=True)
