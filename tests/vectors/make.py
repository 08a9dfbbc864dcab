"""Writes the examples again: `python -m tests.vectors.make`. From docs/wire.md alone; no gateway code."""

import base64
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RANDOM = "simple_boundary0123456789abcdef0123456789abcdef"
FIXED = "simple_boundary"
TOLD, UNTOLD = True, False
LINKED = ("linked",)  # the examples whose parts have links

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
]

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


def link(example: str, name: str) -> str | None:
    return f"/media/WyI3Il0.c2lnbmVk/{name}" if example in LINKED else None


def body(example: Example) -> bytes:
    data, (title, boundary, parts) = b"", example
    for name, media_type, payload, told in parts:
        data += b"\r\n" if data else b""
        data += f"--{boundary}\r\nContent-Type: {media_type}\r\n".encode()
        data += f"Content-Length: {len(payload)}\r\n".encode() if told else b""
        if (found := link(title, name)) is not None:
            data += f"Content-Location: {found}\r\n".encode()
        data += f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode() + payload
    return data + f"\r\n--{boundary}--\r\n".encode()


def multipart(example: Example) -> dict[str, Any]:
    name, boundary, parts = example
    keys = ("name", "media_type", "length", "payload", "link")
    told = [
        (n, m, len(p) if t else None, base64.b64encode(p).decode(), link(name, n)) for n, m, p, t in parts
    ]
    return {"name": name, "boundary": boundary, "parts": [dict(zip(keys, one, strict=True)) for one in told]}


def event(number: int | None, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    head = "" if number is None else f"id: {number}\n"
    sse = f"{head}event: {value['type']}\ndata: {data}\n\n"
    return {"number": number, "event": value, "line": data + "\n", "sse": sse}


def main() -> None:
    (HERE / "multipart").mkdir(exist_ok=True)
    for example in MULTIPART:
        (HERE / "multipart" / f"{example[0]}.bin").write_bytes(body(example))
    write("multipart.json", [multipart(example) for example in MULTIPART])
    write("events.json", [event(number, value) for number, value in EVENTS])


def write(name: str, value: object) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
