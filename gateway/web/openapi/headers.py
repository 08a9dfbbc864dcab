"""The headers and the parts of paths that the OpenAPI document tells of, by name. Pure."""

from typing import Any

_NUMBER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}


def _text(about: str, **schema: Any) -> dict[str, Any]:
    return {"description": about, "schema": _TEXT | schema}


def _number(about: str) -> dict[str, Any]:
    return {"description": about, "schema": _NUMBER}


ASKED: dict[str, dict[str, Any]] = {
    "Idempotency-Key": _text(
        "A request with the same code and the same key as one before is that one again.",
        minLength=1,
        maxLength=200,
    ),
    "X-Timestamp": _text("Now, in milliseconds since 1970, at most 300000 off.", pattern="^-?[0-9]{1,18}$")
    | {"required": True},
    "X-Signature": _text(
        "HMAC-SHA256 in lower-case hexadecimal, by the secret, of `POST`, a line feed, `/api/transcribe`, a"
        " line feed, the bytes of the body, a line feed and the timestamp."
    )
    | {"required": True},
    "Range": _text("Which bytes: `bytes=a-b`, `a-` or `-n`.", examples=["bytes=0-1023"]),
    "If-Range": _text("The `ETag` of the file that the range is of."),
    "If-None-Match": _text("The `ETag` of what the caller has."),
    "Last-Event-ID": _text("The number of the last event that the caller has.", pattern="^(-1|[0-9]{1,9})$"),
}

PATHS: dict[str, dict[str, Any]] = {
    "token": _text("The signed part of a link, from `Content-Location`."),
    "name": _text("The file's name, as the link has it.", examples=["clipwire.demo_7400000000000000001.mp4"]),
    "id": _text("The id of a transcript or a code.", examples=["n2GPA9stUAza6QC3awz4yQ"]),
    "form": _text("The form of a file.", enum=["txt", "srt", "vtt", "json"]),
    "model": _text("A name of the speech model.", examples=["whisper-1"]),
    "file": _text("A file of the page.", examples=["page.js"]),
    "asset": _text(
        "A file of the page.", enum=["page.css", "page.js", "swagger-ui-bundle.js", "swagger-ui.css"]
    ),
}

TOLD: dict[str, dict[str, Any]] = {
    "X-Request-Id": _text("What the log has this request under.") | {"required": True},
    "Retry-After": _number("In how many seconds to come again."),
    "RateLimit-Limit": _number("How many calls the bucket holds; only where callers are counted."),
    "RateLimit-Remaining": _number("How many are left."),
    "RateLimit-Reset": _number("Whole seconds until it is full again."),
    "Content-Meta": _text("Base64 of JSON with `title` and `desc` of the first post.") | {"required": True},
    "Content-Range": _text("Which bytes these are, and of how many.") | {"required": True},
    "Content-Disposition": _text("The file's name.") | {"required": True},
    "Accept-Ranges": _text("Always `bytes`.", const="bytes"),
    "ETag": _text("What names this version; not there before the file is whole, where the site has none."),
    "Cache-Control": _text("Who may keep it, and for how long."),
    "Transcript-Id": _text("The transcript's id.") | {"required": True},
    "Location": _text("The path of the transcript, or of the page.") | {"required": True},
    "Vary": _text("Always `Accept`."),
}
