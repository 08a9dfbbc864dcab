"""The OpenAPI document: every route, code and example of the papers is in it, and each example fits."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from gateway.errors import GatewayError
from gateway.web.app import ROUTES
from gateway.web.dialects.analyzer.answers import code_of
from gateway.web.middleware import NATIVE
from gateway.web.openapi.doc import examples
from gateway.web.openapi.document import ASKED, DOCS, PATHS, TOLD, WIRE, document, failures, told
from gateway.web.openapi.models import downloads, transcripts
from tests.test_docs import failures as all_failures
from tests.test_docs import fenced, made, rows, text
from tests.web.callers import ADMIN
from tests.web.conftest import Front, Start

DOCUMENT = document(ROUTES)
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
]
# what is nobody's answer: inside a header, or sent to a webhook
ELSEWHERE = {"meta": downloads.Meta, "told": transcripts.Told}
# only at start, on the command line, or a warning beside an answer
UNTOLD = {"UNPROTECTED", "NOT_SET_UP", "SCHEMA_MISMATCH", "MODEL_UNAVAILABLE", "METHOD_NOT_ALLOWED"}
WARNINGS = {"THUMBNAIL_ANALYSIS_FAILED"}


def test_it_is_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema | {"$schema": DOCUMENT["jsonSchemaDialect"]})


def test_every_route_is_in_it_with_whose_words_its_errors_are_in() -> None:
    found = {
        (method.upper(), path, *operation["tags"])
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert found == {(one.method, one.path, one.dialect.name) for one in ROUTES}
    assert DOCS.keys() == {f"{one.method} {one.path}" for one in ROUTES}


def test_each_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations)


def test_who_needs_a_key_is_told() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        needed = {name for one in operation.get("security", ()) for name in one}
        assert route.scope is None or {"ApiKey", "Bearer"} <= needed
        assert needed <= DOCUMENT["components"]["securitySchemes"].keys()
        if route.scope is not None:
            assert f"`{route.scope}`" in operation["description"]
            assert {"401", "403", "429"} <= operation["responses"].keys()


def test_no_header_is_told_of_that_nothing_has() -> None:
    whole = json.dumps(DOCUMENT["paths"])
    assert all(f"#/components/headers/{name}" in whole for name in TOLD)
    assert all(f'"name": "{name}"' in whole for name in (*ASKED, *PATHS))


# Codes


def test_every_code_of_the_papers_is_told_of_some_route() -> None:
    found = {kind.code for route in ROUTES for kind in failures(route, DOCS[f"{route.method} {route.path}"])}
    found |= {kind.code for kind in WIRE} | UNTOLD | WARNINGS
    assert found == {cells[0] for cells in rows(text("docs/api.md"), "code")}


def test_each_code_is_told_with_the_status_and_the_words_of_its_dialect() -> None:
    for route in ROUTES:
        responses = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
        known = [*failures(route, DOCS[f"{route.method} {route.path}"]).items()]
        for kind, dialect in [*known, *((kind, NATIVE) for kind in WIRE)]:
            code = code_of(made(kind)) if dialect.name == "analyzer" else kind.code
            status, body = told(kind, dialect)
            assert f"`{code}`" in responses[str(status)]["description"]
            if route.method != "HEAD":
                validator(responses[str(status)]["content"]["application/json"]["schema"]).validate(body)


@pytest.mark.parametrize("kind", [*all_failures()])
def test_every_error_of_the_tree_can_be_told_in_each_dialect(kind: type[GatewayError]) -> None:
    for dialect in {one.dialect.name: one.dialect for one in ROUTES}.values():
        status, body = told(kind, dialect)
        assert 400 <= status < 600
        assert isinstance(body, dict)


# Examples


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every body that a route takes or tells."""
    for one in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from one.get("content", {}).values()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_each_example_fits_its_schema(path: str, method: str) -> None:
    for content in contents(DOCUMENT["paths"][path][method]):
        for example in content.get("examples", {}).values():
            validator(content["schema"]).validate(example["value"])
        schema: dict[str, Any] = content["schema"].get("contentSchema", {})
        for value in schema.get("examples", ()):
            validator(schema).validate(value)


def test_the_examples_are_those_of_the_papers() -> None:
    assert list(examples().values()) == [json.loads(one) for one in fenced(text("docs/api.md"), "json")]


def test_each_example_of_the_papers_is_shown() -> None:
    whole = [*values([*DOCUMENT["paths"].values()])]
    for name, example in examples().items():
        if name in ELSEWHERE:
            ELSEWHERE[name].model_validate_json(json.dumps(example), extra="forbid")
        else:
            assert example in whole or name in PARTS, name


# parts of an answer that the papers tell without what is around them, and by which schema they are held
PARTS = {
    "batched": "Batch", "stats": "Stats", "failure": "Failure", "native": "NativeError",
    "openai_error": "OpenaiError",
}  # fmt: skip


@pytest.mark.parametrize(("name", "schema"), PARTS.items())
def test_what_is_shown_in_parts_fits_too(name: str, schema: str) -> None:
    example = examples()[name]
    if name == "batched":  # its post is left out
        example = example | {"processed": []}
    validator({"$ref": f"#/components/schemas/{schema}"}).validate(example)


def values(value: Any) -> Iterator[Any]:
    """A value and all that are in it."""
    yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from values(one)


# Over HTTP


async def test_the_document_is_told_once_and_then_known(front: Front) -> None:
    async with front.session.get(f"{front.url}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == json.loads(json.dumps(DOCUMENT))
        etag = response.headers["ETag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        headers = {"If-None-Match": known}
        async with front.session.get(f"{front.url}/openapi.json", headers=headers) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", etag)
    async with front.session.get(f"{front.url}/openapi.json", headers={"If-None-Match": '"x"'}) as response:
        assert response.status == 200


async def test_the_page_and_its_files_are_open_and_name_no_other_host(start: Start) -> None:
    front = await start(admin_key=ADMIN)
    for path in ("/openapi.json", "/docs", "/docs/page.js", "/docs/page.css", "/docs/swagger-ui.css"):
        async with front.session.get(front.url + path) as response:
            assert response.status == 200
            body = await response.text()
        if "/page" in path or path == "/docs":
            assert "//" not in body.replace("\n// ", "").removeprefix("// ").replace(" // ", "")


async def test_the_page_may_run_nothing_but_ours_and_ask_nobody_else(front: Front) -> None:
    async with front.session.get(f"{front.url}/docs") as response:
        policy = dict(
            one.strip().split(" ", 1) for one in response.headers["Content-Security-Policy"].split(";")
        )
        page = await response.text()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not [one for one in ("<script>", "<style", "onload=", "style=") if one in page]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fmanual.py", "swagger-ui.js.map", "index.html"])
async def test_only_the_pages_own_files_are_told(front: Front, name: str) -> None:
    async with front.session.get(f"{front.url}/docs/{name}") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "NOT_FOUND"
