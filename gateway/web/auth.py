"""Who calls, and who may do what only the operator may."""

from hmac import compare_digest

import msgspec
from aiohttp import web

from gateway.errors import ApiKeyInvalid, Forbidden
from gateway.store.accounts import Account
from gateway.web.keys import GATEWAY


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request."""

    account: Account
    address: str  # of the client itself, where a proxy between is to be trusted
    stranger: bool  # showed no key

    @property
    def name(self) -> str:
        """Whose bucket, places and quota a request is counted in."""
        return f"address {self.address}" if self.stranger else f"account {self.account.id}"


CALLER = web.RequestKey("caller", Caller)  # of each request, once the middleware has looked


def require_admin(request: web.Request) -> None:
    """Passes a caller with the admin key. Raises ApiKeyInvalid without it, Forbidden where there is none."""
    key = request.app[GATEWAY].settings.admin_key
    if key is None:
        raise Forbidden("This needs the admin key, and none is set here (GATEWAY_ADMIN_KEY).")
    sent = request.headers.get("X-API-Key") or _bearer(request.headers.get("Authorization", ""))
    if not compare_digest(sent.encode("utf-8", "surrogateescape"), key.get_secret_value().encode()):
        raise ApiKeyInvalid


def _bearer(header: str) -> str:
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
