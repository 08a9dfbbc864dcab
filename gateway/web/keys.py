"""Where handlers find the gateway, and those beside it."""

from aiohttp import web

from gateway.web.siblings import Siblings
from gateway.wiring import Gateway

GATEWAY = web.AppKey("gateway", Gateway)
SIBLINGS = web.AppKey("siblings", Siblings)
