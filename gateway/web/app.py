"""The table of routes. Start reading here: each handler tells its request from start to end."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from gateway.web import bought, params, status, transcripts
from gateway.web.dialects import credits, openai, ttsave
from gateway.web.dialects.openai import OPENAI
from gateway.web.dialects.ttsave import TTSAVE
from gateway.web.keys import GATEWAY
from gateway.web.media import media
from gateway.web.metrics import metrics
from gateway.web.middleware import NATIVE, OPEN, Dialect, Requests, edge, remember_head
from gateway.web.transcribe import transcribe
from gateway.wiring import Gateway


class Route(msgspec.Struct, frozen=True):
    """A method and path, who answers, and whose errors they are."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    dialect: Dialect = NATIVE
    uploads: bool = False  # takes bodies of media, which may be refused before they come


ROUTES = (
    Route("POST", "/download", ttsave.post_download, TTSAVE),
    Route("POST", "/download/plan", ttsave.post_plan, TTSAVE),
    Route("POST", "/ping", ttsave.ping, TTSAVE),
    Route("GET", "/ping", ttsave.ping, TTSAVE),
    Route("POST", "/api/v3/download", ttsave.post_download, TTSAVE),
    Route("POST", "/api/v3/download/plan", ttsave.post_plan, TTSAVE),
    Route("POST", "/api/v3/ping", ttsave.ping, TTSAVE),
    Route("GET", "/api/v3/ping", ttsave.ping, TTSAVE),
    Route("GET", "/media/{token}/{name}", media),
    Route("HEAD", "/media/{token}/{name}", media),
    Route("POST", "/transcribe", transcribe, uploads=True),
    Route("POST", "/transcripts", bought.transcript, uploads=True),
    Route("GET", "/transcripts/{id}/events", transcripts.events),
    Route("GET", "/transcripts/{id}.{form}", transcripts.file),
    Route("GET", "/transcripts/{id}", transcripts.standing),
    Route("PATCH", "/transcripts/{id}", transcripts.change),
    Route("DELETE", "/transcripts/{id}", transcripts.delete),
    Route("GET", "/transcripts", transcripts.index),
    Route("POST", "/codes", credits.issue),
    Route("GET", "/codes", credits.listed),
    Route("GET", "/codes/{id}/credit", credits.credit),
    Route("GET", "/codes/{id}", credits.code),
    Route("PATCH", "/codes/{id}", credits.change),
    Route("DELETE", "/codes/{id}", credits.delete),
    Route("POST", "/v1/audio/transcriptions", openai.transcriptions, OPENAI, uploads=True),
    Route("POST", "/v1/audio/translations", openai.translations, OPENAI, uploads=True),
    Route("GET", "/v1/models", openai.models, OPENAI),
    Route("GET", "/v1/models/{model}", openai.model, OPENAI),
    Route("GET", "/live", status.live),
    Route("GET", "/ready", status.ready),
    Route("GET", "/metrics", metrics),
    Route("GET", "/", status.root),
)

# a dialect owns whole branches too, so that what is not found there is told in its words
_BRANCHES = {"/api/v3/": TTSAVE, "/v1/": OPENAI}


def application(gateway: Gateway) -> web.Application:
    """The web application around a running gateway."""
    app = web.Application(
        middlewares=[edge(_owner)],
        client_max_size=gateway.settings.body_bytes_max,
    )
    app[GATEWAY] = gateway
    app[OPEN] = Requests()
    app.on_response_prepare.append(remember_head)
    for route in ROUTES:
        expect = params.expect if route.uploads else None
        app.router.add_route(route.method, route.path, route.handler, expect_handler=expect)
    return app


def _owner(path: str) -> Dialect:
    exact = next((route.dialect for route in ROUTES if route.path == path), None)
    branch = next((dialect for start, dialect in _BRANCHES.items() if path.startswith(start)), NATIVE)
    return exact or branch
