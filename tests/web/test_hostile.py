"""Bodies made to hurt, and pages of other sites: refused cheaply, and the server stays."""

import gzip
import hmac
import json
import re
from pathlib import Path

import pytest

from tests import fuzzing
from tests.web.conftest import Front

ROOT = Path(__file__).parents[2]
JSON_ROUTES = ("/download", "/download/plan")


@pytest.mark.parametrize("path", JSON_ROUTES)
@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"[" * 100_000, ("BODY_TOO_LARGE",)),
        (b"[" * 30_000 + b"]" * 30_000, ("VALIDATION_ERROR", None)),
        (b'{"url":' + b"[" * 30_000 + b"]" * 30_000 + b"}", ("VALIDATION_ERROR", None)),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, ("VALIDATION_ERROR", None)),
        (b'{"url": ' + b"9" * 60_000 + b"}", ("VALIDATION_ERROR", None)),
        (b'{"url": "' + b"x" * 60_000 + b'"}', ("VALIDATION_ERROR", "INVALID_URL", None)),
        (b'{"url": "\\ud800"}', ("VALIDATION_ERROR", "INVALID_URL", None)),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else None,
)
async def test_json_of_any_depth_and_size_is_refused(
    front: Front, path: str, body: bytes, codes: tuple[str | None, ...]
) -> None:
    async with front.session.post(front.url + path, data=body) as response:
        assert 400 <= response.status < 500, await response.text()
        told = await response.json()
    assert told.get("error", told).get("code") in codes
    assert len(json.dumps(told)) < 10_000  # it is no echo


@pytest.mark.parametrize("path", [*JSON_ROUTES, "/transcribe"])
async def test_a_body_that_would_unpack_to_more_is_not_read(front: Front, path: str) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "audio/mpeg"}
    bomb = gzip.compress(bytes(10 << 20))
    async with front.session.post(front.url + path, data=bomb, headers=headers) as response:
        assert response.status == 415


async def test_a_form_of_a_thousand_fields_is_refused(speaking: Front) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for name in ("unknown", "language", "file"):
        data = fuzzing.form([(name, b"x")] * 1000)
        async with speaking.session.post(
            speaking.url + "/transcribe", data=data, headers=headers
        ) as response:
            assert response.status == 400
            assert "too many fields" in (await response.json())["error"]["message"]


async def test_no_page_of_another_site_may_read_an_answer(front: Front) -> None:
    headers = {"Origin": "https://elsewhere.invalid", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        for path in ("/live", "/transcripts", "/codes", "/download"):
            async with front.session.request(method, front.url + path, headers=headers) as response:
                assert not [name for name in response.headers if name.startswith("Access-Control")]
                assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("file", ["gateway/web/auth.py", "gateway/wire/tickets.py"])
def test_secrets_are_compared_in_constant_time(file: str) -> None:
    source = (ROOT / file).read_text()
    assert "compare_digest(" in source
    assert not re.search(r"(?:key|signature|secret)\w*(?:\.get_secret_value\(\))? ?[!=]= ", source)
    assert hmac.compare_digest(b"a", b"a")
