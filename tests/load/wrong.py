"""Bad requests of every kind: each has its own answer, and none is a failure that was not foreseen."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from clipwire import signed

from tests.load import sounds
from tests.load.caller import Caller
from tests.load.calls import form
from tests.load.stand import SECRET

WAV = {"Content-Type": "audio/wav"}


async def bad(caller: Caller) -> None:
    """One that is drawn."""
    name = caller.chance.choice(sorted(BAD))
    try:
        await BAD[name](caller)
    except AssertionError as failure:
        raise AssertionError(f"{name}: {failure}") from failure


async def badly_framed(caller: Caller) -> None:
    """What is no HTTP, or is two requests at once: 400, and the connection ends."""
    head = "POST /transcribe HTTP/1.1\r\nHost: localhost\r\n"
    sent, status = caller.chance.choice((
        ("\x16\x03\x01\x02\r\n\r\n", "400"),
        (f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (f"{head}Content-Length: five\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 9000 + "\r\n\r\n", "431"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTrickled", "408"),
    ))  # fmt: skip
    port = caller.stand.gateway.port
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode("latin-1"))
        try:
            data = await reader.read()
        except ConnectionError:
            data = b""
        writer.close()
    line = data.partition(b"\r\n")[0].decode()
    assert not line or line.split()[1] == status, line
    caller.ends.append(status)


def told(method: str, path: str, status: int, code: str, **sent: Any) -> Callable[[Caller], Awaitable[None]]:
    """A request that is refused with this status and these words."""

    async def ask(caller: Caller) -> None:
        body = dict(sent)
        if callable(body.get("data")):
            body["data"] = body["data"]()
        async with caller.asked(method, path, status=status, **body) as answer:
            text = await answer.text()
            assert code in text, text[:300]
            assert "Traceback" not in text

    return ask


async def _gone(caller: Caller) -> None:
    name, code = caller.chance.choice(
        (("private", "VIDEO_PRIVATE"), ("deleted", "VIDEO_UNAVAILABLE"), ("geo", "GEO_BLOCKED"))
    )
    url = caller.stand.origin.url(name)
    await told("POST", "/transcribe", 422, code, json={"url": url})(caller)
    await told("POST", "/download", 400, code, json={"url": url, "content_type": "ORIGINAL"})(caller)


async def _signature(caller: Caller) -> None:
    body = json.dumps({"url": caller.stand.origin.url("speech")}).encode()
    key, now_ms = caller.stand.keys[caller.account], round(time.time() * 1000)
    wrong = signed(key, "another secret", body, now_ms)
    await told("POST", "/api/transcribe", 403, "Invalid signature", data=body, headers=wrong)(caller)
    old = signed(key, SECRET, body, now_ms - 400_000)
    await told("POST", "/api/transcribe", 403, "skew", data=body, headers=old)(caller)


async def _used(caller: Caller) -> None:
    """A code that is spent already, and an upload that costs more than it is worth."""
    id_, letters = await caller.stand.purse.code()
    headers, data = WAV | {"X-Auth-Code": letters}, sounds.hush(caller.chance)
    long = sounds.telephone(70)
    await told("POST", "/transcripts", 402, "CREDIT_TOO_SMALL", data=long, headers=headers)(caller)
    async with caller.asked("POST", "/transcripts", status=201, data=data, headers=headers) as answer:
        caller.stand.purse.told[id_] = (await answer.json())["id"]
    await told("POST", "/transcripts", 409, "CODE_USED", data=data, headers=headers)(caller)


BAD: dict[str, Callable[[Caller], Awaitable[None]]] = {
    "no key": told("POST", "/download", 401, "API_KEY_INVALID", headers={}, json={}),
    "another key": told("GET", "/transcripts", 401, "API_KEY_INVALID", headers={"X-API-Key": "cw_no"}),
    "not the operator": told("GET", "/codes", 401, "API_KEY_INVALID", headers={"X-API-Key": "not his"}),
    "no JSON": told("POST", "/transcribe", 400, "VALIDATION_ERROR", data="{"),
    "no url": told("POST", "/download", 400, "URL is required", json={}),
    "no type": told("POST", "/download", 400, "Invalid content type", json={"url": "x"}),
    "no post": told("POST", "/transcribe", 400, "INVALID_URL", json={"url": "https://example.org/"}),
    "an address inside": told("POST", "/extract", 400, "INVALID_URL", json={"url": "http://127.0.0.1/"}),
    "too many urls": told("POST", "/extract/batch", 400, "VALIDATION_ERROR", json={"urls": ["x"] * 4}),
    "too large": told("POST", "/download", 413, "BODY_TOO_LARGE", data=b" " * 70_000),
    "no route": told("GET", "/nothing", 404, "NOT_FOUND"),
    "no method": told("PUT", "/transcribe", 405, "METHOD_NOT_ALLOWED"),
    "no form": told("GET", "/transcripts/x/events?format=doc", 406, "NOT_ACCEPTABLE"),
    "no transcript": told("GET", "/transcripts/nobody-has-this", 404, "NOT_FOUND"),
    "no link": told("GET", "/media/abc.def/a.mp4", 403, "FORBIDDEN"),
    "no code": told(
        "POST", "/transcripts", 401, "CODE_UNKNOWN", data=b"x", headers=WAV | {"X-Auth-Code": "A"}
    ),
    "no sound": told("POST", "/v1/audio/transcriptions", 422, "decoded",
                     data=lambda: form(("model", "whisper-1"), file=b"words " * 300)),
    "no model": told("POST", "/v1/audio/transcriptions", 404, "model_not_found",
                     data=lambda: form(("model", "gpt-9"), file=b"x")),
    "gone": _gone, "signature": _signature, "used": _used,
}  # fmt: skip
