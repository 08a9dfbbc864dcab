"""A part's link, which a caller may keep: what it names, until when, and a signature over both.

Always: a ticket names a part of a post and never a place here, so it outlives what is kept and is
good at every gateway with the same secret; nothing in it is believed before its signature is.
"""

import base64
import hashlib
import hmac

import msgspec

from gateway.errors import Forbidden, LinkExpired

PATH = "/media"
LINK_CHARS_MAX = 640  # the head of a part is one piece under 1024 bytes


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """A part of a post by its key, the type that it had, and the unix time when the link ends."""

    post_id: str
    key: str
    media_type: str
    expires_at: int


def link(ticket: Ticket, name: str, secret: bytes) -> str | None:
    """The path under which the part is served as a file of that name; None if it would be too long."""
    claim = _text(msgspec.json.encode(ticket))
    found = f"{PATH}/{claim}.{_signature(claim, name, secret)}/{name}"
    return found if len(found) <= LINK_CHARS_MAX else None


def read(token: str, name: str, secret: bytes, *, now: float) -> Ticket:
    """The ticket of a link's last two steps. Raises Forbidden, LinkExpired."""
    claim, _, signature = token.partition(".")
    right = _signature(claim, name, secret)
    if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
        raise Forbidden("The link is not as this server gave it.")
    try:
        ticket = msgspec.json.decode(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)), type=Ticket)
    except ValueError:
        raise Forbidden("The link is of another version of this server.") from None
    if now >= ticket.expires_at:
        raise LinkExpired
    return ticket


def _signature(claim: str, name: str, secret: bytes) -> str:
    # the path stands before it, so that nothing else signed with the secret is ever a link
    signed = f"{PATH}/{claim}/{name}".encode("utf-8", "replace")
    return _text(hmac.digest(secret, signed, hashlib.sha256))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
