"""Codes over HTTP: issued, listed, changed and taken back by the operator; their credit, by whoever knows."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from msgspec import UNSET
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.store.codes import COUNT_MAX, SECONDS_MAX, Change, Code
from gateway.web import params
from gateway.web.keys import GATEWAY

PAGE = 50
SECONDS = 3600.0

Seconds = Annotated[float, Field(ge=0, le=SECONDS_MAX)]
Moment = Annotated[AwareDatetime, Field(strict=False)]


class Order(BaseModel):
    """The body of POST /codes."""

    model_config = ConfigDict(strict=True, extra="ignore")

    count: int = Field(1, ge=1, le=COUNT_MAX)
    seconds: Seconds = SECONDS
    expires_at: Moment | None = None


class Wish(BaseModel):
    """The body of PATCH /codes/{id}; what is not named stays."""

    model_config = ConfigDict(strict=True, extra="ignore")

    seconds: Seconds = SECONDS
    expires_at: Moment | None = None
    state: Literal["active", "revoked"] = "active"

    @property
    def change(self) -> Change:
        """What of it was named."""
        named = self.model_fields_set
        return Change(
            seconds=self.seconds if "seconds" in named else UNSET,
            expires_at=self.expires_at if "expires_at" in named else UNSET,
            revoked=self.state == "revoked" if "state" in named else UNSET,
        )


class Place(BaseModel):
    """Where in a list."""

    after: str | None = Field(None, max_length=500, description="`next` of the page before.")
    limit: int = Field(PAGE, ge=1, description="How many at once, at most 200.")


async def issue(request: web.Request) -> web.Response:
    """New codes, this once with their letters."""
    gateway = request.app[GATEWAY]
    order = await params.body(request, Order, gateway.settings)
    issued = await gateway.codes.issue(order.count, seconds=order.seconds, expires_at=order.expires_at)
    told = {
        "codes": [{"id": one.id, "code": one.code} for one in issued],
        "seconds": order.seconds,
        "expires_at": _at(order.expires_at),
    }
    return _json(told, status=201)


async def listed(request: web.Request) -> web.Response:
    """The codes, newest first, a page at a time."""
    place = params.fields(Place, dict(request.query), {})
    page = await request.app[GATEWAY].codes.page(after=place.after, limit=place.limit)
    return _json({"codes": [_told(code) for code in page.items], "next": page.next})


async def code(request: web.Request) -> web.Response:
    """One code, without its letters."""
    return _json(_told(await request.app[GATEWAY].codes.get(request.match_info["id"])))


async def credit(request: web.Request) -> web.Response:
    """What a code is worth now. Its id is not to be guessed and spends nothing: who has it may ask."""
    return _json(_credit(await request.app[GATEWAY].codes.get(request.match_info["id"])))


async def change(request: web.Request) -> web.Response:
    """Another worth or end, or taken back."""
    gateway = request.app[GATEWAY]
    wish = await params.body(request, Wish, gateway.settings)
    return _json(_told(await gateway.codes.patch(request.match_info["id"], wish.change)))


async def delete(request: web.Request) -> web.Response:
    """Forgets a code."""
    await request.app[GATEWAY].codes.delete(request.match_info["id"])
    return web.Response(status=204)


def _told(code: Code) -> dict[str, Any]:
    about = {
        "id": code.id,
        "seconds": code.seconds,
        "created_at": _at(code.created_at),
        "expires_at": _at(code.expires_at),
    }
    return about | _credit(code)


def _credit(code: Code) -> dict[str, Any]:
    credit = code.credit
    return {
        "credit_s": credit.credit_s,
        "held_s": credit.held_s,
        "used_s": credit.used_s,
        "state": credit.state,
    }


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip
