"""What a gateway tells of itself, as models. Pure."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from gateway.web.openapi.models.numbers import Count


class Live(BaseModel):
    """That the process answers."""

    status: Literal["ok"]


class Exit(BaseModel):
    """A way to the site."""

    exit: Count
    state: Literal["ok", "resting"]
    code: str | None
    failures: Count
    rests_s: Count


class Site(BaseModel):
    """What came of reading the canary's post."""

    state: Literal["ok", "changed", "blocked", "unreachable", "unknown"]
    code: str | None
    at: AwareDatetime | None
    exits: list[Exit]


class Ready(BaseModel):
    """Whether a transcript would be accepted now."""

    status: Literal["ok", "not ready"]
    speech: Literal["ok", "full", "stopping", "fetching or loading the model", "no worker yet"]
    database: Literal["ok", "away"]
    site: Site


class Root(BaseModel):
    """That it runs, and where to read on."""

    message: str
    version: str
    docs: str
