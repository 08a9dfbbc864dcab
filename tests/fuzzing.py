"""What strangers send: inputs near to good ones, for the fuzz tests."""

import json
import struct
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import msgspec
from hypothesis import strategies as st

from gateway.web.app import ROUTES
from tests.media import bombs

ODD = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "true",
            "null",
            "NaN",
            "1e999",
            "9" * 400,
            "../../etc/passwd",
            "..",
            ".",
            "%00",
            "%2e%2e%2f",
            "\0",
            "\ud7ff",
            "\U0001f9e1",
            "é",
            "a\r\nX-Injected: 1",
            "'; DROP TABLE codes; --",
            "${jndi:ldap://x}",
            "{}",
            "http://127.0.0.1:1/",
            "https://169.254.169.254/",
            "http://[::1]/",
            "file:///etc/passwd",
            "ftp://x",
            "//x",
            "https://www.tiktok.com/@x/video/7400000000000000999",
            "https://vm.tiktok.com/ZMnothing/",
            "a" * 5000,
            "application/json",
            "text/event-stream",
            "*/*;q=0",
            "bytes=0-",
            "bytes=-1",
            "gzip",
            "100-continue",
            "chunked",
        ]
    ),
    st.text(max_size=40),
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "url",
    "urls",
    "content_type",
    "download_content_type",
    "quality",
    "codec",
    "render",
    "slide_s",
    "fade_s",
    "thumbnail",
    "transcript",
    "language",
    "task",
    "words",
    "model",
    "source",
    "prompt",
    "hotwords",
    "title",
    "state",
    "seconds",
    "count",
    "expires_at",
    "wait",
    "webhook",
    "code",
    "file",
    "response_format",
    "temperature",
    "stream",
    "timestamp_granularities[]",
    "q",
    "limit",
    "after",
    "format",
]
HEADERS = [
    "Accept",
    "Range",
    "If-Range",
    "If-None-Match",
    "Content-Type",
    "Content-Encoding",
    "Expect",
    "Last-Event-ID",
    "X-API-Key",
    "Authorization",
    "X-Auth-Code",
    "Idempotency-Key",
    "X-Forwarded-For",
    "Origin",
    "Cookie",
    "Upgrade",
    "TE",
    "Trailer",
    "Host",
    "X-Odd",
]
KINDS = (
    "application/json",
    "multipart/form-data; boundary=b",
    "audio/mpeg",
    "video/mp4",
    "application/octet-stream",
    "multipart/form-data",
    "text/plain",
)
MEDIA = (
    b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
    b"ID3\x04\0\0\0\0\0\0",
    b"\xff\xfb\x90\x00" * 3,
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    bytes.fromhex("1a45dfa3"),
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"%PDF",
    b"#EXTM3U\n",
    b"FORM\0\0\0\0AIFF",
    b"caff\0\1\0\0",
    b"wvpk",
    b"FLV\1",
    b"\x30\x26\xb2\x75",
    b"#!AMR\n",
)
DEEP = b"[" * 30_000 + b"]" * 30_000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW")


class Sent(msgspec.Struct, frozen=True):
    """One request as its bytes."""

    data: bytes


def changed(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with bytes cut out, put in or written over, or bytes of no seed."""
    change = st.tuples(st.integers(0, 400), st.integers(0, 20), st.binary(max_size=12))

    def apply(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, cut, put in changes:
            at %= len(seed) + 1
            seed = seed[:at] + put + seed[at + cut :]
        return seed

    return st.one_of(
        st.builds(apply, st.sampled_from(seeds), st.lists(change, max_size=5)), st.binary(max_size=80)
    )


def form(fields: list[tuple[str, bytes]]) -> bytes:
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields
    )
    return b"".join(parts) + b"--b--\r\n"


WAV = bombs.wav(8000, bytes(range(256)) * 20)
MEDIA_BODIES = changed([*(head + bytes(200) for head in MEDIA), WAV])
FORMS = st.lists(st.tuples(st.sampled_from(FIELDS), ODD.map(str.encode) | MEDIA_BODIES), max_size=8).map(form)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5).map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    changed(
        [
            b'{"url": "https://www.tiktok.com/@x/video/7400000000000000999", "content_type": "ORIGINAL"}',
            b'{"a":1}',
        ]
    ),
    FORMS,
    FORMS.flatmap(lambda body: changed([body])),
    MEDIA_BODIES,
    st.sampled_from(
        [b"", DEEP, b"{" * 100_000, b'{"a":' * 12_000, form([("x", b"")] * 1000), b"[]" * 40_000]
    ),
)


def requests(known: list[str], key: str) -> st.SearchStrategy[Sent]:
    """Requests for every route; `known` are ids and addresses that exist, `key` the operator's."""
    values = st.one_of(ODD, st.sampled_from(known))
    heads = st.one_of(
        st.tuples(st.sampled_from(HEADERS), values),
        st.just(("X-API-Key", key)),
        st.tuples(st.just("Content-Type"), st.sampled_from(KINDS)),
    )
    return st.builds(
        _sent,
        st.sampled_from(ROUTES).map(lambda route: (route.method, route.path)),
        st.none() | st.none() | st.none() | st.sampled_from(METHODS),
        st.lists(values, min_size=2, max_size=2),
        st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=3),
        st.lists(heads, max_size=4),
        BODIES,
        st.sampled_from(
            ["length"] * 6 + ["chunked"] * 3 + ["short", "long", "bad chunk", "none", "both", "1.0"]
        ),
    )


def _sent(
    route: tuple[str, str],
    method: str | None,
    parts: list[str],
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    body: bytes,
    framing: str,
) -> Sent:
    path = route[1]
    for name, value in zip(
        ("{id}", "{token}", "{model}", "{name}", "{form}"), [parts[0]] * 3 + [parts[1]] * 2, strict=True
    ):
        path = path.replace(name, quote_from_bytes(_bytes(value), safe="/.%:"))
    if query:
        path += "?" + urlencode(query, errors="replace")
    lines = [
        f"{method or route[0]} {path} HTTP/{'1.0' if framing == '1.0' else '1.1'}".encode(),
        b"Host: localhost",
        b"Connection: close",
    ]
    lines += [
        name.encode() + b": " + _bytes(value).replace(b"\n", b" ").replace(b"\r", b" ")[:8000]
        for name, value in headers
    ]
    if framing in ("length", "1.0", "both"):
        lines.append(b"Content-Length: %d" % len(body))
    if framing == "short":
        lines.append(b"Content-Length: %d" % (len(body) // 2))
    if framing == "long":
        lines.append(b"Content-Length: %d" % (len(body) + 100))
    if framing in ("chunked", "bad chunk", "both"):
        lines.append(b"Transfer-Encoding: chunked")
        half = len(body) // 2
        body = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (body[:half], body[half:]) if one)
        body += b"zz\r\n" if framing == "bad chunk" else b"0\r\n\r\n"
    return Sent(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def jpeg_like() -> list[bytes]:
    """Beginnings of pictures and films, for those who read heads only."""
    found = [
        *bombs.photos().values(),
        bombs.nested_boxes(b"moov", 20),
        bombs.matroska(10),
        bombs.flac(8000, 2),
    ]
    return [one[:2000] for one in found] + [b"caff\0\1\0\0desc" + struct.pack(">q", 32) + bytes(32)]
