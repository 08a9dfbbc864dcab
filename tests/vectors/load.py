"""The examples as values, for the tests of gateway and client."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIRE: dict[str, Any] = json.loads((Path(__file__).parent / "wire.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Part:
    name: str
    media_type: str
    length: int | None
    payload: bytes
    link: str | None
    range: str | None


@dataclass(frozen=True)
class Multipart:
    name: str
    boundary: str
    parts: tuple[Part, ...]
    body: bytes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Event:
    number: int | None
    event: dict[str, Any]
    line: bytes
    sse: bytes

    def __str__(self) -> str:
        return str(self.event["type"])


@dataclass(frozen=True)
class Refusal:
    status: int
    headers: dict[str, str]
    body: str
    code: str | None
    message: str
    retry_after_s: int | None
    request_id: str | None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:30]}"


@dataclass(frozen=True)
class Signature:
    secret: str
    body: str
    timestamp_ms: int
    signature: str


def multipart() -> list[Multipart]:
    return [
        Multipart(
            example["name"],
            example["boundary"],
            tuple(
                Part(**(part | {"payload": base64.b64decode(part["payload"])})) for part in example["parts"]
            ),
            base64.b64decode(example["body"]),
        )
        for example in WIRE["multipart"]
    ]


def malformed() -> tuple[str, dict[str, bytes]]:
    """A boundary, and bodies of it that are none."""
    told = WIRE["malformed"]
    return told["boundary"], {name: base64.b64decode(body) for name, body in told["bodies"].items()}


def events() -> list[Event]:
    return [
        Event(one["number"], one["event"], one["line"].encode(), one["sse"].encode())
        for one in WIRE["events"]
    ]


def no_events() -> list[str]:
    """Lines that are no events."""
    return list(WIRE["no_events"])


def refusals() -> list[Refusal]:
    return [Refusal(**one) for one in WIRE["refusals"]]


def signatures() -> list[Signature]:
    return [Signature(**one) for one in WIRE["signatures"]]
