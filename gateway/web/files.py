"""Files of our own, told as they are: kept by callers under an `ETag`, and asked for anew each time."""

import hashlib
from collections.abc import Mapping

import msgspec
from aiohttp import web

ASKED_ANEW = "no-cache"  # kept, but looked at again: a new version is seen at once


class File(msgspec.Struct, frozen=True):
    """Bytes that are told as they are."""

    body: bytes
    media_type: str
    etag: str


def file(body: bytes, media_type: str) -> File:
    """Bytes with what names them."""
    return File(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def told(request: web.Request, one: File, headers: Mapping[str, str] | None = None) -> web.Response:
    """A file as an answer: 200, or 304 to who has it."""
    about = {"ETag": one.etag, "Cache-Control": ASKED_ANEW, **(headers or {})}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")}
    if known & {one.etag, "*"}:
        return web.Response(status=304, headers=about)
    charset = "utf-8" if one.media_type.startswith("text/") else None
    return web.Response(body=one.body, content_type=one.media_type, charset=charset, headers=about)
