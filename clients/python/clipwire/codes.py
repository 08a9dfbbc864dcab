"""Codes, for the operator; what one is worth, for whoever has its id."""

from datetime import datetime
from typing import Literal
from urllib.parse import quote

from .connection import Connection, query
from .records import Code, CodePage, Credit, NewCodes


class Codes:
    """`client.codes`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def issue(
        self, count: int = 1, *, seconds: float | None = None, expires_at: datetime | None = None
    ) -> NewCodes:
        """New codes, whose letters are told here only. `expires_at` has a zone."""
        wish = _wish(count=count, seconds=seconds, expires_at=expires_at)
        # never sent twice: who did not hear the answer would have codes that nobody knows
        return await self._connection.told("POST", "/codes", NewCodes, wish=wish, good=(201,), again=False)

    async def list(self, *, limit: int | None = None, after: str | None = None) -> CodePage:
        """The codes, newest first."""
        asked = query({"limit": limit, "after": after})
        return await self._connection.told("GET", f"/codes{asked}", CodePage)

    async def get(self, code: str) -> Code:
        """A code by its id."""
        return await self._connection.told("GET", _path(code), Code)

    async def credit(self, code: str) -> Credit:
        """What a code is worth now; needs no key."""
        return await self._connection.told("GET", f"{_path(code)}/credit", Credit)

    async def change(
        self,
        code: str,
        *,
        seconds: float | None = None,
        expires_at: datetime | None = None,
        state: Literal["active", "revoked"] | None = None,
    ) -> Code:
        """What is not named stays."""
        wish = _wish(seconds=seconds, expires_at=expires_at, state=state)
        return await self._connection.told("PATCH", _path(code), Code, wish=wish)

    async def delete(self, code: str) -> None:
        """Forgets a code."""
        await self._connection.gone(_path(code))


def _path(code: str) -> str:
    return f"/codes/{quote(code, safe='')}"


def _wish(**fields: object) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }
