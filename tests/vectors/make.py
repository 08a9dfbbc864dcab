"""Writes the examples again: `python -m tests.vectors.make`. From docs/wire.md alone; no gateway code."""

import base64
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RANDOM = "simple_boundary0123456789abcdef0123456789abcdef"
FIXED = "simple_boundary"
TOLD, UNTOLD = True, False
LINKED = ("linked", "slices")  # the examples whose parts have links
RANGES = {"slices": ("bytes 0-3/9", None, "bytes 4-8/9", None, "bytes 0-1/*", "bytes 2-2/3")}

Example = tuple[str, str, list[tuple[str, str, bytes, bool]]]

MULTIPART: list[Example] = [
    ("one", RANDOM, [("someone_7.mp4", "video/mp4", bytes(range(256)) * 4, TOLD)]),
    ("empty", RANDOM, [("someone_7.mp4", "video/mp4", b"", TOLD)]),
    ("empty-untold", RANDOM, [("someone_7.mp4", "video/mp4", b"", UNTOLD)]),
    ("untold", RANDOM, [("someone_7.mp4", "video/mp4", bytes(range(256)) * 4, UNTOLD)]),
    (
        "line-ends",
        RANDOM,
        [
            ("someone_7_01.jpg", "image/jpeg", b"\r\n", TOLD),
            ("someone_7_02.jpg", "image/jpeg", b"\r\n\r\n--\r\n", UNTOLD),
            ("someone_7_03.png", "image/png", b"\r", UNTOLD),
            ("someone_7.mp3", "audio/mpeg", b"\n\r\n\r", TOLD),
        ],
    ),
    (
        "look-alikes",
        RANDOM,
        [
            ("someone_7_01.jpg", "image/jpeg", b"--simple_boundary", UNTOLD),
            ("someone_7_02.jpg", "image/jpeg", b"\r\n--simple_boundary--\r\n", UNTOLD),
            ("someone_7_03.jpg", "image/jpeg", f"\r\n--{RANDOM[:-1]}\r\n--{RANDOM[:-1]}".encode(), UNTOLD),
            ("someone_7_04.jpg", "image/jpeg", f"--{RANDOM}--".encode(), TOLD),
            ("someone_7.m4a", "audio/mp4", f"\r\n--{RANDOM}x\r\n--{RANDOM}-".encode(), UNTOLD),
        ],
    ),
    (
        "forged",  # only the told lengths keep these apart from real delimiters
        FIXED,
        [
            ("someone_7_01.jpg", "image/jpeg", b"\r\n--simple_boundary\r\n\r\n", TOLD),
            ("someone_7_02.jpg", "image/jpeg", b"\r\n--simple_boundary--\r\n", TOLD),
        ],
    ),
    (
        "thirty-six",
        RANDOM,
        [(f"someone_7_{n:02d}.jpg", "image/jpeg", bytes([n, 13, 10]) * n, n % 2 == 0) for n in range(1, 36)]
        + [("someone_7.mp3", "audio/mpeg", b"ID3", TOLD)],
    ),
    (
        "linked",
        RANDOM,
        [
            ("someone_7_01.jpg", "image/jpeg", b"\xff\xd8\xff", TOLD),
            ("someone_7.mp3", "audio/mpeg", b"ID3", UNTOLD),
        ],
    ),
    (
        "slices",  # media with words between them
        RANDOM,
        [
            ("someone_7.mp4", "video/mp4", b"\r\n--", TOLD),
            ("transcript.ndjson", "application/x-ndjson", b'{"type":"info","id":"3f",', TOLD),
            ("someone_7.mp4", "video/mp4", b"moovx", TOLD),
            ("transcript.ndjson", "application/x-ndjson", b'"source":"speech"}\n', TOLD),
            ("someone_7.mp3", "audio/mpeg", b"ID", TOLD),
            ("someone_7.mp3", "audio/mpeg", b"3", TOLD),
        ],
    ),
]

TYPE = "Content-Type: video/mp4"
NAME = 'Content-Disposition: attachment; filename="a.mp4"'
START = f"--{RANDOM}\r\n".encode()
END = f"\r\n--{RANDOM}--\r\n".encode()


def framed(*lines: str) -> bytes:
    return START + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\nx" + END


# bodies of RANDOM's that are none, whatever comes behind
MALFORMED: dict[str, bytes] = {
    "another delimiter": b"--other\r\n",
    "another format": b"<!doctype html><title>hello</title>",
    "something before the first delimiter": b"hello\r\n" + framed(TYPE, NAME),
    "more after the closing delimiter": framed(TYPE, NAME) + b"x",
    "a payload longer than told": framed(TYPE, "Content-Length: 0", NAME),
    "a payload shorter than told": framed(TYPE, "Content-Length: 9", NAME) + END,
    "no head": framed(),
    "no name": framed(TYPE),
    "only an extended name": framed(TYPE, 'Content-Disposition: attachment; filename*="a"'),
    "no type": framed(NAME),
    "a line that is none": framed(TYPE, "hello", NAME),
    "the same twice": framed(TYPE, TYPE.lower(), NAME),
    "a length that is none": framed(TYPE, "Content-Length: +1", NAME),
    "a length that is too long": framed(TYPE, f"Content-Length: {'9' * 16}", NAME),
    "a range that is none": framed(TYPE, "Content-Range: bytes 5-", NAME),
    "a head that is not text": framed(TYPE, NAME).replace(b"a.mp4", b"\xff"),
    "a head without an end": START + b"x" * 9000,
}

INFO = {
    "type": "info",
    "id": "3f",
    "language": "en",
    "language_probability": 0.98,
    "duration": None,
    "model": "base",
    "source": "speech",
}
CAPTIONS = {"source": "captions", "captions": "creator"}
NUMBERS = {"avg_logprob": -0.3, "no_speech_prob": 0.01, "compression_ratio": 1.4}
EVENTS: list[tuple[int | None, dict[str, Any]]] = [
    (None, {"type": "progress", "position": 2, "wait_s": 4.5, "bytes": 0, "bytes_total": None}),
    (0, INFO),
    (None, {"type": "progress", "position": 0, "wait_s": None, "bytes": 1024, "bytes_total": 4096}),
    (1, {"type": "segment", "id": 0, "start": 0.0, "end": 4.2, "text": " Hello there.", **NUMBERS}),
    (
        2,
        {
            "type": "segment",
            "id": 1,
            "start": 4.2,
            "end": 6.0,
            "text": 'Grüße, 世界 🎬 "quoted" \\ tab\there\nand a new line\u2028and another',
            **NUMBERS,
            "words": [
                {"start": 4.2, "end": 4.75, "word": " Grüße,", "probability": 0.9},
                {"start": 4.75, "end": 6.0, "word": " 世界", "probability": 1.0},
            ],
        },
    ),
    (
        3,
        {
            "type": "end",
            "segments": 2,
            "duration": 6.0,
            "text_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "elapsed_ms": 4100,
            "speech": "ok",
        },
    ),
    (0, INFO | {"language_probability": None, "duration": 53.25, "model": None, **CAPTIONS}),
    (1, {"type": "segment", "id": 0, "start": 0.5, "end": 2.0, "text": "Written by others."}),
    (2, {"type": "error", "code": "SPEECH_FAILED", "message": "Recognising the speech failed twice."}),
    (0, INFO | {"language": None, "language_probability": None, "duration": 12.0}),
    (
        1,
        {
            "type": "end",
            "segments": 0,
            "duration": 12.0,
            "text_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "elapsed_ms": 300,
            "speech": "none",
            "reasons": ["silence"],
        },
    ),
]

# lines that are no events
NO_EVENTS = [
    "", "1", "null", "[]", "{}", "{", "<html>", '{"type":"else"}', '{"type":"toString"}', '{"type":"info"}',
    '{"type":"end"}', '{"type":7}', "[" * 5000,
]  # fmt: skip

# status, headers, body, and what is made of them: code, message, retry_after_s, request_id
ID = {"X-Request-Id": "r0"}
Refusal = tuple[int, dict[str, str], str, tuple[str | None, str, int | None, str | None]]
NO_REASON = "the answer gives no reason"
REFUSALS: list[Refusal] = [
    (400, ID, '{"detail":"URL is required"}', (None, "URL is required", None, "r0")),
    (
        400,
        {},
        '{"detail":"No files","code":"VIDEO_PRIVATE","message":"It is private."}',
        ("VIDEO_PRIVATE", "It is private.", None, None),
    ),
    (503, {"Retry-After": "7"}, '{"detail":"Busy.","code":"BUSY"}', ("BUSY", "Busy.", 7, None)),
    (
        422,
        {},
        '{"message":"Validation Error","detail":[{"loc":["body","url"],"msg":"no string"}]}',
        (None, "body.url: no string", None, None),
    ),
    (
        500,
        ID,
        '{"message":"Internal Server Error","detail":"Error: it failed","request_id":"r1"}',
        (None, "Error: it failed", None, "r1"),
    ),
    (
        404,
        {"Retry-After": "soon"},
        '{"error":{"code":"NOT_FOUND","message":"Nothing here.","request_id":"r2"}}',
        ("NOT_FOUND", "Nothing here.", None, "r2"),
    ),
    (
        429,
        {"Retry-After": "-1"},
        '{"error":"Rate limit exceeded","detail":"Rate limit exceeded"}',
        (None, "Rate limit exceeded", None, None),
    ),
    (
        502,
        {},
        '{"success":false,"error":{"code":"A","message":"No."},"metadata":{"request_id":"req_1"}}',
        ("A", "No.", None, "req_1"),
    ),
    (401, {}, '{"error":{"message":"Bad key","code":null}}', (None, "Bad key", None, None)),
    (500, {}, '{"detail":[]}', (None, NO_REASON, None, None)),
    (500, {}, '["detail"]', (None, NO_REASON, None, None)),
    (502, ID, "<html>502</html>", (None, NO_REASON, None, "r0")),
    (502, ID, "", (None, NO_REASON, None, "r0")),
    (502, ID, "[" * 5_000, (None, NO_REASON, None, "r0")),
]

# by openssl: printf 'POST\n/api/transcribe\n%s\n%s' "$body" "$timestamp_ms" |
#   openssl dgst -sha256 -hmac "$secret"
SIGNATURES = [
    (
        "topsecret", '{"url":"https://www.tiktok.com/@someone/video/7"}', 1730000000000,
        "4241b76e507dfe30c35e3e65ced31ae1e34a46b4f324315526ac2f1eacc3e84f",
    ),
    (
        "schlüssel 🔑", '{"url":"Grüße"}', 1,
        "92f19177d39c1f54616ae63ea017a81a9669f9c0e8e40a70d7637ea8afd90165",
    ),
    ("k", "", 0, "87a0d81a9aedac8f0b156b965ca19986c94ba493a9f77f45f473bc1d9760417d"),
]  # fmt: skip


def link(example: str, name: str) -> str | None:
    return f"/media/WyI3Il0.c2lnbmVk/{name}" if example in LINKED else None


def span(example: str, number: int) -> str | None:
    return RANGES[example][number] if example in RANGES else None


def body(example: Example) -> bytes:
    data, (title, boundary, parts) = b"", example
    for number, (name, media_type, payload, told) in enumerate(parts):
        data += b"\r\n" if data else b""
        data += f"--{boundary}\r\nContent-Type: {media_type}\r\n".encode()
        data += f"Content-Length: {len(payload)}\r\n".encode() if told else b""
        if (slice_ := span(title, number)) is not None:
            data += f"Content-Range: {slice_}\r\n".encode()
        if (found := link(title, name)) is not None:
            data += f"Content-Location: {found}\r\n".encode()
        data += f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode() + payload
    return data + f"\r\n--{boundary}--\r\n".encode()


def multipart(example: Example) -> dict[str, Any]:
    name, boundary, parts = example
    keys = ("name", "media_type", "length", "payload", "link", "range")
    told = [
        (n, m, len(p) if t else None, base64.b64encode(p).decode(), link(name, n), span(name, number))
        for number, (n, m, p, t) in enumerate(parts)
    ]
    return {
        "name": name,
        "boundary": boundary,
        "body": base64.b64encode(body(example)).decode(),
        "parts": [dict(zip(keys, one, strict=True)) for one in told],
    }


def event(number: int | None, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    head = "" if number is None else f"id: {number}\n"
    sse = f"{head}event: {value['type']}\ndata: {data}\n\n"
    return {"number": number, "event": value, "line": data + "\n", "sse": sse}


def refusal(one: Refusal) -> dict[str, Any]:
    status, headers, body, told = one
    keys = ("code", "message", "retry_after_s", "request_id")
    return {"status": status, "headers": headers, "body": body} | dict(zip(keys, told, strict=True))


def main() -> None:
    keys = ("secret", "body", "timestamp_ms", "signature")
    wire = {
        "multipart": [multipart(example) for example in MULTIPART],
        "malformed": {
            "boundary": RANDOM,
            "bodies": {name: base64.b64encode(data).decode() for name, data in MALFORMED.items()},
        },
        "events": [event(number, value) for number, value in EVENTS],
        "no_events": NO_EVENTS,
        "refusals": [refusal(one) for one in REFUSALS],
        "signatures": [dict(zip(keys, one, strict=True)) for one in SIGNATURES],
    }
    (HERE / "wire.json").write_text(json.dumps(wire, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
