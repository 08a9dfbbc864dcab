"""The examples as values, for the tests of gateway and client."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    name: str
    media_type: str
    length: int | None
    payload: bytes
    link: str | None


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


def multipart() -> list[Multipart]:
    return [
        Multipart(
            example["name"],
            example["boundary"],
            tuple(
                Part(**(part | {"payload": base64.b64decode(part["payload"])})) for part in example["parts"]
            ),
            (HERE / "multipart" / f"{example['name']}.bin").read_bytes(),
        )
        for example in json.loads((HERE / "multipart.json").read_text(encoding="utf-8"))
    ]


def events() -> list[Event]:
    return [
        Event(one["number"], one["event"], one["line"].encode(), one["sse"].encode())
        for one in json.loads((HERE / "events.json").read_text(encoding="utf-8"))
    ]
