"""The table of routes. Start reading here: each handler tells its request from start to end."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from gateway.store.accounts import Scope
from gateway.web import bought, manual, page, params, status, transcripts
from gateway.web.admission import PLACES, Entrance, Family, Places, gate, tell
from gateway.web.dialects import credits, openai, ttsave, tttranscribe
from gateway.web.dialects.analyzer import posts as analyzer
from gateway.web.dialects.analyzer import service as analyzer_service
from gateway.web.dialects.analyzer.answers import ANALYZER
from gateway.web.dialects.analyzer.extraction import EXTRACTIONS, Extractions
from gateway.web.dialects.openai import OPENAI
from gateway.web.dialects.ttsave import TTSAVE
from gateway.web.dialects.tttranscribe import TTTRANSCRIBE
from gateway.web.keys import GATEWAY, SIBLINGS
from gateway.web.manual import MANUAL, Manual
from gateway.web.media import media
from gateway.web.metrics import metrics, snapshot
from gateway.web.middleware import NATIVE, OPEN, Dialect, Requests, edge, remember_head
from gateway.web.page import PAGE, Page
from gateway.web.siblings import Siblings
from gateway.web.transcribe import transcribe
from gateway.wiring import Gateway


class Route(msgspec.Struct, frozen=True):
    """A method and path, who answers, and whose errors they are."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    dialect: Dialect = NATIVE
    uploads: bool = False  # takes bodies of media, which may be refused before they come
    scope: Scope | None = None  # what a caller's key must be for; None: anybody, or the handler sees to it
    family: Family = ""  # whose bucket its calls are counted in


ROUTES = (
    Route("POST", "/download", ttsave.post_download, TTSAVE, scope="download"),
    Route("POST", "/download/plan", ttsave.post_plan, TTSAVE, scope="download"),
    Route("POST", "/ping", ttsave.ping, TTSAVE),
    Route("GET", "/ping", ttsave.ping, TTSAVE),
    Route("POST", "/api/v3/download", ttsave.post_download, TTSAVE, scope="download"),
    Route("POST", "/api/v3/download/plan", ttsave.post_plan, TTSAVE, scope="download"),
    Route("POST", "/api/v3/ping", ttsave.ping, TTSAVE),
    Route("GET", "/api/v3/ping", ttsave.ping, TTSAVE),
    Route("GET", "/media/{token}/{name}", media),
    Route("HEAD", "/media/{token}/{name}", media),
    Route("POST", "/transcribe", transcribe, uploads=True, scope="transcribe"),
    Route("POST", "/transcripts", bought.transcript, uploads=True),
    Route("GET", "/transcripts/{id}/events", transcripts.events),
    Route("GET", "/transcripts/{id}.{form}", transcripts.file),
    Route("GET", "/transcripts/{id}", transcripts.standing),
    Route("PATCH", "/transcripts/{id}", transcripts.change),
    Route("DELETE", "/transcripts/{id}", transcripts.delete),
    Route("GET", "/transcripts", transcripts.index, scope="transcribe"),
    Route("POST", "/codes", credits.issue, scope="admin"),
    Route("GET", "/codes", credits.listed, scope="admin"),
    Route("GET", "/codes/{id}/credit", credits.credit),
    Route("GET", "/codes/{id}", credits.code, scope="admin"),
    Route("PATCH", "/codes/{id}", credits.change, scope="admin"),
    Route("DELETE", "/codes/{id}", credits.delete, scope="admin"),
    Route("POST", "/v1/audio/transcriptions", openai.transcriptions, OPENAI, True, "transcribe"),
    Route("POST", "/v1/audio/translations", openai.translations, OPENAI, True, "transcribe"),
    Route("GET", "/v1/models", openai.models, OPENAI, scope="transcribe"),
    Route("GET", "/v1/models/{model}", openai.model, OPENAI, scope="transcribe"),
    Route("POST", "/api/transcribe", tttranscribe.transcribe, TTTRANSCRIBE),
    Route("GET", "/api/health", tttranscribe.health, TTTRANSCRIBE),
    Route("GET", "/api/version", tttranscribe.version, TTTRANSCRIBE),
    Route("GET", "/version", tttranscribe.version, TTTRANSCRIBE),
    Route("GET", "/queue/status", tttranscribe.queue, TTTRANSCRIBE),
    Route("GET", "/jobs", tttranscribe.jobs, TTTRANSCRIBE, scope="transcribe"),
    Route("GET", "/jobs/failed", tttranscribe.failed, TTTRANSCRIBE, scope="transcribe"),
    Route("POST", "/jobs/repair", tttranscribe.repair, TTTRANSCRIBE, scope="transcribe"),
    Route("POST", "/extract", analyzer.extract, ANALYZER, scope="extract", family="analyzer"),
    Route("POST", "/extract/batch", analyzer.batch, ANALYZER, scope="extract", family="analyzer"),
    Route("POST", "/extract-transcript", analyzer.captions, ANALYZER, scope="extract", family="analyzer"),
    Route("GET", "/health", analyzer_service.health, ANALYZER),
    Route("GET", "/supported-platforms", analyzer_service.platforms, ANALYZER),
    Route("GET", "/stats", analyzer_service.stats, ANALYZER),
    Route("GET", "/openapi.json", manual.openapi, ANALYZER),
    Route("GET", "/docs", manual.page, ANALYZER),
    Route("GET", "/docs/{asset}", manual.asset, ANALYZER),
    Route("GET", "/live", status.live),
    Route("GET", "/ready", status.ready),
    Route("GET", "/metrics", metrics),
    Route("GET", "/", page.root),
    Route("GET", "/ui", page.page),
    Route("HEAD", "/ui", page.page),
    Route("GET", "/ui/", page.slash),
    Route("GET", "/ui/{file}", page.asset),
    Route("HEAD", "/ui/{file}", page.asset),
)

# a dialect owns whole branches too, so that what is not found there is told in its words
_BRANCHES = {  # the longest counts
    "/api/": TTTRANSCRIBE, "/api/v3/": TTSAVE, "/v1/": OPENAI, "/extract/": ANALYZER, "/docs/": ANALYZER,
}  # fmt: skip


def application(gateway: Gateway, fleet: Path | None = None) -> web.Application:
    """The web application around a running gateway, which may be one of a fleet that has a folder."""
    entrances: dict[object, Entrance] = {}
    app = web.Application(
        middlewares=[edge(_owner), gate(lambda request: entrances.get(request.match_info.route))],
        client_max_size=gateway.settings.body_bytes_max,
    )
    app[GATEWAY] = gateway
    app[OPEN] = Requests()
    app[PLACES] = Places()
    app[EXTRACTIONS] = Extractions(gateway)
    if fleet is not None:
        app[SIBLINGS] = Siblings(fleet, lambda: snapshot(gateway, app[OPEN]))
    app[MANUAL] = Manual(ROUTES)  # what is told of each route is beside this: web/openapi/
    app[PAGE] = Page()
    app.on_response_prepare.append(remember_head)
    app.on_response_prepare.append(tell)
    for route in ROUTES:
        expect = params.expect if route.uploads else None
        added = app.router.add_route(route.method, route.path, route.handler, expect_handler=expect)
        entrances[added] = Entrance(route.scope, route.family)
    return app


_EXACT = {route.path: route.dialect for route in ROUTES}


def _owner(path: str) -> Dialect:
    branch = max((start for start in _BRANCHES if path.startswith(start)), key=len, default=None)
    return _EXACT.get(path, NATIVE if branch is None else _BRANCHES[branch])
