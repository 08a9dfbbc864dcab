"""Serves until told to stop, then lets open streams finish within a deadline."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web

from gateway.errors import StoreUnavailable, Unprotected
from gateway.running import DATABASE_CLOSE_S, running
from gateway.settings import Settings
from gateway.web import auth
from gateway.web.app import application
from gateway.web.connection import Connection
from gateway.web.jobs import taking_up
from gateway.web.keys import SIBLINGS
from gateway.web.listener import Listener
from gateway.web.middleware import OPEN
from gateway.wiring import Gateway

BREAK_S = 0.5  # for the handlers that are cancelled then
log = structlog.get_logger()


async def serve(settings: Settings, fleet: Path | None = None) -> None:
    """Runs the gateway until SIGTERM or SIGINT; SIGHUP renews the extractor processes.

    In a `fleet` it shares its port and that folder with others, and ends when standard input does.
    """
    _raise_files()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # too early to mean anything, and no reason to die
    if fleet is not None:
        loop.add_reader(sys.stdin.fileno(), _orphaned, stop)
    async with listening(settings, fleet=fleet) as (gateway, url):
        loop.add_signal_handler(signal.SIGHUP, _renew, gateway)
        log.info("listening", url=url)
        await stop.wait()
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        log.info("stopping", streams_may_finish_s=settings.shutdown_s)


def _orphaned(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _renew(gateway: Gateway) -> None:
    gateway.background.start(gateway.extractor.renew(), "extractors renewed")


def _raise_files() -> None:
    """As many descriptors as we may have: each client, part and process takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _check(gateway: Gateway) -> None:
    """Raises Unprotected. A database that is away may have keys: until it is back nobody is let in."""
    settings = gateway.settings
    if settings.loopback or settings.keyed or settings.open:
        return
    with suppress(StoreUnavailable):
        if not await gateway.accounts.keyed():
            raise Unprotected(auth.refusal(settings))


@asynccontextmanager
async def listening(
    settings: Settings,
    *,
    speech: bool = True,
    jobs: bool = True,
    ahead: bool = True,
    fleet: Path | None = None,
) -> AsyncIterator[tuple[Gateway, str]]:
    """A running gateway with its server, and the address it listens on.

    Without `speech` it hears nothing; without `jobs` it takes up no work that was promised, and leaves alone
    what others left; without `ahead` it loads nothing before somebody needs it.

    On leaving it stops accepting, answers /ready with 503 to open connections, waits for streams, and for
    those of other gateways that follow what runs here, for `shutdown_s`, then breaks those that are left.
    Raises Unprotected.
    """
    async with running(settings, speech=speech, ahead=ahead, heir=jobs) as gateway:
        app = application(gateway, fleet)
        runner = web.AppRunner(
            app,
            handler_cancellation=True,  # a client that leaves ends what nobody else needs
            shutdown_timeout=BREAK_S,
        )
        await runner.setup()
        assert runner.server is not None
        if jobs:
            gateway.background.keep(partial(taking_up, gateway), "jobs")
        most = min(settings.connections_max, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        listener = Listener(
            partial(Connection, runner.server, settings.head_s),
            gateway.background,
            inside_max=most,
            address_inside_max=settings.address_connections_max or (most + 1) // 2,
            shared=fleet is not None,
        )
        siblings = app.get(SIBLINGS)
        try:
            await _check(gateway)
            if siblings is not None:
                await siblings.start()
            yield gateway, await listener.start(settings.host, settings.port)
        finally:
            gateway.stopping = True
            listener.close()
            # aiohttp's own wait takes its timeout twice, and none at all for ever
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.shutdown_s):
                    await app[OPEN].none()
                    if gateway.telling is not None:
                        await gateway.telling.left()
            gateway.database.give_up_in(DATABASE_CLOSE_S)
            app[OPEN].break_off()
            if siblings is not None:
                await siblings.close()
            await runner.cleanup()
