"""What callers may ask for: request bodies and queries to values, or one error that names each fault."""

import asyncio
from typing import Any, Literal, TypeVar

import orjson
from aiohttp import web
from aiohttp.http import HttpProcessingError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from gateway.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody
from gateway.settings import Settings
from gateway.speech.languages import CODES

Model = TypeVar("Model", bound=BaseModel)


class Invalid(BadRequest):
    """A body that is not JSON or not of the documented shape; `faults` has one entry for each place."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        self.faults = faults
        super().__init__(
            "; ".join(f"{'.'.join(str(at) for at in one['loc'])}: {one['msg']}" for one in faults)
        )


class TranscribeWish(BaseModel):
    """The body of POST /transcribe."""

    model_config = ConfigDict(strict=True, extra="ignore")

    url: str = Field(min_length=1, max_length=4096)
    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    words: bool = False
    model: str | None = None
    source: Literal["auto", "captions", "speech"] = "auto"
    prompt: str | None = Field(None, max_length=2000)
    hotwords: str | None = Field(None, max_length=2000)

    @field_validator("language")
    @classmethod
    def _known(cls, code: str | None) -> str | None:
        if code is not None and code not in CODES:
            raise PydanticCustomError(
                "language", "The language is not known. Give its code, such as en or de."
            )
        return code


async def body(request: web.Request, model: type[Model], settings: Settings) -> Model:
    """The JSON body as a value. Raises Invalid, BodyTooLarge, BodyTooSlow."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedBody
    try:
        async with asyncio.timeout(settings.body_s):
            data = await request.read()
    except TimeoutError:
        raise BodyTooSlow from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise Invalid([_fault((), "The body's framing is broken.", "framing")]) from None
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid([_fault((), f"The body is not JSON: {error.msg}", "json_invalid")]) from None
    if not isinstance(fields, dict):
        raise Invalid([_fault((), "The body should be a JSON object.", "dict_type")])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise Invalid([_fault(one["loc"], one["msg"], one["type"]) for one in error.errors()]) from None


def _fault(at: tuple[int | str, ...], text: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", *at], "msg": text, "type": kind}
