"""What can go wrong, told apart by what the caller can do about it."""

import re
from typing import Any

import msgspec


class ClipwireError(Exception):
    """Every failure that this client names."""


class Unreachable(ClipwireError):
    """No connection, or no answer over it."""


class Cut(ClipwireError):
    """The stream ended before its own end; what came before it is right, but not all."""


class Malformed(ClipwireError):
    """The answer is not in the format; probably this is not a clipwire gateway."""


class TranscriptFailed(ClipwireError):
    """The gateway gave up in the middle of a transcript; the segments before are right."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Refused(ClipwireError):
    """The gateway said no. `code` is None where the answer names none."""

    def __init__(
        self, status: int, code: str | None, message: str, retry_after_s: int | None, request_id: str | None
    ) -> None:
        super().__init__(status, code, message, retry_after_s, request_id)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}" if self.code else f"{self.status}: {self.message}"


def refused(status: int, body: bytes, *, retry_after: str | None, request_id: str | None) -> Refused:
    """A refusal in any of the shapes a gateway answers in, or from whatever stands before it."""
    answer = _mapping(_decoded(body))
    error, detail = answer.get("error"), answer.get("detail")
    inner = _mapping(error)  # {"error": {"code", "message", "request_id"}}
    code = _text(inner.get("code")) or _text(answer.get("code"))
    told = answer.get("message")
    message = (
        _text(inner.get("message"))
        or _complaints(detail)
        or (_text(told) if code else None)  # without a code, `message` is only the status in words
        or _text(detail)
        or _text(told)
        or _text(error)
        or "the answer gives no reason"
    )
    given = (inner, answer, _mapping(answer.get("metadata")))
    ids = (_text(one.get("request_id")) for one in given)
    seconds = int(retry_after) if retry_after and re.fullmatch("[0-9]{1,9}", retry_after) else None
    return Refused(status, code, message, seconds, next(filter(None, ids), request_id))


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _complaints(detail: object) -> str | None:
    """`[{"loc": ["body", "url"], "msg": "..."}]` in words."""
    if not isinstance(detail, list):
        return None
    found = (_mapping(one) for one in detail)
    return "; ".join(f"{_place(one.get('loc'))}: {one.get('msg')}" for one in found) or None


def _place(loc: object) -> str:
    return ".".join(str(step) for step in loc) if isinstance(loc, list) else "request"
