"""Whether the server lives, and whether it would take work."""

import orjson
from aiohttp import web

from gateway import __version__
from gateway.web.keys import GATEWAY


async def live(request: web.Request) -> web.Response:
    """200 as long as the process answers."""
    return _json({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 when a transcript would be accepted now, else 503."""
    gateway = request.app[GATEWAY]
    if gateway.stopping:
        speech = "stopping"
    elif not gateway.pool.ready:
        of_cluster = gateway.settings.cluster_address is not None  # which may be away, or have no replica
        speech = "no worker yet" if of_cluster else "fetching or loading the model"
    else:
        speech = "ok" if gateway.transcripts.room else "full"
    body = {
        "status": "ok" if gateway.ready else "not ready",
        "speech": speech,
        "database": gateway.database_state,  # for people too
        "site": gateway.canary.report(),  # for people: downloads are accepted whatever it says
    }
    return _json(body, status=200 if gateway.ready else 503)


async def root(request: web.Request) -> web.Response:
    """Says that it runs, and where to read on."""
    body = {"message": "clipwire is running", "version": __version__, "docs": "docs/api.md"}
    return _json(body, headers={"Vary": "Accept"})


def _json(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )
