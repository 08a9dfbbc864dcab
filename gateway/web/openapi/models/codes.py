"""Codes, as models. Pure."""

from pydantic import AwareDatetime, BaseModel

from gateway.store.codes import State as CodeState
from gateway.web.openapi.models.numbers import Seconds


class IssuedCode(BaseModel):
    """A new code, this once with its letters."""

    id: str
    code: str


class Issued(BaseModel):
    """New codes."""

    codes: list[IssuedCode]
    seconds: Seconds
    expires_at: AwareDatetime | None


class Credit(BaseModel):
    """What a code is worth now."""

    credit_s: Seconds
    held_s: Seconds
    used_s: Seconds
    state: CodeState


class Code(Credit):
    """A code."""

    id: str
    seconds: Seconds
    created_at: AwareDatetime
    expires_at: AwareDatetime | None


class Codes(BaseModel):
    """A page of codes; `next` is the `after` of the one that follows."""

    codes: list[Code]
    next: str | None
