"""What callers may ask for: request bodies and queries to values, or one error that names each fault."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.http import HttpProcessingError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from gateway.errors import BadRequest, BodyTooLarge, BodyTooSlow, UnsupportedBody
from gateway.settings import Settings
from gateway.speech.languages import CODES
from gateway.web.middleware import WAITING

FRAMING = "The body's framing is broken."

Model = TypeVar("Model", bound=BaseModel)


class Invalid(BadRequest):
    """A body that is not JSON or not of the documented shape; `faults` has one entry for each place."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        self.faults = faults
        super().__init__(
            "; ".join(f"{'.'.join(str(at) for at in one['loc'])}: {one['msg']}" for one in faults)
        )


class SpeechWish(BaseModel):
    """What may be wished of a transcript; beside media in the body, by the query or by a form."""

    model_config = ConfigDict(strict=True, extra="ignore")

    language: str | None = Field(
        None,
        description="Its code; null: it is heard in the first speech.",
        json_schema_extra={"enum": [*sorted(CODES), None]},
    )
    task: Literal["transcribe", "translate"] = Field("transcribe", description="`translate`: to English.")
    words: bool = Field(False, description="Each segment with its words and their times.")
    model: str | None = Field(None, description="The server's own model.")
    source: Literal["auto", "captions", "speech"] = Field(
        "auto", description="The post's own captions, what is recognised here, or either."
    )
    prompt: str | None = Field(None, max_length=2000, description="Text that came before.")
    hotwords: str | None = Field(None, max_length=2000, description="Words to expect.")

    @field_validator("language")
    @classmethod
    def _known(cls, code: str | None) -> str | None:
        if code is not None and code not in CODES:
            raise PydanticCustomError(
                "language", "The language is not known. Give its code, such as en or de."
            )
        return code


class TranscribeWish(SpeechWish):
    """The JSON body of POST /transcribe."""

    url: str = Field(min_length=1, max_length=4096, description="A post, or text with its address in it.")
    wait: bool = Field(True, description="false: 202 at once; the work needs nobody who waits.")
    webhook: str | None = Field(None, description="With `wait` false: an address that is told of the end.")


async def expect(request: web.Request) -> None:
    """For routes that may refuse a body before it comes: `go_on` tells the client to send it."""
    if request.version < HttpVersion11:
        return
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    request[WAITING] = True


async def go_on(request: web.Request) -> None:
    """The body is wanted: tells a client that waits to be told."""
    if request.get(WAITING):
        request[WAITING] = False
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer has been sent


async def body(request: web.Request, model: type[Model], settings: Settings, *, otherwise: str = "") -> Model:
    """The JSON body as a value. Raises Invalid, BodyTooLarge, BodyTooSlow, UnsupportedBody.

    `otherwise` is told to those whose body is no JSON, or more than JSON may be.
    """
    data = await raw(request, settings, otherwise=otherwise)
    try:
        sent = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        told = f"The body is not JSON: {error.msg}. {otherwise}"
        raise Invalid([fault((), told.strip(), "json_invalid")]) from None
    if not isinstance(sent, dict):
        raise Invalid([fault((), "The body should be a JSON object.", "dict_type")])
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise Invalid([fault(one["loc"], one["msg"], one["type"]) for one in error.errors()]) from None


async def raw(request: web.Request, settings: Settings, *, otherwise: str = "") -> bytes:
    """The bytes of a JSON body. Raises Invalid, BodyTooLarge, BodyTooSlow, UnsupportedBody."""
    check_encoding(request)
    try:
        await go_on(request)
        async with asyncio.timeout(settings.body_s):
            return await request.read()
    except TimeoutError:
        raise BodyTooSlow from None
    except web.HTTPRequestEntityTooLarge:
        told = f"A JSON body has at most {settings.body_bytes_max} bytes. {otherwise}"
        raise BodyTooLarge(told.strip()) from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise Invalid([fault((), FRAMING, "framing")]) from None


def fields(model: type[Model], query: Mapping[str, object], form: Mapping[str, object]) -> Model:
    """A query's and a form's fields as a value, where `true` and `0.5` are words. Raises Invalid.

    An empty one counts as missing; the form's is stronger.
    """
    there = {name: value for name, value in {**query, **form}.items() if value != ""}
    try:
        return model.model_validate(there, strict=False)
    except ValidationError as error:
        raise Invalid(
            [
                fault(one["loc"], one["msg"], one["type"], where=_where(one["loc"], query, form))
                for one in error.errors()
            ]
        ) from None


def _where(at: tuple[int | str, ...], query: Mapping[str, object], form: Mapping[str, object]) -> str:
    return "query" if at and at[0] in query and at[0] not in form else "body"


def check_encoding(request: web.Request) -> None:
    """Raises UnsupportedBody for a body that is compressed."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedBody


def fault(at: tuple[int | str, ...], text: str, kind: str, *, where: str = "body") -> dict[str, Any]:
    """One entry of Invalid."""
    return {"loc": [where, *at], "msg": text, "type": kind}
