"""Who receives what a gateway tells others: a collector of traces, Sentry, Google Cloud, on loopback.

The libraries that send are the real ones; this only answers them.
"""

import asyncio
import gzip
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """What came so far."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[tuple[str, Any]] = []  # the role of the process that tells it, and the span
        self.hosts: Counter[tuple[str, str]] = Counter()  # spans by their name, and the host that was told
        self.errors: list[dict[str, Any]] = []  # events of Sentry
        self.entries: list[dict[str, Any]] = []  # of Google's log
        self.bearers: list[str | None] = []
        self.raw = b""  # all of it as it was sent, unpacked

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for _, span in self.spans if span.name == name]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        elif request.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        self.raw += body
        if request.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                told = {one.key: one.value.string_value for one in resource.resource.attributes}
                spans = [span for scope in resource.scope_spans for span in scope.spans]
                self.spans += [(told["process.role"], span) for span in spans]
                self.hosts.update((span.name, told.get("host.name", "")) for span in spans)
            answer = ExportTraceServiceResponse().SerializeToString()
            return web.Response(body=answer, content_type="application/x-protobuf")
        if request.path.endswith("/envelope/"):
            lines = body.splitlines()
            for head, payload in zip(lines[1::2], lines[2::2], strict=False):
                if json.loads(head).get("type") == "event":
                    self.errors.append(json.loads(payload))
            return web.json_response({})
        if request.path == "/token":
            return web.json_response({"access_token": "a token", "token_type": "Bearer", "expires_in": 3600})
        assert request.path == "/v2/entries:write", request.path
        self.bearers.append(request.headers.get("Authorization"))
        batch = json.loads(body)
        self.entries += [one | {"logName": batch["logName"]} for one in batch["entries"]]
        return web.json_response({})


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that answers in this process; the gateway may be in another."""
    collector = Collector()
    runner = web.ServerRunner(web.Server(collector.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = site.name
    try:
        yield collector
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)
