"""Who calls, and what each may do.

Always: a key is compared in constant time or looked up by its hash, and is never logged; a server without
keys answers on loopback only, to who names it so; what may not be told apart from a stranger is one.
"""

import hashlib
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohttp import web
from pydantic import SecretStr

from gateway.errors import ApiKeyInvalid, Forbidden, StoreUnavailable
from gateway.settings import Settings
from gateway.store.accounts import OPERATOR, SCOPES, SHARED, STRANGER, Account, Scope
from gateway.store.tables import ANYONE
from gateway.web import forwarded
from gateway.web.keys import GATEWAY
from gateway.wiring import Gateway

ALL = frozenset(SCOPES)
CALLS = ALL - {"admin"}
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request."""

    account: Account
    address: str  # of the client itself, where a proxy between is to be trusted
    stranger: bool  # showed no key
    bounded: bool = True  # False: on this machine, of a server without keys

    @property
    def name(self) -> str:
        """Whose bucket, places and quota a request is counted in."""
        if self.stranger:
            return f"address {forwarded.bucket(self.address)}"
        return f"account {self.account.id}"

    @property
    def owner(self) -> str | None:
        """Whose things these are to change; None: everybody's."""
        return None if "admin" in self.account.scopes else self.account.id


CALLER = web.RequestKey("caller", Caller)  # of each request to a route with a scope, once it was let in


async def caller(request: web.Request) -> Caller:
    """Who sent a request. Raises ApiKeyInvalid for a wrong key, StoreUnavailable."""
    found = request.get(CALLER)
    if found is None:
        found = request[CALLER] = await _caller(request)
        structlog.contextvars.bind_contextvars(account=found.account.name)  # the log of what he begins too
    return found


async def check(request: web.Request, scope: Scope) -> None:
    """Lets in who may do this. Raises ApiKeyInvalid, Forbidden, StoreUnavailable."""
    known = await caller(request)
    if scope in known.account.scopes:
        return
    gateway = request.app[GATEWAY]
    if scope == "admin" and gateway.settings.admin_key is None and not await gateway.accounts.keyed():
        raise Forbidden("This needs the admin key, and none is set here (GATEWAY_ADMIN_KEY).")
    if known.stranger:
        raise ApiKeyInvalid
    raise Forbidden(f"The key is not for this: it has no scope {scope}.")


def own(request: web.Request) -> str | None:
    """Whose things a caller of a route with a scope is shown; None: everybody's.

    Strangers from elsewhere have none that are theirs. Raises ApiKeyInvalid for them.
    """
    caller = request[CALLER]
    if caller.stranger and caller.bounded:
        raise ApiKeyInvalid
    return caller.owner


async def signed_owner(gateway: Gateway, key: str) -> Account | None:
    """Whose key that is in a signed call; None: nobody's."""
    owner, sent = None, _digest(key)
    for one, name in gateway.settings.signed_keys.items():  # all of them: how long it takes tells nothing
        if compare_digest(sent, _digest(one)):
            owner = name
    if owner is None:
        return None
    return msgspec.structs.replace(await gateway.accounts.named(owner), scopes=CALLS)


async def signer(gateway: Gateway, key: str) -> Account | None:
    """Whose key that is in a signed call, of any kind; None: nobody's, or nothing to sign with is set.

    Raises Forbidden, StoreUnavailable.
    """
    if gateway.settings.api_secret is None:
        return None
    found = await signed_owner(gateway, key) or await _of_key(gateway, key)
    if found is not None and "transcribe" not in found.scopes:
        raise Forbidden("The key is not for this: it has no scope transcribe.")
    return found


def known(request: web.Request, account: Account) -> Caller:
    """The caller of a request who was told by other means than a key."""
    found = request[CALLER] = Caller(account, _address(request), stranger=False)
    return found


def sent_key(request: web.Request) -> str:
    """The key as it was sent, empty where none was."""
    return request.headers.get("X-API-Key") or _bearer(request.headers.get("Authorization", ""))


async def unprotected(gateway: Gateway) -> bool:
    """Whether there are no keys at all, and nothing is said of strangers: then this machine may do all.

    Raises StoreUnavailable where that cannot be known.
    """
    settings = gateway.settings
    if settings.keyed or settings.open or not settings.loopback:
        return False
    return not await gateway.accounts.keyed()


async def check_site(request: web.Request) -> None:
    """Refuses what a page from elsewhere sends, by a name of its own for this machine or by force.

    For a server without keys, where to be on this machine is all that counts. Raises Forbidden.
    """
    try:
        if not await unprotected(request.app[GATEWAY]):
            return
    except StoreUnavailable:
        return  # what needs a scope says so
    host = request.headers.get("Host")
    if host is not None and not _here(host):
        raise Forbidden(
            "This server has no keys, and answers to the names of this machine only. Behind a proxy, set keys"
            " or GATEWAY_OPEN."
        )
    origin = request.headers.get("Origin")
    if request.method in UNSAFE and origin is not None and not _here(origin.partition("://")[2]):
        raise Forbidden("This server has no keys, and takes nothing from pages of other sites.")


async def _caller(request: web.Request) -> Caller:
    gateway = request.app[GATEWAY]
    settings, address = gateway.settings, _address(request)
    if await unprotected(gateway):
        account = msgspec.structs.replace(await gateway.accounts.named(ANYONE), scopes=CALLS)
        return Caller(account, address, stranger=True, bounded=False)
    if key := sent_key(request):
        account_ = await _of_key(gateway, key)
        if account_ is not None:
            return Caller(account_, address, stranger=False)
        if settings.keyed or await gateway.accounts.keyed():
            raise ApiKeyInvalid
    scopes = cast(frozenset[Scope], frozenset(settings.open))
    if not scopes:
        return Caller(STRANGER, address, stranger=True)
    account = msgspec.structs.replace(await gateway.accounts.named(ANYONE), scopes=scopes)
    return Caller(account, address, stranger=True)


async def _of_key(gateway: Gateway, key: str) -> Account | None:
    """Whose key that is. Raises StoreUnavailable."""
    settings = gateway.settings
    if _is(settings.admin_key, key):
        return msgspec.structs.replace(await gateway.accounts.named(OPERATOR), scopes=ALL)
    if _is(settings.api_key, key):
        return msgspec.structs.replace(await gateway.accounts.named(SHARED), scopes=CALLS)
    return await gateway.accounts.by_key(key)


def _is(kept: SecretStr | None, sent: str) -> bool:
    return kept is not None and compare_digest(_digest(sent), _digest(kept.get_secret_value()))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _address(request: web.Request) -> str:
    peer, settings = request.remote or "", request.app[GATEWAY].settings
    if not settings.trusted_proxies:
        return peer
    told = request.headers.getall("X-Forwarded-For", ())
    return forwarded.client(peer, told, forwarded.networks(settings.trusted_proxies))


def _bearer(header: str) -> str:
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


@lru_cache(256)
def _here(netloc: str) -> bool:
    """Whether a host, with a port or without, is a name of this machine."""
    try:
        name = (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def refusal(settings: Settings) -> str:
    """Why a server is not started that others would reach and that has no keys."""
    return (
        f"GATEWAY_HOST is {settings.host}, where others reach the gateway, and there are no keys. Set one of:"
        "\n  GATEWAY_ADMIN_KEY   a key for you; or make keys: python -m gateway keys create --owner NAME"
        "\n  GATEWAY_API_KEY     one key for all who call"
        "\n  GATEWAY_OPEN=true   anybody may call without a key"
        "\nor leave GATEWAY_HOST at 127.0.0.1."
    )
