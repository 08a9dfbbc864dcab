"""GET /ui with its files, and GET / for browsers: the page, static modules from the folder beside this.

Always: only the files that are in that folder are told; the page runs nothing but these, asks nobody but
this server, and is shown in no frame.
"""

import asyncio
from functools import cached_property
from importlib import resources

from aiohttp import web

from gateway.errors import NotFound
from gateway.web import accept, files, status
from gateway.web.files import File

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDED = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INDEX = "index.html"


class Page:
    """The page and its files, read when they are first asked for."""

    @cached_property
    def files(self) -> dict[str, File]:
        """All of them, by name."""
        folder = resources.files("gateway.web").joinpath("page")
        return {
            one.name: files.file(one.read_bytes(), _TYPES[ending])
            for one in folder.iterdir()
            if (ending := one.name[one.name.rfind(".") :]) in _TYPES
        }


PAGE = web.AppKey("page", Page)


async def page(request: web.Request) -> web.Response:
    """The page: a post or a file is played, with its words while they are recognised."""
    return await _told(request, _INDEX)


async def slash(_: web.Request) -> web.Response:
    """Leads to the page: what it names is beside that."""
    # relative, as the page may be mounted below any path
    return web.Response(status=308, headers={"Location": "../ui"})


async def asset(request: web.Request) -> web.Response:
    """A file of the page."""
    return await _told(request, request.match_info["file"])


async def root(request: web.Request) -> web.Response:
    """Says that it runs, and where to read on; to browsers, the page."""
    if not accept.accepts(request, "text/html"):
        return await status.root(request)
    response = await _told(request, _INDEX)
    response.headers["Vary"] = "Accept"
    return response


async def _told(request: web.Request, name: str) -> web.Response:
    page = request.app[PAGE]
    found = (await asyncio.to_thread(lambda: page.files)).get(name)
    if found is None:
        raise NotFound
    return files.told(request, found, _GUARDED)
