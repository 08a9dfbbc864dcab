"""What is told of a route in the OpenAPI document, as values. Pure."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

from gateway.errors import GatewayError

JSON = "application/json"


class Content(msgspec.Struct, frozen=True):
    """A body: JSON of a model; lines or events, each JSON of one; or what a schema says."""

    model: Any = None  # a pydantic model, or None where `schema` says it
    lines: bool = False  # each line of the body is JSON of the model
    events: bool = False  # each event of the body has such JSON as its data
    schema: Mapping[str, Any] = {}
    examples: tuple[str, ...] = ()  # their names in examples.json
    shown: tuple[Any, ...] = ()  # examples that are in no paper


class Answer(msgspec.Struct, frozen=True):
    """A status, what it says, its body by media type, and which headers come with it."""

    status: int
    says: str
    contents: Mapping[str, Content] = {}
    headers: tuple[str, ...] = ()


class Doc(msgspec.Struct, frozen=True):
    """A route. Its summary is the first line of its handler's docstring."""

    answers: tuple[Answer, ...]
    errors: tuple[type[GatewayError], ...] = ()
    about: str = ""
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    bodies: Mapping[str, Content] = {}
    security: tuple[str, ...] = ()  # schemes by which somebody is let in, beside the key of a scope


def json(model: Any, *examples: str, shown: tuple[Any, ...] = ()) -> dict[str, Content]:
    """A JSON body."""
    return {JSON: Content(model, examples=examples, shown=shown)}


def lines(media_type: str, model: Any, *examples: str) -> dict[str, Content]:
    """One line of JSON after the other."""
    return {media_type: Content(model, lines=True, examples=examples)}


def events(model: Any) -> dict[str, Content]:
    """Server-sent events."""
    return {"text/event-stream": Content(model, events=True)}


def text(media_type: str, *shown: str) -> dict[str, Content]:
    """Text of another form."""
    return {media_type: Content(schema={"type": "string"}, shown=shown)}


def binary(*media_types: str) -> dict[str, Content]:
    """Bytes."""
    return {one: Content(schema={"type": "string", "format": "binary"}) for one in media_types}


def fields(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The fields of a query or a form, each with its schema; what is not sent is left out, and not null."""
    return {name: _sent(one) for name, one in model.model_json_schema()["properties"].items()}


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "title")}
    if schema.get("default") is not None:
        told["default"] = schema["default"]
    if "enum" in told:
        told["enum"] = [one for one in told["enum"] if one is not None]
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return told | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


@cache
def examples() -> dict[str, Any]:
    """The examples of docs/api.md, by name and in their order there."""
    data = resources.files("gateway.web.openapi").joinpath("examples.json").read_bytes()
    found: dict[str, Any] = orjson.loads(data)
    return found
