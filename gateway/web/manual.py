"""GET /openapi.json and GET /docs: the document of all routes, and a page to read and to try them.

Always: everything that the page needs comes from here, and it may ask nobody else.
"""

import asyncio
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata, resources
from pathlib import Path

import orjson
from aiohttp import web

from gateway.errors import NotFound
from gateway.web import files
from gateway.web.files import File
from gateway.web.openapi.document import Route, document

# no script or style but ours, nothing from elsewhere; pictures of the page's own style are data
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OURS = {"page.css": "text/css", "page.js": "text/javascript"}
_BUNDLED = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


class Manual:
    """The document and the page, made when they are first asked for."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    @cached_property
    def document(self) -> File:
        """The document."""
        return files.file(orjson.dumps(document(self._routes)), "application/json")

    @cached_property
    def page(self) -> bytes:
        """The page."""
        return _ours("page.html")

    @cached_property
    def assets(self) -> dict[str, File]:
        """The page's files, by name."""
        bundle = _bundle()
        found = {name: files.file(_ours(name), kind) for name, kind in _OURS.items()}
        return found | {
            name: files.file((bundle / name).read_bytes(), kind) for name, kind in _BUNDLED.items()
        }


MANUAL = web.AppKey("manual", Manual)


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document of all routes."""
    manual = request.app[MANUAL]
    return files.told(request, await asyncio.to_thread(lambda: manual.document))


async def page(request: web.Request) -> web.Response:
    """A page to read the document and to try its routes."""
    headers = {
        "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer",
        "Cache-Control": files.ASKED_ANEW,
    }  # fmt: skip
    body = request.app[MANUAL].page
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


async def asset(request: web.Request) -> web.Response:
    """A file of that page."""
    manual = request.app[MANUAL]
    found = (await asyncio.to_thread(lambda: manual.assets)).get(request.match_info["asset"])
    if found is None:
        raise NotFound
    return files.told(request, found)


def _ours(name: str) -> bytes:
    return resources.files("gateway.web.openapi").joinpath("page", name).read_bytes()


def _bundle() -> Path:
    """Swagger UI, as a package brings it; none of that package's code is run."""
    found = metadata.distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")
    return Path(str(found))
