"""A gateway in this process, on a port of this machine, for as long as a command takes."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from gateway.commands import program
from gateway.commands.model import pulled
from gateway.commands.telling import Telling
from gateway.errors import ModelUnavailable
from gateway.speech import models
from gateway.web.server import listening
from gateway.wiring import Gateway

LOAD_S = 120  # for the model, from disk
STREAMS_S = 1.0  # whoever listens has left already


@asynccontextmanager
async def here(telling: Telling, *, speech: bool, verbose: bool) -> AsyncIterator[tuple[str, str]]:
    """Its address and the operator's key: nobody else on this machine gets in meanwhile.

    Its settings are those of the environment. It leaves to others what was promised by others.
    Raises ModelUnavailable and what a gateway that starts does.
    """
    settings = program.begun(None if verbose else "none")
    key = settings.admin_key or SecretStr(secrets.token_urlsafe(24))
    own = settings.model_copy(
        update={
            "host": "127.0.0.1", "port": 0, "admin_key": key, "shutdown_s": STREAMS_S, "canary_url": None,
        }
    )  # fmt: skip
    if speech and own.cluster_address is None and models.find(own.model, own.data_dir) is None:
        await pulled(own.model, own, quiet=not telling.terminal)
    async with AsyncExitStack() as stack:
        with telling.going("starting") as going:
            running = listening(own, speech=speech, jobs=False, ahead=False)
            gateway, url = await stack.enter_async_context(running)
            if speech:
                going.tell("loading the speech model")
                await _loaded(gateway)
        yield url, key.get_secret_value()


async def _loaded(gateway: Gateway) -> None:
    try:
        async with asyncio.timeout(LOAD_S):
            while not gateway.pool.ready:  # noqa: ASYNC110 - nobody else waits for it
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise ModelUnavailable("The speech model does not load; --verbose tells why.") from None
