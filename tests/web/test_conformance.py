"""schemathesis asks every route what the OpenAPI document allows, and holds the answers to the document.

`make test` takes a fixed sample; `make soak` many and fresh examples.
"""

import asyncio
import copy
import hashlib
import hmac
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from gateway.check import sound
from gateway.web.app import ROUTES
from gateway.web.openapi.document import document
from tests.web.conftest import Front, started, until
from tests.web.script import END, INFO, Script, segment

SOAK = "CLIPWIRE_SOAK" in os.environ
EACH = 100 if SOAK else 8  # requests to each route, for each kind of body
READ_BYTES_MAX = 64 << 10  # of an answer: streams are left in their middle, as clients do
READ_S_MAX = 1 if SOAK else 0.5
ANSWER_S_MAX = 60  # of silence: then it hangs; the gateway's own deadlines are far shorter here
ADMIN, SIGNER, SECRET = "the-operators-key", "a-key-of-bob", "a-secret"
HEARD = ("speech", "private", "deleted", "geo")  # what is asked of the signed route, which waits for all
CHECKS = [
    checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
    checks.response_schema_conformance,
]  # fmt: skip
TONE = sound.tone(1)
POSTS = ("video", "photo3", "captions", "speech", "private", "deleted", "short_vm", "geo")
STREAMS = ("multipart/", "application/x-ndjson", "text/event-stream", "text/", "video/", "image/", "audio/")


@pytest.mark.soak
async def test_every_route_answers_as_the_document_says(
    tmp_path: Path, data_dir: Path, base_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with started(
        tmp_path, data_dir=data_dir, model="base", workers=1, admin_key=ADMIN, api_secret=SECRET,
        api_keys_json=json.dumps({SIGNER: "bob"}), rate_limit_capacity=1_000_000,
        requests_per_minute_max=1_000_000, body_s=2, upload_stall_s=2, client_stall_s=5, extract_s=10,
        stall_s=2, render_s=20,
    ) as front, running(front) as path:  # fmt: skip
        await until(lambda: front.gateway.ready, 60)
        asking = Asking(front, await known(front, path), strict(document(ROUTES)))
        await asyncio.to_thread(asking.hear)
        for operation in schemathesis.openapi.from_dict(asking.document).get_all_operations():
            await asyncio.to_thread(asking.ask, operation.ok())
    assert not asking.failures, "\n\n".join(asking.failures)
    assert asking.lines
    assert asking.asked == {(route.method, route.path) for route in ROUTES}
    assert "not foreseen" not in capfd.readouterr().err
    print(f"{asking.ends.total()} requests, {asking.lines} lines: {dict(sorted(asking.ends.items()))}")


def strict(told: dict[str, Any]) -> dict[str, Any]:
    """The document, where an answer may have no field that it does not name."""
    sent = json.dumps([one.get("requestBody") for path in told["paths"].values() for one in path.values()])
    for name, schema in told["components"]["schemas"].items():
        if "properties" in schema and f'/schemas/{name}"' not in sent:
            schema["additionalProperties"] = False
    return told


@asynccontextmanager
async def running(front: Front) -> AsyncIterator[str]:
    """The id of a transcript that goes on, as somebody follows it."""
    script = Script(front.gateway.transcripts)

    async def speak() -> None:
        script.say(INFO)
        for number in count():
            script.say(segment(number))
            await asyncio.sleep(0.2)

    async with aclosing(script.transcript.follow()) as staying:
        speaking = asyncio.create_task(speak())
        try:
            await anext(staying)
            yield script.transcript.id
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


async def known(front: Front, running: str) -> dict[str, list[str]]:
    """What there is: transcripts that have ended, one that runs, codes, a link and the names of a post."""
    ended = Script(front.gateway.transcripts)
    ended.say(INFO, segment(0), END)
    await ended.have(3)
    codes = await front.gateway.codes.issue(20, seconds=60)
    wish = {"url": front.origin.url("video"), "content_type": "VIDEO_ONLY"}
    async with front.session.post(
        f"{front.url}/download", json=wish, headers={"X-API-Key": ADMIN}
    ) as response:
        head = (await response.read()).partition(b"\r\n\r\n")[0].decode()
    (link,) = (line.partition(": ")[2] for line in head.splitlines() if line.startswith("Content-Location"))
    _, _, token, name = link.split("/")
    return {
        "transcripts": [ended.transcript.id, running],
        "codes": [one.id for one in codes], "letters": [one.code for one in codes],
        "token": [token], "name": [name], "model": ["base", "whisper-1"],
        "urls": [front.origin.url(one) for one in POSTS], "heard": [front.origin.url(one) for one in HEARD],
    }  # fmt: skip


class Asking:
    """Requests to one gateway, and how they ended."""

    def __init__(self, front: Front, known: dict[str, list[str]], document: dict[str, Any]) -> None:
        self.document = document
        self._url = front.url
        self._known = known
        self._session = requests.Session()
        self.lines = 0
        self.ends: Counter[str] = Counter()
        self.asked: set[tuple[str, str]] = set()
        self.failures: list[str] = []  # of each route the first

    def ask(self, operation: Any) -> None:
        """So many requests to one route; near to good ones in three of four."""
        self.asked.add((operation.method.upper(), operation.path))

        failed: list[str] = []  # caught: what comes of a request is not the same a second time

        @settings(
            max_examples=EACH * max(1, len(operation.body)), deadline=None, database=None,
            derandomize=not SOAK, suppress_health_check=list(HealthCheck), print_blob=False,
            phases=(Phase.explicit, Phase.generate),
        )  # fmt: skip
        @given(operation.as_strategy(), st.integers(0, 3), st.randoms(use_true_random=False))
        def one(case: Any, near: int, random: Any) -> None:
            if failed:
                return
            if near:
                self._near(case, random)
            try:
                self._sent(case, random)
            except (Exception, BaseExceptionGroup) as failure:  # all routes are asked, then told of together
                failed.append(f"{operation.label}: {type(failure).__name__}\n{failure}")

        one()
        self.failures += failed

    def hear(self) -> None:
        """Has one post heard, so that it is answered from its row from then on."""
        body = json.dumps({"url": self._known["heard"][0]})
        call = self._session.prepare_request(
            requests.Request("POST", f"{self._url}/api/transcribe", data=body)
        )
        _sign(call)
        answer = self._session.send(call, timeout=100)
        assert answer.status_code == 200, answer.text

    def _near(self, case: Any, random: Any) -> None:
        """Puts into a request what there is."""
        case.body = copy.deepcopy(case.body)  # it may be the document's own example
        if case.media_type not in (None, "application/json"):
            self._uploads(case, random)
            return
        if case.operation.path == "/transcribe":
            case.query = {"format": random.choice(["ndjson", "sse", "vtt", "srt", "txt", "json"])}
            if isinstance(case.body, dict):
                case.body |= {"model": "base", "source": "captions", "language": None, "webhook": None}
        urls = self._known["heard" if case.operation.path == "/api/transcribe" else "urls"]
        there = {"id": self._known["codes" if "/codes" in case.operation.path else "transcripts"]}
        for name in case.path_parameters:
            values = there.get(name) or self._known.get(name)
            if values:
                case.path_parameters[name] = random.choice(values)
        if isinstance(case.body, dict):
            if case.operation.path == "/extract/batch":
                case.body["urls"] = random.sample(urls, random.randint(1, 3))
                case.headers["Accept"] = random.choice(["application/json", "application/x-ndjson"])
            else:
                case.body["url"] = random.choice(urls)
                case.body.pop("urls", None)
            case.body["content_type"] = random.choice(["VIDEO_ONLY", "ORIGINAL", "AUDIO_ONLY"])
            case.body.pop("download_content_type", None)

    def _uploads(self, case: Any, random: Any) -> None:
        """A second of a tone, which needs no model to be heard."""
        case.query = {"format": "json"} if case.operation.path == "/transcribe" else {}
        if not isinstance(case.body, dict):
            case.body = TONE
            return
        case.body = {name: value for name, value in case.body.items() if name == "response_format"}
        case.body |= {"model": "base", "file": TONE}

    def _sent(self, case: Any, random: Any) -> None:
        if random.random() < 0.9:
            case.headers["X-API-Key"] = ADMIN
        request = requests.Request(**case.as_transport_kwargs(base_url=self._url))
        prepared = self._session.prepare_request(request)
        if case.operation.path == "/api/transcribe" and random.random() < 0.8:
            _sign(prepared)
        if case.operation.path == "/transcripts" and random.random() < 0.8:
            prepared.headers["X-Auth-Code"] = random.choice(self._known["letters"])
        response = self._session.send(prepared, stream=True, timeout=ANSWER_S_MAX, allow_redirects=False)
        with response:
            whole = _read(response)
        self.ends[str(response.status_code)] += 1
        if response.status_code >= 500:
            assert b"INTERNAL_ERROR" not in response.content, response.content
            assert b"Internal Server Error" not in response.content, response.content
        told = schemathesis.Response.from_requests(response, verify=False)
        case.validate_response(told, checks=CHECKS if whole else CHECKS[:-1])
        self._check_lines(case.operation, response)

    def _check_lines(self, operation: Any, response: requests.Response) -> None:
        """Each line or event that has come whole is JSON of the `contentSchema`."""
        told = self.document["paths"][operation.path][operation.method]["responses"]
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        schema = told[str(response.status_code)].get("content", {}).get(kind, {}).get("schema", {})
        if kind == "text/event-stream":
            schema = schema["properties"]["data"]
        if "contentSchema" not in schema:
            return
        whole = schema["contentSchema"] | {"components": self.document["components"]}
        validator = jsonschema_rs.validator_for(whole)
        lines = response.content.split(b"\n")[:-1]
        if kind == "text/event-stream":
            lines = [line[6:] for line in lines if line.startswith(b"data: ")]
        for line in lines:
            validator.validate(json.loads(line))
            self.lines += 1


def _sign(request: Any) -> None:
    """As docs/api.md says."""
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    now = str(int(time.time() * 1000))
    said = b"POST\n/api/transcribe\n" + body + b"\n" + now.encode()
    signature = hmac.new(SECRET.encode(), said, hashlib.sha256).hexdigest()
    request.headers.update({"X-API-Key": SIGNER, "X-Timestamp": now, "X-Signature": signature})


def _read(response: requests.Response) -> bool:
    """Takes what comes of a body for a while; whether that is all of it."""
    data, until_, whole = bytearray(), time.monotonic() + READ_S_MAX, True
    try:
        for chunk in response.iter_content(8192):
            data += chunk
            if len(data) > READ_BYTES_MAX or time.monotonic() > until_:
                whole = False
                break
    except requests.exceptions.ChunkedEncodingError:  # a stream that failed after its head
        assert response.headers["Content-Type"].startswith(STREAMS), response.headers
        whole = False
    response._content = bytes(data)
    return whole
