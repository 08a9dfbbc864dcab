"""Lists in pages: what is on one, and where the next begins. Pure."""

import base64
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from gateway.errors import BadRequest

PAGE_MAX = 200

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A place in a list, newest first: after this row. `number` is of what lists segments."""

    at: datetime
    id: str
    number: int = 0


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of a list. `next` is told to get the page after it; None: there is none."""

    items: tuple[T, ...]
    next: str | None


def token(place: Place) -> str:
    """A place as callers keep it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode("ascii").rstrip("=")


def place(told: str | None) -> Place | None:
    """The place of a token; None begins the list. Raises BadRequest."""
    if told is None:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)), type=Place)
        if found.at.tzinfo is None or "\0" in found.id or not 0 <= found.number < 1 << 31:
            raise ValueError
        found.at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest("The page is not one that was told here.") from None
    return found


def limited(limit: int) -> int:
    """How many rows a page may have."""
    return max(1, min(limit, PAGE_MAX))


def behind(table: sa.Table, place: Place) -> sa.ColumnElement[bool]:
    """The rows of a table after a place, newest first."""
    at, id_ = table.c.created_at, table.c.id
    return sa.or_(at < place.at, sa.and_(at == place.at, id_ < place.id))


def following(last: sa.Row[Any]) -> str:
    """The token of the page that begins after a row of such a table."""
    return token(Place(last.created_at, last.id))
