"""Serves until told to stop, then lets open streams finish within a deadline."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from gateway.settings import Settings
from gateway.web.app import application
from gateway.wiring import Gateway, running

KEEPALIVE_S = 75  # longer than the balancers in front, so that they close first
log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Runs the gateway until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with listening(settings) as (_, url):
        log.info("listening", url=url)
        await stop.wait()
        log.info("stopping", streams_may_finish_s=settings.shutdown_s)


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[tuple[Gateway, str]]:
    """A running gateway with its server, and the address it listens on.

    On leaving it stops accepting, answers /ready with 503 to open connections, waits for streams
    for `shutdown_s`, then breaks those that are left.
    """
    async with running(settings) as gateway:
        runner = web.AppRunner(
            application(gateway),
            access_log=None,
            handler_cancellation=True,  # a client that leaves ends what nobody else needs
            shutdown_timeout=settings.shutdown_s,
            keepalive_timeout=KEEPALIVE_S,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
            host, port = runner.addresses[0][:2]
            yield gateway, f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            gateway.stopping = True
            await runner.cleanup()
