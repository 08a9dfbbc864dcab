"""Failures in the words of each dialect, as models. Pure."""

from typing import Literal

from pydantic import BaseModel

from gateway.web.openapi.models.openai import OpenaiFault


class NativeFault(BaseModel):
    """A code that stays, and words that may change."""

    code: str
    message: str
    request_id: str


class NativeError(BaseModel):
    """A failure on a native path, and of what is no HTTP on any."""

    error: NativeFault


class Place(BaseModel):
    """Where a body or a query is wrong, and how."""

    loc: list[str | int]
    msg: str
    type: str


class TtsaveError(BaseModel):
    """A failure in the words of TTSave, with ours beside them."""

    detail: str
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class TtsaveInvalid(BaseModel):
    """A body of another shape."""

    message: Literal["Validation Error"]
    detail: list[Place]


class TttranscribeError(BaseModel):
    """A failure in the words of TTTranscribe."""

    detail: str
    error: str | None = None
    code: str | None = None
    request_id: str | None = None


class OpenaiError(BaseModel):
    """A failure as OpenAI tells it."""

    error: OpenaiFault
