"""The OpenAPI document: the table of routes, what is told of each, and the models of all of it. Pure.

Always: what a request is checked by and what the document says of it are one model; a failure is told as
its dialect tells it, by the code that does so.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import orjson
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gateway import __version__, errors
from gateway.errors import GatewayError, OutOfRange
from gateway.store.accounts import Scope
from gateway.web.dialects.analyzer import answers as analyzer_answers
from gateway.web.dialects.analyzer import models as analyzer_models
from gateway.web.middleware import NATIVE, Dialect
from gateway.web.openapi import analyzer, native, openai, ttsave, tttranscribe
from gateway.web.openapi.doc import JSON, Content, Doc, examples, fields
from gateway.web.openapi.headers import ASKED, PATHS, TOLD
from gateway.web.openapi.models.failures import (
    NativeError,
    OpenaiError,
    TtsaveError,
    TtsaveInvalid,
    TttranscribeError,
)
from gateway.web.params import Invalid, fault
from gateway.wire.events import End, Failed, Info, Progress, Segment

DOCS: dict[str, Doc] = native.DOCS | ttsave.DOCS | openai.DOCS | tttranscribe.DOCS | analyzer.DOCS

KEYED = (errors.ApiKeyInvalid, errors.Forbidden, errors.RateLimited, errors.StoreUnavailable)
# of what is no HTTP, of a connection too many, and of a page from elsewhere: on any path
WIRE = (errors.BadRequest, errors.BodyTooSlow, errors.HeadTooLarge, errors.Busy)
ALWAYS = (errors.Internal, errors.Forbidden)

_ERRORS: dict[str, tuple[type[BaseModel], ...]] = {  # the first that fits
    "native": (NativeError,),
    "ttsave": (TtsaveInvalid, TtsaveError),
    "openai": (OpenaiError,),
    "tttranscribe": (TttranscribeError,),
    "analyzer": (analyzer_models.Failure,),
}
_EVENTS = (Info, Segment, End, Failed, Progress)
_NAMES = {  # what says enough in its own file
    "Body": "Download", "Wish": "CodeChange", "Order": "CodeOrder", "Change": "TranscriptChange",
    "Call": "SignedCall",
}  # fmt: skip
_READ: JsonSchemaMode = "validation"
_WRITTEN: JsonSchemaMode = "serialization"
_REF = "#/components/schemas/"
_REQUEST_ID = "3c678bff2a52454d"
_MOMENT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)

_ABOUT = """A self-hosted streaming gateway for short video and its words. The papers are `docs/api.md` and
`docs/wire.md`.

TTSave, TTTranscribe, OpenAI and the analyzer are the documented APIs of others, and each tells failures in
its own words; what is no HTTP is told in the native ones, on any path. A stream that fails after its head is
broken off, or has an `error` where its format has a place for one: a cut answer never looks whole. A body of
lines is a string here, whose `contentSchema` is that of each line; of server-sent events the schema is that
of each event."""

_TAGS = {
    "native": "Transcripts, links, codes and the server itself.",
    "ttsave": "TTSaveAPI v3: a post's media.",
    "openai": "OpenAI's audio API.",
    "tttranscribe": "TTTranscribe: signed calls, jobs, the queue.",
    "analyzer": "The analyzer: posts in words and figures.",
}

_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key of the gateway."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as `Authorization`."},
    "AuthCode": {
        "type": "apiKey", "in": "header", "name": "X-Auth-Code",
        "description": "A code that pays for one transcript; or the field `code` of a form.",
    },
}  # fmt: skip


class Route(Protocol):
    """What the table of routes says of one."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def handler(self) -> Any: ...
    @property
    def dialect(self) -> Dialect: ...
    @property
    def scope(self) -> Scope | None: ...


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """All of it."""
    schemas = _Schemas(DOCS.values())
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        doc = DOCS[f"{route.method} {route.path}"]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, doc, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "clipwire", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"},
        },
        "servers": [{"url": "./"}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SCHEMES,
            "headers": TOLD,
        },
    }  # fmt: skip


def failures(route: Route, doc: Doc) -> dict[type[GatewayError], Dialect]:
    """Every error that a route may tell, and in whose words; what the wire itself tells is native."""
    found = set(doc.errors) | set(ALWAYS)
    if route.scope is not None:
        found |= set(KEYED) | ({errors.QuotaExceeded} if route.method == "POST" else set())
    return dict.fromkeys(sorted(found, key=lambda kind: (kind.code, kind.__name__)), route.dialect)


def told(kind: type[GatewayError], dialect: Dialect) -> tuple[int, Any]:
    """The status and an example of an error."""
    failure = _made(kind)
    status, body = dialect.shape(failure, _REQUEST_ID)
    if dialect.around is not None:
        about = analyzer_models.Metadata(
            request_id=f"req_{_REQUEST_ID[:8]}", timestamp=_MOMENT, processing_time_ms=415
        )
        body = analyzer_models.Failure(error=analyzer_answers.error(failure, None), metadata=about)
        body = body.model_dump(mode="json")
    return status, body


def _made(kind: type[GatewayError]) -> GatewayError:
    if issubclass(kind, Invalid):
        return kind([fault(("url",), "Field required", "missing")])
    return kind()


def _operation(route: Route, doc: Doc, schemas: "_Schemas") -> dict[str, Any]:
    summary = (route.handler.__doc__ or "").strip().partition("\n")[0]
    about = [doc.about] if doc.about else []
    if route.scope is not None:
        about.append(f"Its key is for the scope `{route.scope}`; a server without any key asks for none.")
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "tags": [route.dialect.name],
        "summary": summary,
        "description": "\n\n".join(about),
        "parameters": [*_parameters(route, doc)],
        "responses": _responses(route, doc, schemas),
        "security": _security(route, doc),
    }
    if doc.bodies:
        contents = {media_type: schemas.content(one, sent=True) for media_type, one in doc.bodies.items()}
        operation["requestBody"] = {"content": contents, "required": True}
    return {name: value for name, value in operation.items() if value not in ("", [])}


def _name(route: Route) -> str:
    path = re.sub(r"(?<=.)/$", "/slash", route.path)  # `/ui/` is another than `/ui`
    words = re.findall(r"\w+", path) or ["root"]
    return route.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


def _security(route: Route, doc: Doc) -> list[dict[str, list[str]]]:
    if route.scope is not None:
        return [{"ApiKey": []}, {"Bearer": []}, {}]
    # where no scope is asked for, a key is welcome and not needed
    schemes = (*doc.security, None) if "Bearer" in doc.security else doc.security
    return [{one: []} if one else {} for one in schemes]


def _parameters(route: Route, doc: Doc) -> Iterator[dict[str, Any]]:
    for name in PATHS:
        if f"{{{name}}}" in route.path:
            yield {"name": name, "in": "path", "required": True, **PATHS[name]}
    for name in doc.headers:
        yield {"name": name, "in": "header", **ASKED[name]}
    if doc.query is not None:
        for name, schema in fields(doc.query).items():
            about = schema.pop("description", None)
            yield {"name": name, "in": "query", "schema": schema} | ({"description": about} if about else {})


def _responses(route: Route, doc: Doc, schemas: "_Schemas") -> dict[str, Any]:
    """By status; where an answer and failures share one, either may come."""
    found: dict[int, _Response] = {}
    counted = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset") if route.scope is not None else ()
    for answer in doc.answers:
        one = found.setdefault(answer.status, _Response(counted))
        one.says.append(answer.says)
        one.headers |= dict.fromkeys(answer.headers)
        for media_type, content in answer.contents.items():
            one.add(media_type, schemas.content(content, sent=False))
    known = [*failures(route, doc).items(), *((kind, NATIVE) for kind in WIRE)]
    for kind, dialect in known:
        status, body = told(kind, dialect)
        one = found.setdefault(status, _Response(counted if dialect is not NATIVE else ()))
        code = analyzer_answers.code_of(_made(kind)) if dialect is analyzer_answers.ANALYZER else kind.code
        code = f"`{code}`"
        if code not in one.says:
            one.says.append(code)
        if kind.retry_s is not None:
            one.headers["Retry-After"] = None
        if issubclass(kind, OutOfRange):
            one.headers["Content-Range"] = None
        if route.method != "HEAD":
            model = next(model for model in _ERRORS[dialect.name] if _fits(model, body))
            name = kind.__name__ if dialect is route.dialect else f"{kind.__name__} (native)"
            one.add(JSON, {"schema": schemas.ref(model, sent=False), "examples": {name: {"value": body}}})
    return {str(status): found[status].told() for status in sorted(found)}


def _fits(model: type[BaseModel], body: Any) -> bool:
    try:
        model.model_validate_json(orjson.dumps(body), extra="forbid")
    except ValueError:
        return False
    return True


class _Response:
    """What may come with one status."""

    def __init__(self, counted: tuple[str, ...]) -> None:
        self.says: list[str] = []
        self.headers: dict[str, None] = dict.fromkeys(("X-Request-Id", *counted))
        self._contents: dict[str, tuple[list[Any], dict[str, Any]]] = {}

    def add(self, media_type: str, content: dict[str, Any]) -> None:
        """One more form that the body may have."""
        schemas, shown = self._contents.setdefault(media_type, ([], {}))
        if content["schema"] not in schemas:
            schemas.append(content["schema"])
        shown.update(content.get("examples", {}))

    def told(self) -> dict[str, Any]:
        """The response object."""
        response: dict[str, Any] = {
            "description": "; ".join(self.says),
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in self.headers},
        }
        if self._contents:
            response["content"] = {
                media_type: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
                | ({"examples": shown} if shown else {})
                for media_type, (schemas, shown) in self._contents.items()
            }
        return response


class _Schemas:
    """The models that the document needs, each under one name."""

    def __init__(self, docs: Iterable[Doc]) -> None:
        wanted: dict[tuple[Any, JsonSchemaMode], None] = {}
        for doc in docs:
            for content in doc.bodies.values():
                wanted[content.model, _READ] = None
            for answer in doc.answers:
                wanted |= dict.fromkeys((one.model, _WRITTEN) for one in answer.contents.values())
        wanted |= dict.fromkeys((model, _WRITTEN) for shapes in _ERRORS.values() for model in shapes)
        found, whole = TypeAdapter.json_schemas(
            [(model, mode, TypeAdapter(model)) for model, mode in wanted if model not in (None, "Event")],
            ref_template=_REF + "{model}",
        )
        names = {name: _short(name) for name in whole["$defs"]}
        self.components = {names[name]: _renamed(one, names) for name, one in whole["$defs"].items()}
        self._refs = {key: _renamed(one, names) for key, one in found.items()}
        events, parts = msgspec.json.schema_components(_EVENTS, ref_template=_REF + "events.{name}")
        self.components |= {f"events.{name}": one for name, one in parts.items()}
        self.components["Event"] = {"description": "An event of a transcript.", "anyOf": [*events]}
        self._refs["Event", _READ] = self._refs["Event", _WRITTEN] = {"$ref": f"{_REF}Event"}

    def content(self, content: Content, *, sent: bool) -> dict[str, Any]:
        """A media type object."""
        values = [examples()[name] for name in content.examples]
        schema: dict[str, Any] = dict(content.schema)
        shown: dict[str, Any] = dict(zip(content.examples, values, strict=True))
        if content.model is not None:
            schema = self.ref(content.model, sent=sent) | schema
        if content.lines:
            schema = {"type": "string", "contentSchema": schema | ({"examples": values} if values else {})}
            shown = {}
        if content.events:  # as OpenAPI 3.2 has it: the schema is that of an event
            data = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
            named = {name: {"type": "string"} for name in ("id", "event")}
            schema = {"type": "object", "properties": {**named, "data": data}, "required": ["data"]}
        shown |= {f"example {number}": value for number, value in enumerate(content.shown, 1)}
        told = {name: {"value": value} for name, value in shown.items()}
        return {"schema": schema} | ({"examples": told} if told else {})

    def ref(self, model: Any, *, sent: bool) -> dict[str, Any]:
        """Where a model is; as it is read where it is sent here, else as it is written."""
        return dict(self._refs[model, _READ if sent else _WRITTEN])


def _short(name: str) -> str:
    """Where models share a name, pydantic puts their modules before it: the last of these is enough."""
    return _NAMES.get(name, ".".join(name.split("__")[-2:]))


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    match schema:
        case {"$ref": str(ref), **more}:
            name = ref.removeprefix(_REF)
            return {"$ref": _REF + names.get(name, name), **_renamed(more, names)}
        case dict():
            return {key: _renamed(value, names) for key, value in schema.items()}
        case list():
            return [_renamed(value, names) for value in schema]
        case _:
            return schema
