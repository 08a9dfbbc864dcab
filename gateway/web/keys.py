"""Where handlers find the gateway."""

from aiohttp import web

from gateway.wiring import Gateway

GATEWAY = web.AppKey("gateway", Gateway)
