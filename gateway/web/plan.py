"""POST /download/plan: what a download would send, without sending it."""

from typing import Any

import orjson
from aiohttp import web

from gateway.media.post import Wanted
from gateway.web.download import Chosen, Wish, chosen
from gateway.web.keys import GATEWAY
from gateway.wiring import Gateway


async def plan(request: web.Request, wish: Wish) -> web.Response:
    """Finds the posts and tells their parts; no media are read. null is what is not known before."""
    gateway = request.app[GATEWAY]
    posts = [_post(gateway, one) for one in await chosen(gateway, wish)]
    return web.Response(body=orjson.dumps({"posts": posts}), content_type="application/json")


def _post(gateway: Gateway, one: Chosen) -> dict[str, Any]:
    post = one.post
    return {
        "id": post.id,
        "url": post.url,
        "kind": post.kind,
        "author": post.author,
        "title": post.title,
        "duration": post.duration_s,
        "links_expire_at": post.expires_at,
        "parts": [_part(gateway, one, wanted) for wanted in one.parts],
    }


def _part(gateway: Gateway, one: Chosen, wanted: Wanted) -> dict[str, Any]:
    spool = gateway.parts.kept(one.post, wanted)
    # what images and sounds really are is told by their first bytes only; a video is always MP4
    sniffed = spool.media_type if spool is not None else None
    media_type = sniffed or ("video/mp4" if wanted.kind == "video" else None)
    length = spool.length if spool is not None else None
    timed = wanted.kind == "sound" or (one.post.kind == "video" and wanted.kind == "video")
    return {
        "name": one.name(wanted, media_type) if media_type else None,
        "kind": wanted.kind,
        "media_type": media_type,
        "bytes": wanted.bytes if length is None else length,
        "duration": one.post.duration_s if timed else None,
        "width": wanted.width,
        "height": wanted.height,
        "codec": wanted.codec,
        "watermark": wanted.watermark,
        "cached": spool is not None,
    }
